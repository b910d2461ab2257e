// Times as foreign logs write them, to milliseconds since 1970. Without a zone a time is UTC.
import Events

/// How a column of times is written.
public enum TimeFormat: Sendable, Equatable {
  /// `2026-03-01T10:15:30.123Z`, with `T` or a space, with or without fraction and offset; a date alone is its midnight.
  case iso
  /// Seconds since 1970, fractions allowed.
  case seconds
  case milliseconds
  case microseconds
  /// Fields by letters: `yyyy` or `yy`, `MM`, `dd`, `HH`, `mm`, `ss`, `SSS`; `M`, `d`, `H` take one or
  /// two digits; everything else stands for itself.
  case pattern([PatternPart])

  public enum PatternPart: Sendable, Equatable {
    case field(Field, minimum: Int, maximum: Int)
    case literal(UInt8)
  }
  public enum Field: Sendable {
    case year, shortYear, month, day, hour, minute, second, millisecond
  }

  /// `iso`, `s`, `ms`, `us` or a pattern; nil where a pattern has unknown letters or lacks the date.
  public init?(_ text: String) {
    switch text {
    case "iso": self = .iso
    case "s", "seconds", "epoch": self = .seconds
    case "ms", "milliseconds": self = .milliseconds
    case "us", "microseconds": self = .microseconds
    default:
      var parts: [PatternPart] = []
      let bytes = Array(text.utf8)
      var i = 0
      while i < bytes.count {
        let c = bytes[i]
        var run = 1
        while i + run < bytes.count && bytes[i + run] == c { run += 1 }
        let isLetter = (c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a && c != UInt8(ascii: "T")
        if !isLetter {
          for _ in 0..<run { parts.append(.literal(c)) }
          i += run
          continue
        }
        let field: Field
        var most = run == 1 ? 2 : run
        switch (c, run) {
        case (UInt8(ascii: "y"), 4): field = .year
        case (UInt8(ascii: "y"), 2): field = .shortYear
        case (UInt8(ascii: "M"), 1...2): field = .month
        case (UInt8(ascii: "d"), 1...2): field = .day
        case (UInt8(ascii: "H"), 1...2): field = .hour
        case (UInt8(ascii: "m"), 1...2): field = .minute
        case (UInt8(ascii: "s"), 1...2): field = .second
        case (UInt8(ascii: "S"), 1...9):
          field = .millisecond
          most = 9
        default: return nil
        }
        parts.append(.field(field, minimum: run, maximum: most))
        i += run
      }
      func has(_ wanted: Field) -> Bool {
        parts.contains { if case .field(let f, _, _) = $0 { f == wanted } else { false } }
      }
      guard has(.month), has(.day), has(.year) || has(.shortYear) else { return nil }
      self = .pattern(parts)
    }
  }

  /// Milliseconds since 1970, or nil where the text is no such time, no calendar date, or lies
  /// outside of what events can say (the years 1970 to 9999).
  public func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
    guard let time = read(text), EventTime.range.contains(time) else { return nil }
    return time
  }

  private func read(_ text: UnsafeRawBufferPointer) -> Int64? {
    switch self {
    case .iso: TimeText.iso(text)
    case .seconds: TimeText.epoch(text, scale: 1000)
    case .milliseconds: TimeText.epoch(text, scale: 1)
    case .microseconds:
      TimeText.epoch(text, scale: 1).map { Int64(($0 - ($0 < 0 ? 999 : 0)) / 1000) }
    case .pattern(let parts): TimeText.pattern(parts, text)
    }
  }

  public func parse(_ text: String) -> Int64? {
    var text = text
    return text.withUTF8 { parse(UnsafeRawBufferPointer($0)) }
  }
}

