// Itemsets and rules of real data against counts that independent miners agree on.
import Recommender
import Sparse
import Testing

@Suite(.serialized) struct AssociationRulesTruth {
  struct Row {
    var minimum: Int
    var lengths: [Int]
    var single: (Int, Int)
    var every: (Int, Int)
  }

  func check(_ list: BasketList, _ keys: [String], _ row: Row) {
    let keys = interner(keys)
    list.read { baskets in
      let itemsets = mineFrequentItemsets(baskets, minimumCount: row.minimum)
      #expect(itemsets.countsByLength() == [0] + row.lengths)
      var configuration = RulesConfiguration()
      configuration.maxQ = 1
      configuration.pruneRedundant = false
      for (confidence, single, every) in [
        (0.2, row.single.0, row.every.0), (0.5, row.single.1, row.every.1),
      ] {
        configuration.minConfidence = confidence
        configuration.maxConsequent = 1
        let few = makeRules(
          itemsets, configuration: configuration, items: keys, significance: .omitted)
        #expect(few.count == single)
        configuration.maxConsequent = 1000
        let all = makeRules(
          itemsets, configuration: configuration, items: keys, significance: .omitted)
        #expect(all.count == every)
      }
    }
  }

  @Test func onlineRetail() {
    guard let (list, codes) = ReferenceData.onlineRetail() else { return }
    #expect(list.count == 19960)
    #expect(codes.count == 3922)
    #expect(list.items.count == 519602)
    check(
      list, codes,
      Row(minimum: 200, lengths: [815, 917, 269, 24, 1], single: (2309, 919), every: (3027, 995)))
    check(
      list, codes,
      Row(
        minimum: 100, lengths: [1538, 8101, 6223, 2561, 473, 34], single: (37757, 22005),
        every: (67498, 29529)))
  }

  @Test func quest() {
    guard let list = ReferenceData.fimi("t10i4d100k/t10i4d100k.dat.gz") else { return }
    #expect(list.count == 100_000)
    check(
      list, (0..<1000).map(String.init),
      Row(
        minimum: 100, lengths: [797, 8831, 7130, 5499, 3188, 1429, 503, 130, 23, 2],
        single: (76324, 72054), every: (360512, 333757)))
  }

  @Test func mushroom() {
    guard let list = ReferenceData.fimi("mushroom/mushroom.dat") else { return }
    check(
      list, (0..<200).map(String.init),
      Row(
        minimum: 1625,
        lengths: [43, 376, 1472, 3559, 6267, 8802, 10151, 9488, 7010, 4004, 1729, 546, 119, 16, 1],
        single: (380999, 377677), every: (19_191_656, 17_723_411)))
  }

  /// Both layouts, and any number of workers, give the same itemsets in the same order.
  @Test func layoutsAgreeOnOnlineRetail() {
    guard let (list, _) = ReferenceData.onlineRetail() else { return }
    list.read { baskets in
      let one = mineFrequentItemsets(baskets, minimumCount: 110, maxLength: 0, withLists: false)
      let two = mineFrequentItemsets(baskets, minimumCount: 110, maxLength: 0, withLists: true)
      let three = mineFrequentItemsets(baskets, minimumCount: 110) { parts, body in
        for part in (0..<parts).reversed() { body(part) }
      }
      let flat = one.expanded()
      #expect(flat == two.expanded())
      #expect(flat == three.expanded())
      #expect(flat.counts.count > 10_000)
    }
  }
}
