// Events of the simulated shop as JSON (DESIGN §3).
import Sparse

extension Shop {
  /// Opens an event up to and with its user or session; returns where the key stands.
  private mutating func begin(
    _ type: StaticString, user: Int32, session: UInt32, at time: Int64,
    into writer: inout ByteWriter
  ) -> Range<Int> {
    eventNumber &+= 1
    writer.append("{\"id\":\"e-")
    writer.append(unsigned: UInt64(eventNumber))
    writer.append("\",\"type\":\"")
    writer.append(type)
    writer.append("\",\"time\":\"")
    dateText.append(time, into: &writer)
    var key = 0..<0
    if user >= 0 {
      writer.append("\",\"user\":\"")
      let start = writer.count
      writer.append("u-")
      writer.append(unsigned: UInt64(user))
      key = start..<writer.count
    }
    if session > 0 {
      writer.append("\",\"session\":\"")
      let start = writer.count
      writer.append("s-")
      writer.append(unsigned: UInt64(session))
      if user < 0 { key = start..<writer.count }
    }
    return key
  }

  private func appendID(_ item: Int32, into writer: inout ByteWriter) {
    writer.append("{\"id\":\"sku-")
    writer.append(unsigned: UInt64(catalogue.numbers[Int(item)]))
    writer.append("\"")
  }

  private func appendLine(
    _ item: Int32, quantity: Int32, into writer: inout ByteWriter
  ) {
    appendID(item, into: &writer)
    writer.append(",\"quantity\":")
    writer.append(byte: 48 &+ UInt8(truncatingIfNeeded: quantity))
    writer.append(",\"price\":")
    let cents = catalogue.cents[Int(item)]
    writer.append(unsigned: UInt64(cents / 100))
    writer.append(".")
    writer.append(byte: 48 &+ UInt8(truncatingIfNeeded: cents / 10 % 10))
    // No trailing zero: the shortest text of the number.
    if cents % 10 != 0 { writer.append(byte: 48 &+ UInt8(truncatingIfNeeded: cents % 10)) }
    writer.append("}")
  }

  mutating func write(
    _ type: StaticString, _ session: Session, item: Int32, at time: Int64,
    into writer: inout ByteWriter
  ) -> Line {
    let start = writer.count
    let key = begin(
      type, user: session.user, session: session.number, at: time, into: &writer)
    writer.append("\",\"items\":[")
    if configuration.oneItemPerEvent {
      // The benchmarks' event: every type as long as a purchase, about 200 bytes.
      appendLine(item, quantity: 1, into: &writer)
      writer.append("],\"currency\":\"EUR\"}")
    } else {
      appendID(item, into: &writer)
      writer.append("}]}")
    }
    return Line(bytes: start..<writer.count, key: key, time: time)
  }

  /// A list was shown: four items of the session's cell, best sellers first.
  mutating func writeImpression(
    _ session: Session, at time: Int64, into writer: inout ByteWriter
  ) -> Line {
    let start = writer.count
    let key = begin(
      "impression", user: session.user, session: session.number, at: time, into: &writer)
    writer.append("\",\"recommendation\":\"r-")
    writer.append(unsigned: UInt64(eventNumber))
    writer.append("\",\"items\":[")
    let cell = Int(session.category) &* catalogue.styleCount &+ Int(session.style)
    let first = catalogue.cellStart[cell]
    for item in first..<min(first &+ 4, catalogue.cellStart[cell &+ 1]) {
      if item > first { writer.append(",") }
      appendID(item, into: &writer)
      writer.append("}")
    }
    writer.append("]}")
    return Line(bytes: start..<writer.count, key: key, time: time)
  }

  /// The order at hand: whole, or its first line with the others to follow.
  mutating func writeOrder(into writer: inout ByteWriter) -> Line {
    if configuration.oneItemPerEvent {
      orderAt = 1
      return writePurchase(0..<1, into: &writer)
    }
    orderAt = order.count
    return writePurchase(0..<order.count, into: &writer)
  }

  mutating func writePurchase(_ lines: Range<Int>, into writer: inout ByteWriter) -> Line {
    let start = writer.count
    let key = begin(
      "purchase", user: orderUser, session: orderSession, at: orderTime, into: &writer)
    writer.append("\",\"order\":\"o-")
    writer.append(unsigned: UInt64(orderNumber))
    writer.append("\",\"items\":[")
    for i in lines {
      if i > lines.lowerBound { writer.append(",") }
      appendLine(order[i].item, quantity: order[i].quantity, into: &writer)
    }
    writer.append("],\"currency\":\"EUR\"}")
    return Line(bytes: start..<writer.count, key: key, time: orderTime)
  }

