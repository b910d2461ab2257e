// Messages, what changed between two rule sets, and the lookup for ranking.
import Recommender
import Sparse
import Testing

@Suite struct AssociationRulesOutput {
  func rules(
    _ list: BasketList, _ names: [String], minimum: Int = 1,
    _ change: (inout RulesConfiguration) -> Void = { _ in }
  ) -> RuleSet {
    var configuration = RulesConfiguration()
    configuration.minConfidence = 0
    configuration.maxQ = 1
    configuration.pruneRedundant = false
    change(&configuration)
    let keys = interner(names)
    return list.read { baskets in
      makeRules(
        mineFrequentItemsets(baskets, minimumCount: minimum), configuration: configuration,
        items: keys)
    }
  }

  func messages(_ rules: RuleSet) -> [(key: String, value: String)] {
    (0..<rules.groupCount).map { group in
      var key = ByteWriter()
      rules.encodeKey(ofGroup: group, into: &key)
      var value = ByteWriter()
      rules.encode(group: group, model: "m-000123", into: &value)
      return (key.string, value.string)
    }
  }

  /// Ten baskets, a in five, b in five, both in three (the check vector), c with every b.
  let check = BasketList([
    [0, 1, 2], [1, 2, 0], [2, 0, 1], [0], [0], [1, 2], [1, 2], [], [], [],
  ])

