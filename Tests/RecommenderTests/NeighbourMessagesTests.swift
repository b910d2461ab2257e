// The bytes of `affinity.neighbours`, and which items a new model changes.
import Recommender
import Sparse
import Testing

@Suite struct NeighbourMessagesTests {
  struct Shop: ~Copyable {
    var counts: CoOccurrence
    var items = Interner()
    var ranks = ItemRanks()

    init(_ relations: [RelationConfiguration], items keys: [String], k: Int = 50) {
      var matrices: [MatrixConfiguration] = []
      for relation in relations {
        for matrix in [relation.sourceMatrix, relation.targetMatrix]
        where !matrices.contains(matrix) { matrices.append(matrix) }
      }
      counts = CoOccurrence(matrices: matrices, relations: relations, neighbours: k)
      for key in keys { _ = Array(key.utf8).withUnsafeBytes { items.intern($0) } }
      ranks.update(from: items)
    }

    mutating func set(_ matrix: Int, _ rows: [UInt32: [UInt32]]) {
      var changes = RowChanges(rows: [], offsets: [0], items: [])
      for (row, items) in rows.sorted(by: { $0.key < $1.key }) {
        changes.rows.append(row)
        changes.items += items
        changes.offsets.append(changes.items.count)
      }
      counts.apply(changes, matrix: matrix)
    }

    mutating func model() -> NeighbourModel {
      var tables: [NeighbourTable] = []
      for r in counts.relations.indices {
        tables.append(counts.neighbours(relation: r, items: ranks, parallel: backwards))
      }
      return NeighbourModel(names: counts.relations.map(\.name), tables: tables)
    }

    borrowing func message(_ model: NeighbourModel, _ item: UInt32) -> String? {
      var writer = ByteWriter()
      let isThere = Array("m-1".utf8).withUnsafeBytes {
        model.encode(item, modelID: $0, items: items, into: &writer)
      }
      return isThere ? writer.string : nil
    }
  }

  @Test func messageHoldsEveryRelationInOrder() {
    var shop = Shop(
      [
        relation("also_bought", .cosine), relation("then", .conditional, source: .view),
        relation("gated", .count, minBoth: 9),
      ], items: ["a", "b\"", "c"])
    shop.set(0, [0: [0, 1], 1: [0, 1], 2: [0], 3: [0, 2]])
    shop.set(1, [0: [2], 3: [0]])
    let model = shop.model()
    #expect(
      shop.message(model, 0) == """
        {"item":"a","model":"m-1","relations":{\
        "also_bought":{"measure":"cosine","count":4,"contexts":4,"neighbours":[\
        {"id":"b\\"","value":0.7071067811865475,"both":2,"other":2},\
        {"id":"c","value":0.5,"both":1,"other":1}]},\
        "then":{"measure":"conditional","count":1,"contexts":4,"neighbours":[\
        {"id":"c","value":1.0,"both":1,"other":1}]}}}
        """.replacing("1.0,", with: numberOne() + ","))
    #expect(
      shop.message(model, 2) == """
        {"item":"c","model":"m-1","relations":{\
        "also_bought":{"measure":"cosine","count":1,"contexts":4,"neighbours":[\
        {"id":"a","value":0.5,"both":1,"other":4}]},\
        "then":{"measure":"conditional","count":1,"contexts":4,"neighbours":[\
        {"id":"a","value":1.0,"both":1,"other":4},\
        {"id":"b\\"","value":1.0,"both":1,"other":2}]}}}
        """.replacing("1.0,", with: numberOne() + ","))
    #expect(shop.message(model, 3) == nil)
  }

  /// How the house's writer prints 1, whatever that is.
  func numberOne() -> String {
    var writer = ByteWriter()
    writer.append(1.0)
    return writer.string
  }

  @Test func onlyChangedContentIsAChange() {
    var shop = Shop([relation("cos", .cosine)], items: ["a", "b", "c", "d", "e"])
    shop.set(0, [0: [0, 1], 1: [2, 3]])
    let first = shop.model()
    #expect(
      first.changes(from: nil) == [.update(0), .update(1), .update(2), .update(3)])
    #expect(first.changes(from: first).isEmpty)
    // Another basket of one item moves n, which a cosine does not use.
    shop.set(0, [7: [4]])
    let second = shop.model()
    #expect(second.tables[0].contexts == 3)
    #expect(second.changes(from: first).isEmpty)
    // An own count, and with it the values at both ends.
    shop.set(0, [8: [0]])
    let third = shop.model()
    #expect(third.changes(from: second) == [.update(0), .update(1)])
    // The last neighbour goes.
    shop.set(0, [1: []])
    let fourth = shop.model()
    #expect(fourth.changes(from: third) == [.delete(2), .delete(3)])
    shop.set(0, [1: [2, 3, 4]])
    #expect(shop.model().changes(from: fourth) == [.update(2), .update(3), .update(4)])
  }

  @Test func contextsAreContentWhereTheMeasureUsesThem() {
    var shop = Shop(
      [relation("lift", .lift), relation("count", .count)], items: ["a", "b", "c"])
    shop.set(0, [0: [0, 1], 1: [2]])
    let first = shop.model()
    shop.set(0, [2: [2]])
    #expect(shop.model().changes(from: first) == [.update(0), .update(1)])
  }

  /// A count changes its neighbours' messages even where the value stays (`other`).
  @Test func otherCountsAreContent() {
    var shop = Shop([relation("count", .count)], items: ["a", "b", "c"])
    shop.set(0, [0: [0, 1]])
    let first = shop.model()
    shop.set(0, [2: [1]])
    #expect(shop.model().changes(from: first) == [.update(0), .update(1)])
  }
}
