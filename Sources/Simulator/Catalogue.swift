// The products of a simulated shop. Items are numbered cell by cell (a cell = one style of one
// category), within a cell from the most to the least popular, so that a draw from a cell's alias
// table (A. J. Walker 1974; M. D. Vose 1991) is the item itself. The ids customers see are numbers
// in shuffled order: key order says nothing about popularity.
import Sparse

public struct ShopCatalogue: ~Copyable {
  public let count: Int
  public let categoryCount: Int
  /// Styles per category; cell = category * styleCount + style.
  public let styleCount: Int
  /// Titles, category paths and brands by item.
  public private(set) var titles: [String] = []
  public private(set) var brands: [String] = []
  public let categories: [[String]]
  /// Planted: who buys `antecedent` puts `consequent` into the same order (`complementOdds`).
  public private(set) var complements: [(antecedent: Int, consequent: Int)] = []
  /// Planted: only both antecedents together lead to the consequent.
  public private(set) var bundles: [(first: Int, second: Int, consequent: Int)] = []
  public static let complementOdds = 0.6

  let cellStart: Vec<Int32>
  /// By item.
  let cents: Vec<Int32>
  let numbers: Vec<Int32>
  let complement: Vec<Int32>  // -1 = none
  /// Alias table of the item's slot: take `alias` where a 32-bit draw is at or above `threshold`.
  let thresholds: Vec<UInt64>
  let aliases: Vec<Int32>

  public func id(_ item: Int) -> String { "sku-\(numbers[item])" }
  public func category(_ item: Int) -> Int { cell(item) / styleCount }
  public func price(_ item: Int) -> Double { Double(cents[item]) / 100 }

  /// Complexity: O(log cells).
  public func cell(_ item: Int) -> Int {
    var low = 0
    var high = cellStart.count - 1
    while high - low > 1 {
      let middle = (low + high) / 2
      if Int(cellStart[middle]) <= item { low = middle } else { high = middle }
    }
    return low
  }

  init(_ configuration: ShopConfiguration) {
    let words =
      switch configuration.shape {
      case .shop: Words.shop
      case .grocer: Words.grocer
      case .film: Words.films
      }
    var random = SplitMix(seed: configuration.seed ^ 0x6361_7461_6c6f_6775)
    count = max(1, configuration.items)
    categoryCount = min(words.count, max(1, count / 8))
    styleCount = min(4, count)
    let cells = categoryCount * styleCount
    categories = words.prefix(categoryCount).map(\.path)

    var starts = Vec<Int32>(capacity: cells + 1)
    for cell in 0...cells { starts.append(Int32(cell * count / cells)) }
    var cents = Vec<Int32>(capacity: count)
    var thresholds = Vec<UInt64>(repeating: 0, count: count)
    var aliases = Vec<Int32>(repeating: 0, count: count)
    titles.reserveCapacity(count)
    brands.reserveCapacity(count)
    let makers = [
      "Alder & Co", "Brightwell", "Casa Lume", "Dorset Works", "Elm Street", "Fjordby", "Gristmill",
      "Hearthside",
    ]
    // First item (the most popular) of a noun and style, for the planted rules.
    var firstOf: [String: Int] = [:]
    var nounOf: [String] = []
    for cell in 0..<cells {
      let category = words[cell / styleCount]
      let style = cell % styleCount
      let adjectives = Words.styles(category.kind)[style]
      var nouns = Array(0..<category.nouns.count)
      for i in stride(from: nouns.count - 1, to: 0, by: -1) { nouns.swapAt(i, random.below(i + 1)) }
      let first = Int(starts[cell])
      let size = Int(starts[cell + 1]) - first
      for k in 0..<size {
        let noun = category.nouns[nouns[k % nouns.count]]
        // Another adjective for the next noun, or a cell's best sellers would all be of walnut.
        let adjective = adjectives[(k / nouns.count + k) % adjectives.count]
        let variant = k / (nouns.count * adjectives.count)
        var title: String
        if category.kind == .film {
          title =
            "The \(adjective) \(noun.split(separator: " ").map(ShopCatalogue.capitalised).joined(separator: " "))"
          title += " (\(1950 + random.below(75)))"
          if variant > 0 { title += " \(variant + 1)" }
        } else {
          title = "\(adjective) \(noun)"
          title +=
            variant < Words.suffixes.count
            ? Words.suffixes[variant] : ", no. \(variant)"
        }
        titles.append(title)
        brands.append(makers[(cell + random.below(3)) % makers.count])
        nounOf.append(noun)
        let key = "\(noun)/\(style)"
        if firstOf[key] == nil { firstOf[key] = first + k }
        let (low, high) = category.price
        // Squared: more cheap things than dear ones. Prices end in 9.
        let u = random.unit()
        let price = Double(low) + Double(high - low) * u * u
        cents.append(Int32(price) / 10 * 10 + 9)
      }
      ShopCatalogue.fillAlias(first: first, count: size, &thresholds, &aliases)
    }
    var numbers = Vec<Int32>(capacity: count)
    let firstNumber = count < 9_000 ? 1_000 : 100_000
    for i in 0..<count { numbers.append(Int32(firstNumber + i)) }
    for i in stride(from: count - 1, to: 0, by: -1) {
      let j = random.below(i + 1)
      (numbers[i], numbers[j]) = (numbers[j], numbers[i])
    }
    let complement = Vec<Int32>(repeating: -1, count: count)
    for (a, b) in Words.complements {
      for item in 0..<count where nounOf[item] == a {
        var style = 0
        for cell in 0..<cells where item >= Int(starts[cell]) { style = cell % styleCount }
        guard let consequent = firstOf["\(b)/\(style)"] else { continue }
        complement[item] = Int32(consequent)
        complements.append((item, consequent))
      }
    }
    for (a, b, c) in Words.bundles {
      for style in 0..<styleCount {
        if let first = firstOf["\(a)/\(style)"], let second = firstOf["\(b)/\(style)"],
          let third = firstOf["\(c)/\(style)"]
        {
          bundles.append((first, second, third))
        }
      }
    }
    cellStart = starts
    self.cents = cents
    self.numbers = numbers
    self.complement = complement
    self.thresholds = thresholds
    self.aliases = aliases
  }

