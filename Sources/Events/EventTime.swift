// Times as the house writes and reads them: milliseconds since 1970 in UTC, RFC 3339 with three
// decimals. Days are converted after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
import Sparse

public enum EventTime {
  /// 1970-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
  public static let range: ClosedRange<Int64> = 0...253_402_300_799_999

  /// Year, month and day of the given day since 1970-01-01.
  public static func civil(day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let z = day &+ 719_468
    let era = (z >= 0 ? z : z &- 146_096) / 146_097
    let doe = z &- era &* 146_097
    let yoe = (doe &- doe / 1460 &+ doe / 36_524 &- doe / 146_096) / 365
    let doy = doe &- (365 &* yoe &+ yoe / 4 &- yoe / 100)
    let mp = (5 &* doy &+ 2) / 153
    let month = mp < 10 ? mp &+ 3 : mp &- 9
    return (yoe &+ era &* 400 &+ (month <= 2 ? 1 : 0), month, doy &- (153 &* mp &+ 2) / 5 &+ 1)
  }

  /// The day since 1970-01-01 of a date of the proleptic Gregorian calendar. Nothing is checked.
  public static func day(year: Int64, month: Int64, day: Int64) -> Int64 {
    let y = month <= 2 ? year &- 1 : year
    let era = (y >= 0 ? y : y &- 399) / 400
    let yoe = y &- era &* 400
    let doy = (153 &* (month &+ (month > 2 ? -3 : 9)) &+ 2) / 5 &+ day &- 1
    let doe = yoe &* 365 &+ yoe / 4 &- yoe / 100 &+ doy
    return era &* 146_097 &+ doe &- 719_468
  }

  public static func daysIn(month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Milliseconds since 1970 of an RFC 3339 time (`T` may be small or a space, `Z` small; digits
  /// behind the milliseconds are cut off; a leap second is the first second of the next day).
  /// - Returns: nil if the text is none, or lies outside `range`.
  public static func parse(_ s: UnsafeRawBufferPointer) -> Int64? {
    if s.count < 20 { return nil }
    func number(_ at: Int, _ count: Int) -> Int64? {
      var value: Int64 = 0
      for i in at..<at + count {
        let digit = s[i] &- 48
        if digit > 9 { return nil }
        value = value * 10 + Int64(digit)
      }
      return value
    }
    guard let year = number(0, 4), let month = number(5, 2), let date = number(8, 2),
      let hour = number(11, 2), let minute = number(14, 2), let second = number(17, 2),
      s[4] == 0x2d, s[7] == 0x2d, s[13] == 0x3a, s[16] == 0x3a,
      s[10] == 0x54 || s[10] == 0x74 || s[10] == 0x20,
      (1...12).contains(month), date >= 1, date <= daysIn(month: month, year: year),
      hour < 24, minute < 60, second <= 60
    else { return nil }
    var at = 19
    var millis: Int64 = 0
    if s[at] == 0x2e {
      at += 1
      let first = at
      var scale: Int64 = 100
      while at < s.count, s[at] &- 48 < 10 {
        millis += Int64(s[at] - 48) * scale
        scale /= 10
        at += 1
      }
      if at == first || at == s.count { return nil }
    }
    var offset: Int64 = 0
    switch s[at] {
    case 0x5a, 0x7a:  // Z
      if at + 1 != s.count { return nil }
    case 0x2b, 0x2d:  // + -
      guard at + 6 == s.count, s[at + 3] == 0x3a, let hours = number(at + 1, 2),
        let minutes = number(at + 4, 2), hours < 24, minutes < 60
      else { return nil }
      offset = (hours * 60 + minutes) * (s[at] == 0x2d ? -1 : 1)
    default: return nil
    }
    let minutes = day(year: year, month: month, day: date) * 1440 + hour * 60 + minute - offset
    if second == 60 && ((minutes % 1440) + 1440) % 1440 != 1439 { return nil }
    let ms = (minutes * 60 + second) * 1000 + millis
    return range.contains(ms) ? ms : nil
  }

  public static func parse(_ text: String) -> Int64? {
    var text = text
    return text.withUTF8 { parse(UnsafeRawBufferPointer($0)) }
  }

  /// `2026-03-01T10:15:30.123Z`.
  public static func string(_ ms: Int64) -> String {
    var writer = ByteWriter(capacity: 32)
    writer.appendTime(ms)
    return writer.string
  }
}

extension ByteWriter {
  /// Appends `2026-03-01T10:15:30.123Z` without quotes. A time outside `EventTime.range` is written
  /// as the nearest one inside.
  public mutating func appendTime(_ ms: Int64) {
    let ms = min(max(ms, EventTime.range.lowerBound), EventTime.range.upperBound)
    let (days, rest) = ms.quotientAndRemainder(dividingBy: 86_400_000)
    let (year, month, day) = EventTime.civil(day: days)
    let at = reserve(24)
    func put(_ value: Int64, _ place: Int, _ digits: Int) {
      var value = value
      var i = place &+ digits &- 1
      while i >= place {
        at[i] = UInt8(truncatingIfNeeded: 48 &+ value % 10)
        value /= 10
        i &-= 1
      }
    }
    put(year, 0, 4)
    at[4] = 0x2d
    put(month, 5, 2)
    at[7] = 0x2d
    put(day, 8, 2)
    at[10] = 0x54
    put(rest / 3_600_000, 11, 2)
    at[13] = 0x3a
    put(rest / 60_000 % 60, 14, 2)
    at[16] = 0x3a
    put(rest / 1000 % 60, 17, 2)
    at[19] = 0x2e
    put(rest % 1000, 20, 3)
    at[23] = 0x5a
    advance(24)
  }

  /// As `appendTime`, in quotes.
  public mutating func append(quotedTime ms: Int64) {
    append(byte: 0x22)
    appendTime(ms)
    append(byte: 0x22)
  }
}
