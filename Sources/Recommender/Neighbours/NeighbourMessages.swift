// `affinity.neighbours`: one message an item with every relation's list (DESIGN §4), and which items'
// messages a new model changes.
import Sparse

/// Tables of one model, in the order of the configured relations.
public struct NeighbourModel: Sendable {
  public var names: [String]
  public var tables: [NeighbourTable]

  public init(names: [String], tables: [NeighbourTable]) {
    precondition(names.count == tables.count)
    self.names = names
    self.tables = tables
  }

  public var itemCount: Int { tables.reduce(0) { max($0, $1.itemCount) } }

  /// Whether any relation has a neighbour for the item.
  public func hasNeighbours(_ item: UInt32) -> Bool {
    for table in tables where !table.range(item).isEmpty { return true }
    return false
  }
}

/// What a new model does to an item's message.
public enum NeighbourChange: Sendable, Hashable {
  /// The message is to be sent with its new content.
  case update(UInt32)
  /// The last neighbour went away: a null is to be sent.
  case delete(UInt32)

  public var item: UInt32 {
    switch self {
    case .update(let item), .delete(let item): item
    }
  }
}

extension NeighbourModel {
  /// Items whose message differs from the one under `old` (nil: no model before), by ascending dense id.
  /// The content is ids, values, counts and, under a measure that uses it, the number of contexts;
  /// the model's id alone changes nothing. Dense ids must mean the same items in both models.
  /// Complexity: O(items + neighbours of both).
  public func changes(from old: NeighbourModel?) -> [NeighbourChange] {
    if let old { precondition(old.names == names, "models of different relations") }
    var found: [NeighbourChange] = []
    for item in 0..<UInt32(max(itemCount, old?.itemCount ?? 0)) {
      var present = false
      var differs = false
      for r in tables.indices {
        let new = tables[r]
        let range = new.range(item)
        if !range.isEmpty { present = true }
        if differs { continue }
        guard let before = old?.tables[r] else {
          differs = !range.isEmpty
          continue
        }
        differs = NeighbourModel.differs(item, new, range, before, before.range(item))
      }
      if !differs { continue }
      found.append(present ? .update(item) : .delete(item))
    }
    return found
  }

  private static func differs(
    _ item: UInt32, _ new: NeighbourTable, _ here: Range<Int>, _ old: NeighbourTable,
    _ there: Range<Int>
  ) -> Bool {
    if here.count != there.count { return true }
    if here.isEmpty { return false }
    if new.sourceCount[Int(item)] != old.sourceCount[Int(item)] { return true }
    if new.measure.usesContexts && new.contexts != old.contexts { return true }
    let (ids, both, values, others) = (new.ids, new.both, new.values, new.targetCount)
    let (oldIDs, oldBoth, oldValues, oldOthers) = (old.ids, old.both, old.values, old.targetCount)
    var at = here.lowerBound
    var from = there.lowerBound
    while at < here.upperBound {
      let id = ids[at]
      if id != oldIDs[from] || both[at] != oldBoth[from]
        || values[at].bitPattern != oldValues[from].bitPattern
        || others[Int(id)] != oldOthers[Int(id)]
      {
        return true
      }
      at &+= 1
      from &+= 1
    }
    return false
  }

  /// Appends the item's message, as JSON; nothing, and false, where the item has no neighbours.
  @discardableResult
  public func encode(
    _ item: UInt32, modelID: UnsafeRawBufferPointer, items: borrowing Interner,
    into writer: inout ByteWriter
  ) -> Bool {
    if !hasNeighbours(item) { return false }
    writer.append("{\"item\":")
    writer.append(quoted: items.key(item))
    writer.append(",\"model\":")
    writer.append(quoted: modelID)
    writer.append(",\"relations\":{")
    var isFirst = true
    for r in tables.indices {
      let table = tables[r]
      let range = table.range(item)
      if range.isEmpty { continue }
      if !isFirst { writer.append(byte: UInt8(ascii: ",")) }
      isFirst = false
      writer.append(quoted: names[r])
      writer.append(":{\"measure\":\"")
      writer.append(text: table.measure.name)
      writer.append("\",\"count\":")
      writer.append(unsigned: UInt64(table.sourceCount[Int(item)]))
      writer.append(",\"contexts\":")
      writer.append(table.contexts)
      writer.append(",\"neighbours\":[")
      NeighbourModel.encodeList(table, range, items, &writer)
      writer.append("]}")
    }
    writer.append("}}")
    return true
  }

  private static func encodeList(
    _ table: NeighbourTable, _ range: Range<Int>, _ items: borrowing Interner,
    _ writer: inout ByteWriter
  ) {
    let (ids, both, values, others) = (table.ids, table.both, table.values, table.targetCount)
    for at in range {
      let id = ids[at]
      if at != range.lowerBound { writer.append(byte: UInt8(ascii: ",")) }
      writer.append("{\"id\":")
      writer.append(quoted: items.key(id))
      writer.append(",\"value\":")
      writer.append(values[at])
      writer.append(",\"both\":")
      writer.append(unsigned: UInt64(both[at]))
      writer.append(",\"other\":")
      writer.append(unsigned: UInt64(others[Int(id)]))
      writer.append(byte: UInt8(ascii: "}"))
    }
  }
}
