// Stored counts of a symmetric relation over a small catalogue: a square matrix, both triangles, so that
// a row's neighbours are found by reading the row from end to end.
//
// Cells are 16 bits while no item is in 65,536 rows or more (a pair is in no more rows than its items),
// 32 beyond. Rows and columns are labels: items by ascending number of rows at the last rebuild, later
// ones behind them. Rebuilding counts in each row of the matrix, at its rarer item, those that stand
// behind it; the pairs among the most popular items, which would be most of the additions, are counted
// from bit vectors over the rows (popcount of the intersection) where that is cheaper. Then the upper
// triangle is copied below the diagonal. Between rebuilds the changed rows' net changes are applied.
import CKernels
import Sparse

final class SquareCounts {
  private(set) var labels = 0
  private var stride = 0
  private(set) var isWide = false
  private var cells: UnsafeMutableRawPointer
  private var allocated = 0
  /// By item id; `none` for items without a label.
  private var labelOf = Vec<UInt32>()
  private(set) var idOf = Vec<UInt32>()
  /// Whether the cells are those of the mirror as it is.
  private(set) var isCurrent = false
  /// Estimated nanoseconds of a rebuild, and those spent on updates since the last tick.
  private var rebuildCost: UInt64 = 0
  private var spent: UInt64 = 0
  /// Updates may spend a 2^-`reserve` of a rebuild before it is left to the tick.
  private var reserve: UInt64 = 1

  static let none = UInt32.max
  static let largest = 8192

  init() { cells = affinity_allocate(1) }
  deinit { affinity_release(cells) }

  var bytes: Int { allocated + labelOf.bytes + idOf.bytes }

  /// Whether a square suits a matrix: at most 8 bytes for each pair that may have a count.
  static func suits(_ mirror: RowMirror, activeItems: Int, work: UInt64) -> Bool {
    activeItems > 1 && activeItems <= largest
      && work / 2 >= UInt64(activeItems * activeItems / 4)
  }

  func row(_ label: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(cells + label * stride * (isWide ? 4 : 2))
  }

  @inline(__always) func count(_ label: Int, _ other: Int) -> UInt32 {
    isWide
      ? row(label).load(fromByteOffset: other &* 4, as: UInt32.self)
      : UInt32(row(label).load(fromByteOffset: other &* 2, as: UInt16.self))
  }

  /// One row as 32-bit counts; returns how many are not zero.
  func read(_ label: Int, into counts: UnsafeMutablePointer<UInt32>) -> Int {
    affinity_square_row(row(label), labels, counts, isWide ? 1 : 0)
  }

  /// Gives the cells back.
  func drop() {
    isCurrent = false
    allocated = 0
    affinity_release(cells)
    cells = affinity_allocate(1)
    labels = 0
  }

  // MARK: rebuild

  /// Counts all pairs of the mirror.
  func rebuild(_ mirror: RowMirror, _ parallel: Parallel) {
    let rows = LabelledRows(mirror)
    labels = rows.labels
    // Room for items to come; a multiple of 32 cells keeps rows apart by whole cache lines.
    stride = (labels + labels / 32 + 16 + 31) / 32 * 32
    isWide = mirror.columnCounts.contains { $0 > UInt32(UInt16.max) }
    let size = stride * stride * (isWide ? 4 : 2)
    let isZero = allocated != size
    if isZero {
      affinity_release(cells)
      cells = affinity_allocate(size)
      allocated = size
    }
    let (stride, labels, wide) = (stride, labels, isWide ? Int32(1) : 0)
    let width = isWide ? 4 : 2
    let cells = cells
    let parts = labels < 64 ? 1 : 16
    let first = labels - rows.head
    func clear(_ row: Int) {
      if isZero { return }
      (cells + row * stride * width).initializeMemory(
        as: UInt8.self, repeating: 0, count: stride * width)
    }
    // Labels of parts alternate, so that each gets rare and popular items. A part clears what it counts.
    parallel(parts) { part in
      for label in Swift.stride(from: part, to: first, by: parts) {
        clear(label)
        let from = Int(rows.starts[label])
        affinity_square_count(
          UnsafePointer(rows.rows.base), UnsafePointer(rows.places.base) + from,
          Int(rows.starts[label + 1]) - from, rows.end, cells + label * stride * width, wide)
      }
      for a in Swift.stride(from: part * 8, to: rows.head, by: parts * 8) {
        let end = min(a + 8, rows.head)
        for row in a..<end { clear(first + row) }
        affinity_square_bits(
          UnsafePointer(rows.bits.base), rows.words, rows.head, a, end, first, cells, stride, wide)
      }
      for row in Swift.stride(from: labels + part, to: stride, by: parts) { clear(row) }
    }
    parallel(parts) { part in
      for top in Swift.stride(from: part * 32, to: labels, by: parts * 32) {
        affinity_square_mirror(cells, stride, top, min(top + 32, labels), wide)
      }
    }
    rebuildCost = rows.adds + UInt64(labels * labels)
    adopt(rows)
    isCurrent = true
    reserve = spent > 0 && reserve < 4 ? 4 : reserve
    spent = 0
  }

