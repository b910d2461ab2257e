// Records of the catalogue topic: what is known of an item besides what is done to it.
// Not hot: plain strings.

public struct CatalogueEntry: Hashable, Sendable {
  /// The record's key.
  public var item: String
  public var title: String?
  /// From the widest category to the narrowest.
  public var category: [String] = []
  public var brand: String?
  /// At least 0, finite.
  public var price: Double?
  public var currency: String?
  public var tags: [String] = []
  public var isAvailable = true
  /// The `attributes` value as it was written, JSON.
  public var attributes: String?

  public init(item: String) { self.item = item }
}

public enum CatalogueDecoded: Hashable, Sendable {
  case entry(CatalogueEntry)
  /// A null value: the item is gone.
  case gone(item: String)
  case rejected(Rejection)
}

extension CatalogueEntry {
  /// What stands between the levels of a category written as one string.
  public static let categorySeparator = ">"

  /// Reads one record. Fields of ours: `title`, `category` (`"a > b"` or an array), `brand`, `price`,
  /// `currency`, `tags`, `available`, `attributes`; null is absence; others are ignored.
  /// - Parameter value: a null base address is a null value.
  public static func decode(
    key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, limits: EventLimits = EventLimits()
  ) -> CatalogueDecoded {
    func rejected(_ reason: RejectReason, _ text: String) -> CatalogueDecoded {
      .rejected(Rejection(reason: reason, message: text + "; catalogue record rejected"))
    }
    if key.count == 0 { return rejected(.missingKey, "the key is empty; give the item as key") }
    if key.count > limits.maxIDBytes {
      return rejected(.idTooLong, "key: \(key.count) bytes, at most \(limits.maxIDBytes)")
    }
    guard let item = String(validating: key, as: UTF8.self) else {
      return rejected(.invalidUTF8, "key: bytes that are not UTF-8")
    }
    if value.baseAddress == nil { return .gone(item: item) }
    if value.count > limits.maxMessageBytes {
      return rejected(.tooLarge, "\(value.count) bytes, at most \(limits.maxMessageBytes)")
    }
    let json: JSON
    do throws(JSON.Fault) { json = try JSON(value) } catch {
      switch error.kind {
      case .empty: return rejected(.empty, "the message has no bytes; null would remove the item")
      case .malformed: return rejected(.malformedJSON, "not JSON at byte \(error.at)")
      case .tooDeep:
        return rejected(.malformedJSON, "more than \(JSON.maxDepth) levels deep at byte \(error.at)")
      case .invalidUTF8: return rejected(.invalidUTF8, "bytes that are not UTF-8 before \(error.at)")
      }
    }
    guard case .object(let members) = json else {
      return rejected(.notAnObject, "not a JSON object")
    }
    var entry = CatalogueEntry(item: item)
    var seen: [String] = []
    for member in members {
      let known = ["title", "category", "brand", "price", "currency", "tags", "available", "attributes"]
      if !known.contains(member.key) { continue }
      if seen.contains(member.key) {
        return rejected(.duplicateKey, "\(member.key) at byte \(member.range.lowerBound): given a second time")
      }
      seen.append(member.key)
      if member.value == .null { continue }
      func wrong(_ wanted: String) -> CatalogueDecoded {
        rejected(
          .wrongTypeOfField, "\(member.key) at byte \(member.range.lowerBound): must be \(wanted)")
      }
      switch (member.key, member.value) {
      case ("title", .string(let text)): entry.title = text
      case ("brand", .string(let text)): entry.brand = text
      case ("currency", .string(let text)): entry.currency = text
      case ("title", _), ("brand", _), ("currency", _): return wrong("a string")
      case ("category", .string(let text)):
        entry.category = text.split(separator: Character(categorySeparator)).map(trimmed)
          .filter { !$0.isEmpty }
      case ("category", .array(let values)), ("tags", .array(let values)):
        let texts = values.compactMap(\.string)
        if texts.count != values.count { return wrong("an array of strings") }
        if member.key == "tags" { entry.tags = texts } else { entry.category = texts }
      case ("category", _): return wrong("a string or an array of strings")
      case ("tags", _): return wrong("an array of strings")
      case ("price", .number(let price, let text)):
        if !(price >= 0 && price.isFinite) {
          return rejected(
            .priceInvalid,
            "price \(text.prefix(40)) at byte \(member.range.lowerBound): must be at least 0 and within a double's range")
        }
        entry.price = price + 0
      case ("price", _): return wrong("a number")
      case ("available", .bool(let available)): entry.isAvailable = available
      case ("available", _): return wrong("true or false")
      default:
        entry.attributes = String(
          decoding: UnsafeRawBufferPointer(rebasing: value[member.range]), as: UTF8.self)
      }
    }
    return .entry(entry)
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while let c = text.first, c.isWhitespace { text.removeFirst() }
    while let c = text.last, c.isWhitespace { text.removeLast() }
    return String(text)
  }
}
