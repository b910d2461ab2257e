// What may come instead of an event, and what must become of each.
import Kafka

struct Poison: Sendable {
  enum Fate: Equatable, Sendable {
    /// On the dead-letter topic as it came, with this reason.
    case deadLetter(String)
    /// On the dead-letter topic, cut down to a stub, with this reason.
    case stub(String)
    /// Counted in the metrics under this name.
    case counted(String)
    /// An event like any other.
    case applied
  }
  var name: String
  var key: [UInt8]?
  var value: [UInt8]?
  var headers: [Header]
  var fate: Fate
  /// Larger than 100 kB: a few are enough.
  var isGiant: Bool { (value?.count ?? 0) + (key?.count ?? 0) > 100_000 }

  /// - Parameters:
  ///   - good: a line of the good log; a kind that is applied is that line in other clothes, so that it adds
  ///     nothing. It begins with `{` and a member.
  ///   - maxMessageBytes: the daemon's `message.max.bytes`.
  static func all(good: [UInt8], maxMessageBytes: Int) -> [Poison] {
    var kinds: [Poison] = []
    func add(
      _ name: String, _ value: [UInt8]?, _ fate: Fate, key: [UInt8]? = Array("poison".utf8),
      headers: [Header] = []
    ) {
      kinds.append(Poison(name: name, key: key, value: value, headers: headers, fate: fate))
    }
    func add(_ name: String, _ text: String, _ fate: Fate, headers: [Header] = []) {
      add(name, Array(text.utf8), fate, headers: headers)
    }
    /// An event that is right but for what is put over it.
    func event(
      type: String = "\"view\"", time: String = "\"2024-03-03T10:00:00.000Z\"",
      user: String = "\"poison\"", items: String = "[{\"id\":\"sku-1\"}]", more: String = ""
    ) -> String {
      "{\"type\":\(type),\"time\":\(time),\"user\":\(user),\"items\":\(items)\(more)}"
    }
    func goodWith(_ member: [UInt8]) -> [UInt8] { [0x7b] + member + [0x2c] + good.dropFirst() }
    func repeated(_ text: String, _ count: Int) -> [UInt8] {
      let piece = Array(text.utf8)
      var bytes: [UInt8] = []
      bytes.reserveCapacity(piece.count * count)
      for _ in 0..<count { bytes += piece }
      return bytes
    }
    let thousand = (0..<1000).map { Header("h-\($0)", "value \($0)") }
    let json = Array(event().utf8)

    add("null without a key", nil, .deadLetter("missing_user"), key: nil)
    add("null with an empty key", nil, .deadLetter("missing_user"), key: [])
    add("null under a key that is not UTF-8", nil, .deadLetter("invalid_utf8"), key: [0xff, 0xfe])
    add("null under a huge key", nil, .deadLetter("id_too_long"), key: repeated("k", 90_000))
    add("null: an erasure", nil, .counted("outcome.erasure"))
    add("an erasure", "{\"type\":\"erase\",\"time\":1709460000000,\"user\":\"poison\"}", .counted("outcome.erasure"))
    add("no bytes", [], .deadLetter("empty"))
    add("a huge key", Array("{".utf8), .deadLetter("malformed_json"), key: repeated("k", 90_000))
    add("no key", Array("nonsense".utf8), .deadLetter("malformed_json"), key: nil)
    add("bytes that are not UTF-8", Array(event(user: "\"").dropLast().utf8) + [0xff, 0x22, 0x7d], .deadLetter("invalid_utf8"))
    add("half a surrogate", event(user: "\"\\ud800\""), .deadLetter("invalid_utf8"))
    add("truncated", Array(json.dropLast(7)), .deadLetter("malformed_json"))
    add("something behind it", event() + " x", .deadLetter("malformed_json"))
    add("a control character", event(user: "\"a\u{1}b\""), .deadLetter("malformed_json"))
    add("10,000 levels, open", repeated("[", 10_000), .deadLetter("malformed_json"))
    add("10,000 levels", repeated("[", 10_000) + repeated("]", 10_000), .deadLetter("not_an_object"))
    add(
      "10,000 levels in a field we ignore",
      goodWith(Array("\"deep\":".utf8) + repeated("[", 10_000) + repeated("]", 10_000)), .applied)
    add("a field twice", event(more: ",\"user\":\"other\""), .deadLetter("duplicate_key"))
    add("1e999", event(items: "[{\"id\":\"a\",\"price\":1e999}]"), .deadLetter("price_invalid"))
    add("a negative price", event(items: "[{\"id\":\"a\",\"price\":-0.01}]"), .deadLetter("price_invalid"))
    add("quantity -1", event(items: "[{\"id\":\"a\",\"quantity\":-1}]"), .deadLetter("quantity_invalid"))
    add("quantity 2^64", event(items: "[{\"id\":\"a\",\"quantity\":18446744073709551616}]"), .deadLetter("quantity_invalid"))
    add("NaN", event(items: "[{\"id\":\"a\",\"price\":NaN}]"), .deadLetter("malformed_json"))
    add("an object for a user", event(user: "{}"), .deadLetter("wrong_type_of_field"))
    add("a text for items", event(items: "\"sku-1\""), .deadLetter("wrong_type_of_field"))
    add("a number for a type", event(type: "7"), .deadLetter("wrong_type_of_field"))
    add("no type", "{\"time\":1709460000000,\"user\":\"u\",\"items\":[{\"id\":\"a\"}]}", .deadLetter("missing_type"))
    add("no time", "{\"type\":\"view\",\"user\":\"u\",\"items\":[{\"id\":\"a\"}]}", .deadLetter("missing_time"))
    add("no user", "{\"type\":\"view\",\"time\":1709460000000,\"items\":[{\"id\":\"a\"}]}", .deadLetter("missing_user"))
    add("no items", "{\"type\":\"view\",\"time\":1709460000000,\"user\":\"u\"}", .deadLetter("missing_items"))
    add("an empty list of items", event(items: "[]"), .deadLetter("missing_items"))
    add("an item without an id", event(items: "[{\"quantity\":1}]"), .deadLetter("missing_item_id"))
    add("an empty id", event(items: "[{\"id\":\"\"}]"), .deadLetter("empty_id"))
    add("an item id of 2,000 bytes", event(items: "[{\"id\":\"\(String(repeating: "i", count: 2000))\"}]"), .deadLetter("id_too_long"))
    add("a session of 2,000 bytes", event(more: ",\"session\":\"\(String(repeating: "s", count: 2000))\""), .deadLetter("id_too_long"))
    add("10,001 items", event(items: "[" + (0..<10_001).map { "{\"id\":\"sku-\($0)\"}" }.joined(separator: ",") + "]"), .deadLetter("too_many_items"))
    add("a time in words", event(time: "\"yesterday\""), .deadLetter("time_invalid"))
    add("time -1", event(time: "-1"), .deadLetter("time_out_of_range"))
    add("the year 2200", event(time: "\"2200-01-01T00:00:00Z\""), .deadLetter("future"))
    add("a time past 64 bits", event(time: "99999999999999999999"), .deadLetter("time_out_of_range"))
    add("time 0", event(time: "0"), .counted("outcome.too_old"))
    add("the year 1971", event(time: "\"1971-05-05T05:05:05Z\""), .counted("outcome.too_old"))
    add("a registry's frame around JSON", [0, 0, 0, 0, 42] + json, .deadLetter("malformed_json"))
    add(
      "a broken varint", [0x08] + [UInt8](repeating: 0xff, count: 11),
      .deadLetter("unsupported_content_type"),
      headers: [Header("content-type", "application/x-protobuf")])
    add("a byte order mark", [0xef, 0xbb, 0xbf] + json, .deadLetter("malformed_json"))
    add("an empty object", "{}", .deadLetter("missing_type"))
    add("a list", "[]", .deadLetter("not_an_object"))
    add("the word null", "null", .deadLetter("not_an_object"))
    add("gzip", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3] + [UInt8](repeating: 0, count: 64), .deadLetter("invalid_utf8"))
    add("UTF-16", Array("{}".utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }), .deadLetter("malformed_json"))
    add("an unknown type", event(type: "\"teleport\""), .counted("unknown_types"))
    add("no consent", event(more: ",\"consent\":false"), .counted("outcome.consent_withheld"))
    add("a rating without a value", event(type: "\"rating\""), .counted("outcome.rating_without_value"))
    add("a rating of 1e999", event(type: "\"rating\"", more: ",\"value\":1e999"), .deadLetter("value_invalid"))
    add("1,000 headers", good, .applied, headers: thousand)
    add("1,000 headers on nonsense", "nonsense", .deadLetter("malformed_json"), headers: thousand)
    add(
      "headers of null, of nothing, of any bytes", "nonsense", .deadLetter("malformed_json"),
      headers: [
        Header("null", nil), Header("empty", []), Header("bytes", [0, 255, 10, 0]),
        Header("twice", "a"), Header("twice", "b"),
      ])
    add("a batch of CloudEvents", "[]", .deadLetter("cloudevents_batch"), headers: [Header("content-type", "application/cloudevents-batch+json")])
    let structured = [Header("content-type", "application/cloudevents+json")]
    add("a CloudEvent without data", "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}", .deadLetter("missing_data"), headers: structured)
    add("a CloudEvent of no base64", "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data_base64\":\"***\"}", .deadLetter("invalid_base64"), headers: structured)

    // Giants.
    add("a text of 1 MB we ignore", goodWith(Array("\"note\":\"".utf8) + repeated("n", 1_000_000) + [0x22]), .applied)
    add("an id of 1 MB", Array("{\"type\":\"view\",\"time\":1709460000000,\"items\":[{\"id\":\"a\"}],\"user\":\"".utf8) + repeated("u", 1_000_000) + [0x22, 0x7d], .deadLetter("id_too_long"))
    add("10^6 numbers we ignore", goodWith(Array("\"list\":[".utf8) + repeated("0,", 999_999) + [0x30, 0x5d]), .applied)
    add("10^6 numbers for items", Array("{\"type\":\"view\",\"time\":1709460000000,\"user\":\"u\",\"items\":[".utf8) + repeated("0,", 999_999) + [0x30, 0x5d, 0x7d], .deadLetter("wrong_type_of_field"))
    add("as large as a message may be", repeated("x", maxMessageBytes - 200), .stub("malformed_json"))
    return kinds
  }
}