  private func adopt(_ rows: borrowing LabelledRows) {
    idOf.removeAll()
    idOf.append(contentsOf: rows.idOf.buffer)
    labelOf.removeAll()
    labelOf.append(contentsOf: rows.labelOf.buffer)
  }

  // MARK: update

  /// Applies net changes of rows, or leaves it to a rebuild at the tick where that is cheaper.
  func update(_ diffs: borrowing RowDiffs, _ mirror: RowMirror) {
    guard isCurrent else { return }
    let cost = diffs.pairs * 6
    guard spent + cost <= rebuildCost >> reserve, fits(mirror), ensureLabels(diffs, mirror.itemLimit)
    else {
      isCurrent = false
      spent = max(spent, 1)
      return
    }
    spent += cost
    // Moves sorted by label, so that one row of the square is in use at a time; a label's gains come
    // before its losses.
    var cursor = [UInt32](repeating: 0, count: labels + 1)
    eachMove(diffs, gains: true) { label, _ in cursor[label + 1] += 1 }
    eachMove(diffs, gains: false) { label, _ in cursor[label + 1] += 1 }
    for label in 0..<labels { cursor[label + 1] += cursor[label] }
    let starts = cursor
    let moves = Vec<UInt64>(repeating: 0, count: diffs.moves)
    eachMove(diffs, gains: true) { label, row in
      moves[Int(cursor[label])] = UInt64(row) << 1 | 1
      cursor[label] += 1
    }
    eachMove(diffs, gains: false) { label, row in
      moves[Int(cursor[label])] = UInt64(row) << 1
      cursor[label] += 1
    }
    let delta = Vec<Int32>(repeating: 0, count: stride)
    let touched = Vec<UInt32>(capacity: 2 * stride + 2)
    for label in 0..<labels where starts[label] < starts[label + 1] {
      var met = 0
      for m in Int(starts[label])..<Int(starts[label + 1]) {
        let row = diffs.rows[Int(moves[m] >> 1)]
        let isGain = moves[m] & 1 == 1
        met = collect(
          diffs, row, label: UInt32(label), isGain: isGain, delta.base, touched.base, met)
      }
      affinity_square_add(cells, stride, label, touched.base, met, delta.base, isWide ? 1 : 0)
    }
  }

  /// What a moved item's meeting with the rest of its row adds or takes: kept items, and those moved
  /// the same way with a larger label.
  @inline(__always)
  private func collect(
    _ diffs: borrowing RowDiffs, _ row: RowDiffs.Row, label: UInt32, isGain: Bool,
    _ delta: UnsafeMutablePointer<Int32>, _ touched: UnsafeMutablePointer<UInt32>, _ start: Int
  ) -> Int {
    let items = diffs.items.base + Int(row.start)
    let labelOf = labelOf.base
    let step: Int32 = isGain ? 1 : -1
    var met = start
    for k in 0..<Int(row.kept) {
      met = SquareCounts.meet(labelOf[Int(items[k])], step, delta, touched, met)
    }
    let from = Int(row.kept) + (isGain ? 0 : Int(row.gained))
    for k in from..<(from + Int(isGain ? row.gained : row.lost)) {
      let other = labelOf[Int(items[k])]
      if other > label { met = SquareCounts.meet(other, step, delta, touched, met) }
    }
    return met
  }