  @Test func messagesAreGolden() {
    let all = messages(rules(check, ["sku-2", "sku-10", "say \"c\""]))
    #expect(
      all.map(\.key) == [
        #"["say \"c\""]"#, #"["say \"c\"","sku-10"]"#, #"["say \"c\"","sku-2"]"#, #"["sku-10"]"#,
        #"["sku-10","sku-2"]"#, #"["sku-2"]"#,
      ])
    // P[Hyp(10, 5, 5) >= 3] = 126/252, P[>= 5] = 1/252; nine rules, two of them with
    // the lesser p: q = 9/252 / 2.
    #expect(
      all[3].value
        == #"{"antecedent":["sku-10"],"model":"m-000123","baskets":10,"antecedent_count":5,"consequents":["#
        + #"{"items":["say \"c\""],"consequent_count":5,"count":5,"support":0.5,"confidence":1,"lift":2,"#
        + #""leverage":0.25,"conviction":null,"p":\#(json(1.0 / 252, all[3].value, "p", 0)),"q":\#(json(9.0 / 252 / 2, all[3].value, "q", 0))},"#
        + #"{"items":["sku-2"],"consequent_count":5,"count":3,"support":0.3,"confidence":0.6,"lift":1.2,"#
        + #""leverage":0.05,"conviction":1.25,"p":\#(json(0.5, all[3].value, "p", 1)),"q":\#(json(0.5, all[3].value, "q", 1))}]}"#
    )
  }

  /// The number at the place, once it is the expected one to 12 digits.
  func json(_ expected: Double, _ text: String, _ name: String, _ place: Int) -> String {
    let parts = text.components(separatedBy: "\"\(name)\":")
    guard place + 1 < parts.count else { return "missing" }
    let digits = String(parts[place + 1].prefix { !",}".contains($0) })
    guard let value = Double(digits) else { return "no number" }
    #expect(abs(value - expected) <= 1e-12 * expected)
    return digits
  }

  @Test func consequentsGoByConfidenceLiftAndKey() {
    // With x, in three baskets: a10, a2 (3 of 3), b (3 of 5), c (2 of 3).
    let names = ["x", "a2", "a10", "b", "c"]
    let list = BasketList([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3], [3], [3, 4], []])
    let rules = rules(list, names)
    guard let group = (0..<rules.groupCount).first(where: { rules.antecedent(ofGroup: $0) == [0] })
    else {
      Issue.record("no group")
      return
    }
    let order = rules.rules(ofGroup: group).map { names[Int(rules.lastConsequentItem(ofRule: $0))] }
    #expect(order == ["a10", "a2", "b", "c"])
  }

  @Test func nothingChangesWithoutNews() {
    let names = ["x", "y", "z"]
    let first = rules(check, names)
    #expect(first.changes(since: rules(check, names)) == RuleChanges())
    #expect(first.changes(since: first) == RuleChanges())
    #expect(first.changes(since: nil).changed == Array(0..<first.groupCount))
    #expect(RuleSet().changes(since: first).gone == Array(0..<first.groupCount))
    #expect(first.changes(since: RuleSet()) == first.changes(since: nil))
    #expect(RuleSet().changes(since: nil) == RuleChanges())
  }

  /// The same shop with other dense ids: the same messages in the same order, no change.
  @Test func denseIdsDoNotShow() {
    var random = SplitMix(seed: 12)
    let names = (0..<12).map { "item \($0 * 37 % 101)" }
    let permuted = names.reversed().map { String($0) }
    var one = BasketList()
    var two = BasketList()
    for _ in 0..<80 {
      let basket = (0..<12).filter { _ in random.unit() < 0.35 }
      one.append(basket.map { UInt32($0) })
      two.append(basket.shuffled(using: &random).map { UInt32(11 - $0) })
    }
    let first = rules(one, names, minimum: 3) { $0.maxConsequent = 3 }
    let second = rules(two, permuted, minimum: 3) { $0.maxConsequent = 3 }
    #expect(first.count > 500)
    #expect(messages(first).map(\.value) == messages(second).map(\.value))
    #expect(
      messages(first).map(\.key)
        == messages(first).map(\.key).sorted { a, b in
          // Canonical order is that of the item lists; for these names also of the arrays' text.
          items(a).lexicographicallyPrecedes(items(b))
        })
    #expect(first.changes(since: second) == RuleChanges())
  }

  func items(_ key: String) -> [String] {
    key.dropFirst().dropLast().components(separatedBy: ",")
  }

  /// Applying the changes to what was sent before gives what the new set would send.
  @Test func changesLeadFromOldToNew() {
    let seed: UInt64 = 31
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var sent: [String: String] = [:]
    var previous: RuleSet?
    var names = (0..<10).map { "i\($0)" }
    var quiet = 0
    for round in 0..<12 {
      // Same number of baskets throughout, so that groups can stay as they are.
      var list = BasketList()
      var stable = SplitMix(seed: 3)
      for b in 0..<60 {
        var basket = (0..<10).filter { _ in stable.unit() < 0.3 }.map { UInt32($0) }
        if b < 4 { basket = basket.filter { _ in random.unit() < 0.7 } }
        list.append(basket)
      }
      if round == 6 { names[2] = "renamed" }
      let current = rules(list, names, minimum: 4)
      let changes = current.changes(since: previous)
      let new = messages(current)
      for group in changes.changed {
        #expect(sent[new[group].key] != new[group].value)
        sent[new[group].key] = new[group].value
      }
      if let previous {
        let old = messages(previous)
        for group in changes.gone { #expect(sent.removeValue(forKey: old[group].key) != nil) }
        // q joins all rules of a family, so silence is rare with it; equal families are silent.
        quiet += changes.changed.count < current.groupCount ? 1 : 0
      }
      #expect(sent == Dictionary(uniqueKeysWithValues: new))
      previous = current
    }
    print("rounds with groups left alone: \(quiet)")
  }

  @Test func lookupFindsEveryRuleWithinTheBasket() {
    var random = SplitMix(seed: 8)
    var list = BasketList()
    for _ in 0..<200 {
      list.append((0..<15).filter { random.unit() < 0.1 + 0.02 * Double($0) }.map { UInt32($0) })
    }
    let rules = rules(list, (0..<15).map { "n\($0)" }, minimum: 3) { $0.maxConsequent = 2 }
    #expect(rules.groupCount > 100)
    for _ in 0..<50 {
      // Ids that no rule knows are in the basket too.
      let basket = (0..<20).filter { _ in random.unit() < 0.3 }.map { UInt32($0) }
      let marks = Set(basket)
      let expected = (0..<rules.groupCount)
        .filter { rules.antecedent(ofGroup: $0).allSatisfy(marks.contains) }
      var found: [Int] = []
      basket.withUnsafeBufferPointer {
        rules.forEachGroup(within: $0, isMarked: { marks.contains($0) }) { found.append($0) }
      }
      #expect(found.sorted() == expected)
      var pairs = 0
      basket.withUnsafeBufferPointer {
        rules.forEachRule(within: $0, isMarked: { marks.contains($0) }) { group, rule in
          pairs += rules.rules(ofGroup: group).contains(rule) ? 1 : 0
          if rules.consequentLength(ofRule: rule) == 1 {
            #expect(rules.consequent(ofRule: rule) == [rules.lastConsequentItem(ofRule: rule)])
          }
        }
      }
      #expect(pairs == expected.reduce(0) { $0 + rules.rules(ofGroup: $1).count })
    }
  }

  @Test func noBasketsNoRules() {
    let none = rules(BasketList(), [])
    #expect(none.count == 0 && none.groupCount == 0 && none.familySize == 0)
    let empty = rules(BasketList([[], []]), [])
    #expect(empty.count == 0 && empty.baskets == 2)
    let single = rules(BasketList([[0], [0]]), ["a"])
    #expect(single.count == 0 && single.itemsetCount == 1)
  }
}