  mutating func writeRefund(at time: Int64, into writer: inout ByteWriter) -> Line {
    let refund = popRefund()
    let start = writer.count
    let key = begin("refund", user: refund.user, session: 0, at: time, into: &writer)
    writer.append("\",\"order\":\"o-")
    writer.append(unsigned: UInt64(refund.order))
    writer.append("\",\"ordered\":\"")
    dateText.append(refund.ordered, into: &writer)
    writer.append("\",\"items\":[")
    appendID(refund.item, into: &writer)
    writer.append("}]}")
    return Line(bytes: start..<writer.count, key: key, time: time)
  }

  mutating func writeRating(
    user: Int32, item: Int32, value: Int, at time: Int64, into writer: inout ByteWriter
  ) -> Line {
    let start = writer.count
    let key = begin("rating", user: user, session: 0, at: time, into: &writer)
    writer.append("\",\"items\":[")
    appendID(item, into: &writer)
    writer.append("}],\"value\":")
    writer.append(value)
    writer.append("}")
    return Line(bytes: start..<writer.count, key: key, time: time)
  }
}

/// RFC 3339 text of times, the date kept from one call to the next.
struct DateText {
  private var day = Int64.min
  private var text: (UInt64, UInt16) = (0, 0)  // the ten bytes "2026-03-01", little endian

  /// Writes "2026-03-01T10:15:30.123Z". Years 0 to 9999.
  mutating func append(_ time: Int64, into writer: inout ByteWriter) {
    var today = time / 86_400_000
    var rest = time % 86_400_000
    if rest < 0 {
      today -= 1
      rest += 86_400_000
    }
    if today != day { turn(to: today) }
    let at = writer.reserve(24)
    UnsafeMutableRawPointer(at).storeBytes(of: text.0, as: UInt64.self)
    UnsafeMutableRawPointer(at + 8).storeBytes(of: text.1, as: UInt16.self)
    let ms = UInt32(truncatingIfNeeded: rest)
    let seconds = ms / 1000
    DateText.two(at + 11, seconds / 3600)
    DateText.two(at + 14, seconds / 60 % 60)
    DateText.two(at + 17, seconds % 60)
    let millis = ms % 1000
    at[10] = UInt8(ascii: "T")
    at[13] = UInt8(ascii: ":")
    at[16] = UInt8(ascii: ":")
    at[19] = UInt8(ascii: ".")
    at[20] = UInt8(truncatingIfNeeded: 48 &+ millis / 100)
    DateText.two(at + 21, millis % 100)
    at[23] = UInt8(ascii: "Z")
    writer.advance(24)
  }

  @inline(__always)
  private static func two(_ at: UnsafeMutablePointer<UInt8>, _ value: UInt32) {
    at[0] = UInt8(truncatingIfNeeded: 48 &+ value / 10)
    at[1] = UInt8(truncatingIfNeeded: 48 &+ value % 10)
  }

  /// Civil date of a day number (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
  private mutating func turn(to today: Int64) {
    day = today
    let z = today + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let date = UInt32(truncatingIfNeeded: dayOfYear - (153 * shifted + 2) / 5 + 1)
    let month = UInt32(truncatingIfNeeded: shifted < 10 ? shifted + 3 : shifted - 9)
    let year = UInt32(
      truncatingIfNeeded: max(0, yearOfEra + era * 400 + (month <= 2 ? 1 : 0)) % 10_000)
    var digits: [UInt8] = []
    for part in [year / 1000, year / 100 % 10, year / 10 % 10, year % 10] {
      digits.append(UInt8(48 + part))
    }
    digits += [45, UInt8(48 + month / 10), UInt8(48 + month % 10), 45]
    digits += [UInt8(48 + date / 10), UInt8(48 + date % 10)]
    var low: UInt64 = 0
    for i in 0..<8 { low |= UInt64(digits[i]) << UInt64(8 * i) }
    text = (low.littleEndian, (UInt16(digits[8]) | UInt16(digits[9]) << 8).littleEndian)
  }
}