  /// Lists a label when its delta leaves zero. As gains come before losses, that is twice at most, the
  /// second time with nothing left to add.
  @inline(__always)
  private static func meet(
    _ label: UInt32, _ step: Int32, _ delta: UnsafeMutablePointer<Int32>,
    _ touched: UnsafeMutablePointer<UInt32>, _ met: Int
  ) -> Int {
    let old = delta[Int(label)]
    delta[Int(label)] = old &+ step
    if old != 0 { return met }
    touched[met] = label
    return met &+ 1
  }

  private func eachMove(
    _ diffs: borrowing RowDiffs, gains: Bool, _ body: (_ label: Int, _ row: Int) -> Void
  ) {
    for r in 0..<diffs.rows.count {
      let row = diffs.rows[r]
      let from = Int(row.start) + Int(row.kept) + (gains ? 0 : Int(row.gained))
      for k in from..<(from + Int(gains ? row.gained : row.lost)) {
        body(Int(labelOf[Int(diffs.items[k])]), r)
      }
    }
  }

  /// Labels for items that come for the first time; false where the square has no room for them.
  private func ensureLabels(_ diffs: borrowing RowDiffs, _ itemLimit: Int) -> Bool {
    labelOf.extend(to: itemLimit, with: SquareCounts.none)
    for r in 0..<diffs.rows.count {
      let row = diffs.rows[r]
      let items = diffs.items.base + Int(row.start) + Int(row.kept)
      for k in 0..<Int(row.gained) where labelOf[Int(items[k])] == SquareCounts.none {
        if labels == stride || labels == 0xffff { return false }
        labelOf[Int(items[k])] = UInt32(labels)
        idOf.append(items[k])
        labels += 1
      }
    }
    return true
  }

  /// A tick has read the counts: what was spent on updates is forgotten.
  func ticked() {
    if isCurrent && spent > 0 { reserve = 1 }
    spent = 0
  }

  /// Whether every count fits its cell.
  private func fits(_ mirror: RowMirror) -> Bool {
    isWide || !mirror.columnCounts.contains { $0 > UInt32(UInt16.max) }
  }
}

/// The rows of a mirror in 16-bit labels, items by ascending number of rows, with places per label and
/// bit vectors of the most popular.
private struct LabelledRows: ~Copyable {
  let labels: Int
  /// Four of it end a row: a label above all, whose column stays empty.
  var end: UInt16 { UInt16(labels) }
  var labelOf: Vec<UInt32>
  var idOf: Vec<UInt32>
  var rows: Vec<UInt16>
  var starts: Vec<UInt32>
  var places: Vec<UInt32>
  /// Labels from `labels` - `head` on are in `bits`, `words` words each.
  var head = 0
  var words = 0
  var bits = Vec<UInt64>()
  /// Additions that are left to counting.
  var adds: UInt64 = 0

  init(_ mirror: RowMirror) {
    let counts = mirror.columnCounts
    labelOf = Vec(repeating: SquareCounts.none, count: mirror.itemLimit)
    idOf = Vec()
    var active: [UInt32] = []
    for item in counts.indices where counts[item] > 0 { active.append(UInt32(item)) }
    active.sort {
      counts[Int($0)] != counts[Int($1)] ? counts[Int($0)] < counts[Int($1)] : $0 < $1
    }
    for item in active {
      labelOf[Int(item)] = UInt32(idOf.count)
      idOf.append(item)
    }
    labels = active.count
    rows = Vec(capacity: mirror.entries + 4 * mirror.activeRows)
    starts = Vec(repeating: 0, count: labels + 1)
    places = Vec(capacity: mirror.entries)
    relabel(mirror)
    chooseHead(mirror)
    place()
  }

