// `affinityd simulate`: a seeded shop's events as JSON lines.
import ArgumentParser
import Simulator
import Sparse

extension ShopShape: ExpressibleByArgument {}

struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Writes the events of a simulated shop, the same bytes for the same seed.",
    discussion: """
      Planted in it, for a recommender to find: taste groups, complements that go into one order, bundles of \
      two that lead to a third, items that are hot for one week, a long tail of popularity.
      """)

  @Option(help: "Events to write.") var events = 100_000
  @Option(help: "Seed of everything random.") var seed: UInt64 = 1
  @Option(help: "shop (sessions, carts, orders), film (ratings) or grocer (large orders).")
  var shape = ShopShape.shop
  @Flag(name: .customLong("single"), help: "One item per event; an order becomes several events.")
  var oneItemPerEvent = false
  @Option(help: "Users. Default: 20000, or what suits the shape.") var users: Int?
  @Option(help: "Products. Default: 2000, or what suits the shape.") var items: Int?
  @Option(help: "Latent taste groups.") var groups: Int?
  @Option(help: "Time of the first event. Default: the span before 2026-03-01.")
  var start: TimeArgument?
  @Option(help: "Time from the first event to the last.")
  var span = DurationArgument(milliseconds: 30 * 86_400_000)
  @Option(help: "Share of sessions without a user.") var anonymous = 0.1
  @Option(help: "Share of orders of which an item comes back.") var refunds = 0.03
  @Option(help: "Share of events that come late, by up to --late-by.") var late = 0.0
  @Option(name: .customLong("late-by"), help: "How late a late event may be.")
  var lateBy = DurationArgument(milliseconds: 3_600_000)
  @Option(help: "Share of lines that repeat an earlier one.") var duplicates = 0.0
  @Option(help: "Where the events go; - is standard output.") var out = "-"
  @Option(help: "Write the products (messages of shop.catalogue) here.") var catalogue: String?

  func validate() throws {
    func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
      if !range.contains(value) {
        throw ValidationError("--\(name) \(value): \(range.lowerBound) to \(range.upperBound)")
      }
    }
    func check(_ name: String, _ value: Double, atMost: Double) throws {
      if !(value >= 0 && value <= atMost) {
        throw ValidationError("--\(name) \(value): 0 to \(atMost)")
      }
    }
    try check("events", events, 0...1_000_000_000_000)
    try check("users", users ?? 1, 1...1_000_000_000)
    try check("items", items ?? 1, 1...10_000_000)
    try check("groups", groups ?? 1, 1...255)
    try check("anonymous", anonymous, atMost: 1)
    try check("refunds", refunds, atMost: 1)
    try check("late", late, atMost: 1)
    try check("duplicates", duplicates, atMost: 0.9)
  }

  func run() throws {
    var c = ShopConfiguration(shape: shape)
    c.seed = seed
    c.events = events
    c.users = users ?? c.users
    c.items = items ?? c.items
    c.groups = groups ?? c.groups
    c.span = span.milliseconds
    c.start = start?.milliseconds ?? ShopConfiguration.defaultEnd - span.milliseconds
    c.oneItemPerEvent = oneItemPerEvent
    c.anonymousShare = anonymous
    c.refundShare = refunds
    c.lateShare = late
    c.lateBy = lateBy.milliseconds
    c.duplicateShare = duplicates
    var shop = Shop(c)

    if let catalogue {
      var file = try OutputFile(catalogue)
      for item in 0..<shop.catalogue.count {
        shop.catalogue.write(item, into: &file.buffer)
        file.buffer.append("\n")
        try file.spill()
      }
      try file.finish()
    }
    var file = try OutputFile(out)
    var progress = Progress("simulate")
    for i in 0..<events {
      _ = shop.next(into: &file.buffer)
      file.buffer.append("\n")
      try file.spill()
      if i & 0xffff == 0 { progress.update(i, of: events, "\(grouped(i)) events") }
    }
    progress.clear()
    try file.finish()
  }
}
