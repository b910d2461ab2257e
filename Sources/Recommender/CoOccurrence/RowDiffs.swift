// What a batch of changed rows does to pairs: each row split into the items it kept, gained and lost.
// A pair of kept items is as it was; every other pair has a moved item, under which it is counted once.
import Sparse

struct RowDiffs: ~Copyable {
  /// Per row, one after another: kept, gained, lost items.
  var items = Vec<UInt32>()
  /// Per row: where its items begin, and its three lengths.
  var rows = Vec<Row>()
  /// Items gained and lost, all rows.
  var moves = 0
  /// Pairs that change, by upper bound.
  var pairs: UInt64 = 0

  struct Row: BitwiseCopyable {
    var start: UInt32
    var kept: UInt32
    var gained: UInt32
    var lost: UInt32
  }

  mutating func removeAll() {
    items.removeAll()
    rows.removeAll()
    moves = 0
    pairs = 0
  }

  /// Adds what came later. A row may stand in both: changes add up pair by pair.
  mutating func append(contentsOf other: borrowing RowDiffs) {
    let shift = UInt32(items.count)
    items.append(contentsOf: other.items.buffer)
    for r in 0..<other.rows.count {
      var row = other.rows[r]
      row.start += shift
      rows.append(row)
    }
    moves += other.moves
    pairs += other.pairs
  }

  /// Merges the old and the new items of a row, both ascending.
  mutating func append(
    old: UnsafeBufferPointer<UInt32>, new: UnsafeBufferPointer<UInt32>
  ) {
    let start = items.count
    let most = min(old.count, new.count)
    let room = most + old.count + new.count
    if start + room > items.capacity { items.grow(to: start + room) }
    let out = items.base + start
    // Kept go to the front, gained behind all that could be kept, lost at the far end; then closed up.
    var (kept, gained, lost) = (0, most, room)
    var (a, b) = (0, 0)
    while a < old.count && b < new.count {
      let (x, y) = (old[a], new[b])
      if x == y {
        out[kept] = x
        kept &+= 1
        a &+= 1
        b &+= 1
      } else if x < y {
        lost &-= 1
        out[lost] = x
        a &+= 1
      } else {
        out[gained] = y
        gained &+= 1
        b &+= 1
      }
    }
    while a < old.count {
      lost &-= 1
      out[lost] = old[a]
      a &+= 1
    }
    while b < new.count {
      out[gained] = new[b]
      gained &+= 1
      b &+= 1
    }
    let (more, fewer) = (gained - most, room - lost)
    if more + fewer == 0 { return }
    if kept < most { (out + kept).update(from: out + most, count: more) }
    if kept + more < lost { (out + kept + more).update(from: out + lost, count: fewer) }
    items.count = start + kept + more + fewer
    rows.append(
      Row(
        start: UInt32(start), kept: UInt32(kept), gained: UInt32(more), lost: UInt32(fewer)))
    moves += more + fewer
    pairs +=
      UInt64(more + fewer) * UInt64(kept) + UInt64(more * more + fewer * fewer) / 2
  }
}
