// What `validate` says about a log, counted by hand on a small one.
import Daemon
import Events
import Foundation
import Testing

@Suite struct LogQualityTests {
  static func read(_ logs: [String]) throws -> [String: Any] {
    var paths: [String] = []
    defer { for path in paths { unlink(path) } }
    for log in logs {
      let path = NSTemporaryDirectory() + "affinity-quality-\(UUID().uuidString)"
      try Data(log.utf8).write(to: URL(fileURLWithPath: path))
      paths.append(path)
    }
    var quality = LogQuality()
    try quality.read(paths, limits: EventLimits(), futureTolerance: 300_000)
    let json = quality.json
    return try #require(
      try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
  }

  static let log = """
    {"type":"view","time":1000,"user":"u1","session":"s1","items":[{"id":"a"}]}
    {"type":"view","time":1000,"user":"u1","session":"s1","items":[{"id":"a"}],"id":"again"}
    {"type":"purchase","time":9000,"user":"u1","order":"o1","items":[{"id":"a"},{"id":"b"}]}
    {"type":"purchase","time":4000,"user":"u2","items":[{"id":"b"}]}
    {"type":"refund","time":9500,"user":"u1","order":"o1","items":[{"id":"a"}]}
    {"type":"refund","time":9600,"user":"u2","order":"o1","items":[{"id":"a"}]}
    {"type":"view","time":9700,"session":"s1","items":[{"id":"c"}]}
    {"type":"dance","time":9700,"user":"u3","items":[{"id":"d"}]}
    {"type":"view","time":9700,"user":"u3","items":[]}
    {"type":"view"
    """

  @Test func counts() throws {
    let q = try Self.read([Self.log])
    func number(_ name: String) -> Int? { q[name] as? Int }
    #expect(number("records") == 10)
    #expect(number("events") == 7)
    #expect(q["types"] as? [String: Int] == ["view": 3, "purchase": 2, "refund": 2])
    #expect(q["rejected"] as? [String: Int] == ["missing_items": 1, "malformed_json": 1])
    #expect(number("unknown_types") == 1)
    #expect(number("users") == 2)
    #expect(number("anonymous") == 1)
    // u1's s1 and the stranger's s1 are two.
    #expect(number("sessions") == 2)
    #expect(number("orders") == 1)
    #expect(number("items") == 3)
    #expect(number("item_lines") == 8)
    #expect(number("largest_event") == 2)
    #expect(number("duplicates") == 1)
    #expect(number("out_of_order") == 1)
    #expect(number("largest_delay_ms") == 5000)
    #expect(number("purchases_without_order") == 1)
    // u2 refunds an order of u1: not theirs.
    #expect(number("refunds_without_order") == 1)
    #expect(q["first"] as? String == "1970-01-01T00:00:01.000Z")
    #expect(q["last"] as? String == "1970-01-01T00:00:09.700Z")
  }

  /// Order is a matter of one partition; duplicates are found across files.
  @Test func severalFiles() throws {
    let early = #"{"type":"view","time":1000,"user":"u1","items":[{"id":"a"}]}"#
    let late = #"{"type":"view","time":5000,"user":"u1","items":[{"id":"a"}]}"#
    let q = try Self.read([late, early + "\n" + late])
    #expect(q["out_of_order"] as? Int == 0)
    #expect(q["duplicates"] as? Int == 1)
    #expect(try Self.read([""])["records"] as? Int == 0)
  }
}
