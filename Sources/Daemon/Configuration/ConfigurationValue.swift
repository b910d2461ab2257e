// What a key takes: how its text is read, checked, shown and described. A value is stored through
// the key path of its field, so that reading and showing can never mean two fields.
import Recommender

/// What is wanted instead: `at most 1`.
struct ConfigurationFailure: Error { var message: String }

/// The type of a configuration key over the struct that holds its field.
enum ConfigurationValue<Root>: Sendable {
  typealias Path<Value> = WritableKeyPath<Root, Value> & Sendable

  case text(Path<String>)
  case topic(Path<String>)
  case flag(Path<Bool>)
  case integer(Path<Int>, ClosedRange<Int>)
  /// A bound that can be lifted: `all` (also written 0) is `none`.
  case bound(Path<Int>, ClosedRange<Int>, none: Int)
  case real(Path<Double>, ClosedRange<Double>)
  /// Milliseconds.
  case duration(Path<Int64>, ClosedRange<Int64>)
  /// Milliseconds, or `all`.
  case window(Path<Int64?>)
  case decimal(Path<RulesConfiguration.Decimal>)
  case choice(
    [String], get: @Sendable (Root) -> String, set: @Sendable (inout Root, String) -> Void)
  case behaviours(Path<[Behaviour]>)
  case listen(Path<Configuration.Listen?>)

