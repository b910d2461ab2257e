// Durations as people write them: a whole or decimal number and a unit. 250ms, 5s, 1.5h, 365d.

public enum DurationText {
  static let units: [(suffix: String, milliseconds: Int64)] = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
  ]

  /// Milliseconds, exact; nil where the text has no known unit, is negative, is not a whole number
  /// of milliseconds or does not fit a thousand years.
  public static func parse(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    var at = 0
    var value: Int64 = 0
    var decimals: Int64 = 1
    var seenPoint = false
    var digits = 0
    while at < bytes.count {
      let c = bytes[at]
      if c == UInt8(ascii: ".") && !seenPoint && digits > 0 {
        seenPoint = true
      } else if c >= 48 && c <= 57 {
        digits += 1
        if digits > 15 { return nil }
        value = value * 10 + Int64(c - 48)
        if seenPoint { decimals *= 10 }
      } else {
        break
      }
      at += 1
    }
    if digits == 0 { return nil }
    while at < bytes.count && bytes[at] == 32 { at += 1 }
    let suffix = String(decoding: bytes[at...], as: UTF8.self)
    guard let unit = units.first(where: { $0.suffix == suffix }) else { return nil }
    let (product, overflow) = value.multipliedReportingOverflow(by: unit.milliseconds)
    if overflow || product % decimals != 0 { return nil }
    let result = product / decimals
    return result <= 366_000 * 86_400_000 ? result : nil
  }

  /// The shortest such text: in the largest unit that leaves a whole number.
  public static func format(_ milliseconds: Int64) -> String {
    if milliseconds == 0 { return "0s" }
    for unit in units.dropLast().reversed() where milliseconds % unit.milliseconds == 0 {
      return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
    }
    return "\(milliseconds)ms"
  }

  /// For people: one decimal in the largest unit below it, 1.3h.
  public static func rounded(_ milliseconds: Int64) -> String {
    guard let unit = units.dropLast().reversed().first(where: { milliseconds >= $0.milliseconds }),
      unit.milliseconds > 1
    else { return "\(milliseconds)ms" }
    let tenths = milliseconds / (unit.milliseconds / 10)
    return "\(tenths / 10).\(tenths % 10)\(unit.suffix)"
  }
}