  /// Weights 1 / (rank + 4): long-tailed, and exact in doubles on every machine.
  private static func fillAlias(
    first: Int, count: Int, _ thresholds: inout Vec<UInt64>, _ aliases: inout Vec<Int32>
  ) {
    if count == 0 { return }
    var share: [Double] = []
    var sum = 0.0
    for k in 0..<count {
      share.append(1 / Double(k + 4))
      sum += share[k]
    }
    var small: [Int] = []
    var large: [Int] = []
    for k in 0..<count {
      share[k] = share[k] / sum * Double(count)
      if share[k] < 1 { small.append(k) } else { large.append(k) }
    }
    for k in 0..<count {
      thresholds[first + k] = 1 << 32
      aliases[first + k] = Int32(first + k)
    }
    while let less = small.popLast(), let more = large.last {
      thresholds[first + less] = UInt64(share[less] * 4_294_967_296)
      aliases[first + less] = Int32(first + more)
      share[more] -= 1 - share[less]
      if share[more] < 1 {
        large.removeLast()
        small.append(more)
      }
    }
  }

  private static func capitalised(_ word: Substring) -> String {
    word.prefix(1).uppercased() + word.dropFirst()
  }

  /// An item of the cell for one 64-bit draw.
  @inline(__always) func draw(cell: Int, _ bits: UInt64) -> Int32 {
    let first = cellStart[cell]
    let size = cellStart[cell + 1] &- first
    let slot = Int32(truncatingIfNeeded: ((bits >> 32) &* UInt64(size)) >> 32)
    let item = first &+ slot
    return bits & 0xffff_ffff < thresholds[Int(item)] ? item : aliases[Int(item)]
  }

  /// The product as a message of `shop.catalogue`, without a line feed; its key is `id(item)`.
  public func write(_ item: Int, into writer: inout ByteWriter) {
    writer.append("{\"item\":")
    writer.append(quoted: id(item))
    writer.append(",\"title\":")
    writer.append(quoted: titles[item])
    writer.append(",\"category\":[")
    for (i, part) in categories[category(item)].enumerated() {
      if i > 0 { writer.append(",") }
      writer.append(quoted: part)
    }
    writer.append("],\"brand\":")
    writer.append(quoted: brands[item])
    writer.append(",\"price\":")
    writer.append(price(item))
    writer.append(",\"available\":true}")
  }
}