  /// Reads `text` into `root`. The failure says what is wanted: `at most 1`.
  func store(_ text: String, in root: inout Root) throws(ConfigurationFailure) {
    func fail(_ message: String) -> ConfigurationFailure { ConfigurationFailure(message: message) }
    if text.isEmpty { throw fail("empty; leave the key out for its default") }
    switch self {
    case .text(let path):
      root[keyPath: path] = text
    case .topic(let path):
      let isLegal = text.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 | 32 >= 97 && $0 | 32 <= 122) || $0 == 46 || $0 == 95
          || $0 == 45
      }
      if !isLegal || text.utf8.count > 249 || text == "." || text == ".." {
        throw fail("a topic's name is 1 to 249 of a-z A-Z 0-9 . _ -")
      }
      root[keyPath: path] = text
    case .flag(let path):
      switch text {
      case "true": root[keyPath: path] = true
      case "false": root[keyPath: path] = false
      default: throw fail("true or false")
      }
    case .integer(let path, let range):
      root[keyPath: path] = try ConfigurationNumber.integer(text, range)
    case .bound(let path, let range, let none):
      if text == "all" || text == "0" {
        root[keyPath: path] = none
      } else {
        do { root[keyPath: path] = try ConfigurationNumber.integer(text, range) } catch {
          throw ConfigurationFailure(message: error.message + ", or all")
        }
      }
    case .real(let path, let range):
      root[keyPath: path] = try ConfigurationNumber.real(text, range)
    case .duration(let path, let range):
      root[keyPath: path] = try ConfigurationNumber.duration(text, range)
    case .window(let path):
      if text == "all" {
        root[keyPath: path] = nil
      } else {
        do {
          root[keyPath: path] = try ConfigurationNumber.duration(text, 1...Int64.max)
        } catch { throw ConfigurationFailure(message: error.message + ", or all") }
      }
    case .decimal(let path):
      guard let value = RulesConfiguration.Decimal(text) else {
        throw fail("a decimal number such as 0.001 (a share of the baskets) or 200 (a count)")
      }
      if value.numerator == 0 { throw fail("above 0") }
      if value.numerator > value.denominator && value.numerator % value.denominator != 0 {
        throw fail("from 1 up a whole count of baskets")
      }
      root[keyPath: path] = value
    case .choice(let known, _, let set):
      if !known.contains(text) {
        let near = ConfigurationNames.nearest(to: text, among: known)
        throw fail(
          "one of \(known.joined(separator: ", "))" + (near.map { "; did you mean \($0)?" } ?? ""))
      }
      set(&root, text)
    case .behaviours(let path):
      var list: [Behaviour] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        let name = String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        guard let behaviour = Behaviour(name: name) else {
          throw fail("\(name.isEmpty ? "an empty entry" : name): a list of \(Self.behaviourNames)")
        }
        if list.contains(behaviour) { throw fail("\(name) stands there twice") }
        list.append(behaviour)
      }
      root[keyPath: path] = list
    case .listen(let path):
      if text == "off" {
        root[keyPath: path] = nil
        return
      }
      if text.hasPrefix("unix:") {
        let file = String(text.dropFirst(5))
        if !file.hasPrefix("/") { throw fail("a socket's path begins with /: unix:/run/affinity/admin.sock") }
        if file.utf8.count > 107 { throw fail("a socket's path has at most 107 bytes") }
        root[keyPath: path] = .unix(path: file)
        return
      }
      guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
        (0...65_535).contains(port)
      else { throw fail("host:port such as 127.0.0.1:9464, unix:/path, or off") }
      var host = String(text[..<colon])
      if host.hasPrefix("[") && host.hasSuffix("]") {
        host = String(host.dropFirst().dropLast())
      } else if host.contains(":") {
        throw fail("an IPv6 address stands in brackets: [::1]:9464")
      }
      root[keyPath: path] = .address(host: host, port: port)
    }
  }

  /// The field's value as it would be written.
  func show(_ root: Root) -> String {
    switch self {
    case .text(let path), .topic(let path): root[keyPath: path]
    case .flag(let path): root[keyPath: path] ? "true" : "false"
    case .integer(let path, _): String(root[keyPath: path])
    case .bound(let path, _, let none):
      root[keyPath: path] == none ? "all" : String(root[keyPath: path])
    case .real(let path, _): ConfigurationNumber.show(root[keyPath: path])
    case .duration(let path, _): DurationText.format(root[keyPath: path])
    case .window(let path): root[keyPath: path].map(DurationText.format) ?? "all"
    case .decimal(let path): root[keyPath: path].text
    case .choice(_, let get, _): get(root)
    case .behaviours(let path):
      "[" + root[keyPath: path].map(\.name).joined(separator: ", ") + "]"
    case .listen(let path): root[keyPath: path]?.description ?? "off"
    }
  }

  /// Whether a list may be written for it.
  var isList: Bool { if case .behaviours = self { true } else { false } }

  /// The type and range, for people.
  var wanted: String {
    switch self {
    case .text: "text"
    case .topic: "a topic"
    case .flag: "true, false"
    case .integer(_, let range): "\(range.lowerBound) to \(range.upperBound)"
    case .bound(_, let range, _): "\(range.lowerBound) to \(range.upperBound), all"
    case .real(_, let range):
      "\(ConfigurationNumber.show(range.lowerBound)) to \(ConfigurationNumber.show(range.upperBound))"
    case .duration(_, let range):
      "duration, \(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound))"
    case .window: "duration, all"
    case .decimal: "share of baskets below 1, count from 1"
    case .choice(let known, _, _): known.joined(separator: ", ")
    case .behaviours: "list of \(Self.behaviourNames)"
    case .listen: "host:port, unix:/path, off"
    }
  }

  private static var behaviourNames: String {
    Behaviour.allCases.map(\.name).joined(separator: ", ")
  }

  /// A choice among the cases of an enum of strings.
  static func choice<Value: RawRepresentable & CaseIterable & Sendable>(
    of path: Path<Value>
  ) -> Self where Value.RawValue == String {
    .choice(
      Value.allCases.map(\.rawValue), get: { $0[keyPath: path].rawValue },
      set: { root, name in if let value = Value(rawValue: name) { root[keyPath: path] = value } })
  }

  /// A choice among the words of the house.
  static func word<Value: CaseIterable & Sendable>(
    _ path: Path<Value>, _ name: @escaping @Sendable (Value) -> String
  ) -> Self {
    .choice(
      Value.allCases.map(name), get: { name($0[keyPath: path]) },
      set: { root, text in
        if let value = Value.allCases.first(where: { name($0) == text }) {
          root[keyPath: path] = value
        }
      })
  }
}

enum ConfigurationNumber {
  static func integer(
    _ text: String, _ range: ClosedRange<Int>
  ) throws(ConfigurationFailure) -> Int {
    guard let value = Int(text), !text.hasPrefix("+") else {
      // A number all the same: too long for us, or with a fraction.
      throw .init(
        message: real(text) == nil
          ? "a whole number, \(range.lowerBound) to \(range.upperBound)"
          : "a whole number, at most \(range.upperBound)")
    }
    if value < range.lowerBound { throw .init(message: "at least \(range.lowerBound)") }
    if value > range.upperBound { throw .init(message: "at most \(range.upperBound)") }
    return value
  }

  static func real(
    _ text: String, _ range: ClosedRange<Double>
  ) throws(ConfigurationFailure) -> Double {
    guard let value = real(text) else { throw .init(message: "a number") }
    if value < range.lowerBound { throw .init(message: "at least \(show(range.lowerBound))") }
    if value > range.upperBound { throw .init(message: "at most \(show(range.upperBound))") }
    return value
  }