  /// Every row in ascending labels, sorted by way of a bit set, which is as wide as the catalogue.
  private mutating func relabel(_ mirror: RowMirror) {
    let set = Vec<UInt64>(repeating: 0, count: labels / 64 + 1)
    let words = set.count
    let labelOf = labelOf.base
    var at = 0
    let out = rows.base
    let view = mirror.view
    for row in 0..<view.limit where view.counts[row] > 1 {
      let items = view.row(row)
      for item in items {
        let label = Int(labelOf[Int(item)])
        set.base[label >> 6] |= 1 &<< UInt64(label & 63)
      }
      for word in 0..<words {
        var bits = set.base[word]
        if bits == 0 { continue }
        set.base[word] = 0
        while bits != 0 {
          out[at] = UInt16(truncatingIfNeeded: word &* 64 &+ bits.trailingZeroBitCount)
          at &+= 1
          bits &= bits &- 1
        }
      }
      for _ in 0..<4 {
        out[at] = end
        at &+= 1
      }
    }
    rows.count = at
  }

  /// The head for which counting bits and counting one by one are cheapest together.
  private mutating func chooseHead(_ mirror: RowMirror) {
    // Additions among labels at or above each of 64 thresholds.
    let steps = 64
    let lengths = Vec<UInt64>(repeating: 0, count: steps + 1)
    let sums = Vec<UInt64>(repeating: 0, count: steps + 1)
    var rowCount = 0
    let stepOf = Vec<UInt8>(capacity: labels)
    for label in 0..<labels { stepOf.base[label] = UInt8(label * steps / labels) }
    var at = 0
    while at < rows.count {
      rowCount += 1
      while rows.base[at] != end {
        lengths.base[Int(stepOf.base[Int(rows.base[at])])] &+= 1
        at &+= 1
      }
      var behind: UInt64 = 0
      for step in (0..<steps).reversed() {
        behind &+= lengths.base[step]
        lengths.base[step] = 0
        sums.base[step] &+= behind &* (behind &- (behind > 0 ? 1 : 0)) / 2
      }
      at &+= 4
    }
    words = (rowCount + 255) / 256 * 4
    let all = sums[0]
    // Hundredths of a nanosecond: an addition, a word of a vector, a pair of vectors.
    let (addition, word, pair): (UInt64, UInt64, UInt64) = (55, 16, 200)
    var best = all * addition
    adds = all
    for step in 0..<steps {
      let size = labels - (labels * step + steps - 1) / steps
      let cost =
        (all - sums[step]) * addition
        + UInt64(size) * UInt64(size) / 2 * (UInt64(words) * word + pair)
      if cost < best {
        best = cost
        head = size
      }
    }
    adds = best / addition
  }

  private mutating func place() {
    let first = labels - head
    bits = Vec(repeating: 0, count: head * words)
    let rows = rows.base
    let starts = starts.base
    let last = self.rows.count
    for at in 0..<last where Int(rows[at]) < first {
      starts[Int(rows[at])] &+= 1
    }
    var sum: UInt32 = 0
    for label in 0...labels {
      let count = starts[label]
      starts[label] = sum
      sum += count
    }
    if Int(sum) > places.capacity { places.grow(to: Int(sum)) }
    places.count = Int(sum)
    var row = 0
    var at = 0
    while at < last {
      let label = Int(rows[at])
      if label == labels {
        row &+= 1
        at &+= 3
      } else if label < first {
        places.base[Int(starts[label])] = UInt32(truncatingIfNeeded: at)
        starts[label] &+= 1
      } else {
        bits.base[(label &- first) &* words &+ row >> 6] |= 1 &<< UInt64(row & 63)
      }
      at &+= 1
    }
    var label = labels
    while label > 0 {
      starts[label] = starts[label - 1]
      label -= 1
    }
    starts[0] = 0
  }
}