enum TimeText {
  /// Days since 1970 of a civil date, or nil where there is no such date.
  static func days(_ year: Int, _ month: Int, _ day: Int) -> Int? {
    guard (0...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
    if day > Int(EventTime.daysIn(month: Int64(month), year: Int64(year))) { return nil }
    return Int(EventTime.day(year: Int64(year), month: Int64(month), day: Int64(day)))
  }

  static func make(
    _ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int, _ ms: Int
  ) -> Int64? {
    // 24:00:00 is not a time of day here; second 60 (a leap second) counts as the next one.
    guard let days = days(year, month, day), (0...23).contains(hour), (0...59).contains(minute),
      (0...60).contains(second)
    else { return nil }
    return Int64(((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + Int64(ms)
  }

  /// Digits of `text` from `at`, at most `most` of them; moves `at`. nil if fewer than `least`.
  static func digits(
    _ text: UnsafeRawBufferPointer, _ at: inout Int, least: Int, most: Int
  ) -> Int? {
    var value = 0
    var n = 0
    while at < text.count, n < most, text[at] >= 48, text[at] <= 57 {
      value = value * 10 + Int(text[at] - 48)
      at += 1
      n += 1
    }
    return n < least ? nil : value
  }

  /// The fraction's digits from `at` as milliseconds, further digits dropped.
  static func fraction(_ text: UnsafeRawBufferPointer, _ at: inout Int) -> Int? {
    var ms = 0
    var n = 0
    while at < text.count, text[at] >= 48, text[at] <= 57 {
      if n < 3 { ms = ms * 10 + Int(text[at] - 48) }
      at += 1
      n += 1
      if n > 18 { return nil }
    }
    if n == 0 { return nil }
    while n < 3 {
      ms *= 10
      n += 1
    }
    return ms
  }

  static func iso(_ text: UnsafeRawBufferPointer) -> Int64? {
    var at = 0
    func take(_ c: UInt8) -> Bool {
      if at < text.count && text[at] == c {
        at += 1
        return true
      }
      return false
    }
    guard let year = digits(text, &at, least: 4, most: 4), take(45),
      let month = digits(text, &at, least: 2, most: 2), take(45),
      let day = digits(text, &at, least: 2, most: 2)
    else { return nil }
    if at == text.count { return make(year, month, day, 0, 0, 0, 0) }
    guard take(84) || take(116) || take(32), let hour = digits(text, &at, least: 2, most: 2),
      take(58), let minute = digits(text, &at, least: 2, most: 2)
    else { return nil }
    var second = 0
    var ms = 0
    if take(58) {
      guard let s = digits(text, &at, least: 2, most: 2) else { return nil }
      second = s
      if take(46) || take(44) {
        guard let f = fraction(text, &at) else { return nil }
        ms = f
      }
    }
    guard let local = make(year, month, day, hour, minute, second, ms) else { return nil }
    if at == text.count { return local }
    if take(90) || take(122) { return at == text.count ? local : nil }
    if take(32), text.count - at == 3, text[at] == 85, text[at + 1] == 84, text[at + 2] == 67 {
      return local  // " UTC", as BigQuery and Snowplow write it
    }
    let sign: Int64
    if take(43) { sign = 1 } else if take(45) { sign = -1 } else { return nil }
    guard let h = digits(text, &at, least: 2, most: 2), h <= 23 else { return nil }
    _ = take(58)
    let m: Int
    if at == text.count {
      m = 0
    } else {
      guard let given = digits(text, &at, least: 2, most: 2), given <= 59, at == text.count else {
        return nil
      }
      m = given
    }
    return local - sign * Int64(h * 60 + m) * 60_000
  }

  /// A decimal number of units of `scale` milliseconds, cut to whole milliseconds.
  static func epoch(_ text: UnsafeRawBufferPointer, scale: Int64) -> Int64? {
    var at = 0
    let negative = at < text.count && text[at] == 45
    if negative { at += 1 }
    // 17 digits: anything a clock says in any of the units, and no overflow after scaling.
    guard let whole = digits(text, &at, least: 1, most: scale == 1 ? 18 : 15) else { return nil }
    var value = Int64(whole) * scale
    if at < text.count {
      guard text[at] == 46 else { return nil }
      at += 1
      guard let f = fraction(text, &at), at == text.count else { return nil }
      if scale == 1000 { value += Int64(f) }
    }
    return negative ? -value : value
  }

  static func pattern(_ parts: [TimeFormat.PatternPart], _ text: UnsafeRawBufferPointer) -> Int64? {
    var at = 0
    var (year, month, day, hour, minute, second, ms) = (1970, 1, 1, 0, 0, 0, 0)
    for part in parts {
      switch part {
      case .literal(let c):
        guard at < text.count, text[at] == c else { return nil }
        at += 1
      case .field(.millisecond, _, _):
        guard let value = fraction(text, &at) else { return nil }
        ms = value
      case .field(let field, let least, let most):
        guard let value = digits(text, &at, least: least, most: most) else { return nil }
        switch field {
        case .year: year = value
        case .shortYear: year = value < 70 ? 2000 + value : 1900 + value
        case .month: month = value
        case .day: day = value
        case .hour: hour = value
        case .minute: minute = value
        case .second: second = value
        case .millisecond: break
        }
      }
    }
    return at == text.count ? make(year, month, day, hour, minute, second, ms) : nil
  }
}