  static func duration(
    _ text: String, _ range: ClosedRange<Int64>
  ) throws(ConfigurationFailure) -> Int64 {
    guard let value = DurationText.parse(text) else {
      let needsUnit = real(text) != nil
      throw .init(
        message: needsUnit
          ? "a duration needs a unit: \(text)ms, \(text)s, \(text)m, \(text)h or \(text)d"
          : "a duration such as 250ms, 5s, 10m, 1h or 365d")
    }
    if value < range.lowerBound {
      throw .init(message: "at least \(DurationText.format(range.lowerBound))")
    }
    if value > range.upperBound {
      throw .init(message: "at most \(DurationText.format(range.upperBound))")
    }
    return value
  }

  private static func real(_ text: String) -> Double? {
    // `Double` also reads hexadecimal, inf and nan.
    let isPlain = text.utf8.allSatisfy {
      ($0 >= 48 && $0 <= 57) || $0 == 46 || $0 == 45 || $0 == 43 || $0 | 32 == 101
    }
    guard isPlain, let value = Double(text), value.isFinite else { return nil }
    return value
  }

  static func show(_ value: Double) -> String {
    value == value.rounded(.towardZero) && abs(value) < 1e15 ? String(Int(value)) : "\(value)"
  }
}

extension RulesConfiguration.Decimal {
  /// `0.001`, `1e-3`, `200`: the number that was written, exact and in lowest terms of ten. At most 18
  /// digits, and 18 behind the point.
  public init?(_ text: String) {
    var numerator: UInt64 = 0
    var places = 0
    var digits = 0
    var hasPoint = false
    var rest = text.utf8[...]
    while let c = rest.first {
      if c == 46 && !hasPoint {
        hasPoint = true
      } else if c >= 48 && c <= 57 {
        digits += 1
        if numerator >= 100_000_000_000_000_000 { return nil }
        numerator = numerator * 10 + UInt64(c - 48)
        if hasPoint { places += 1 }
      } else {
        break
      }
      rest = rest.dropFirst()
    }
    if digits == 0 { return nil }
    if let c = rest.first {
      guard c | 32 == 101, let exponent = Int(String(decoding: rest.dropFirst(), as: UTF8.self)),
        (-18...18).contains(exponent)
      else { return nil }
      places -= exponent
    }
    while places > 0 && numerator % 10 == 0 {
      numerator /= 10
      places -= 1
    }
    if numerator == 0 { places = 0 }
    while places < 0 {
      if numerator >= 100_000_000_000_000_000 { return nil }
      numerator *= 10
      places += 1
    }
    if places > 18 { return nil }
    var denominator: UInt64 = 1
    for _ in 0..<places { denominator *= 10 }
    self.init(numerator: numerator, denominator: denominator)
  }

  /// As it would be written: 0.001.
  public var text: String {
    if denominator <= 1 { return String(numerator) }
    var places = 0
    var rest = denominator
    while rest > 1 {
      rest /= 10
      places += 1
    }
    let fraction = String(numerator % denominator)
    var padded = String(repeating: "0", count: max(0, places - fraction.utf8.count)) + fraction
    while padded.hasSuffix("0") { padded.removeLast() }
    return padded.isEmpty ? String(numerator / denominator) : "\(numerator / denominator).\(padded)"
  }
}

enum ConfigurationNames {
  /// The known name that `name` is probably meant to be: the same last part, or few letters away; of
  /// equally near ones the first. A last part that several share names them all.
  static func nearest(to name: String, among known: [String]) -> String? {
    var best: (distance: Int, name: String)?
    for candidate in known {
      let distance = editDistance(Array(name.utf8), Array(candidate.utf8))
      if distance < best?.distance ?? Int.max { best = (distance, candidate) }
    }
    if let best, best.distance <= max(2, name.utf8.count / 4) { return best.name }
    let last = name.split(separator: ".").last.map(String.init) ?? name
    let same = known.filter { $0 == last || $0.hasSuffix("." + last) }
    return same.isEmpty || same.count > 3 ? nil : same.joined(separator: " or ")
  }

  /// Letters to insert, remove, replace or swap (optimal string alignment).
  static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var before: [Int] = []
    var row = Array(0...b.count)
    for i in 0..<a.count {
      var next = [i + 1]
      for j in 0..<b.count {
        var cost = min(next[j] + 1, row[j + 1] + 1, row[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
          cost = min(cost, before[j - 1] + 1)
        }
        next.append(cost)
      }
      before = row
      row = next
    }
    return row[b.count]
  }
}
