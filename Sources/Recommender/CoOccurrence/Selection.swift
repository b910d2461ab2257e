// The K best of a row, exactly: value descending (as doubles), then key rank ascending.
//
// Candidates stream past a threshold on their quick score into a buffer of several times K. When it is
// full the exact values of its members decide the K best (quickselect), and the threshold rises to the
// K-th's quick score, less a slack for rounding, so ties at the K-th place always get in. So each
// candidate costs one comparison, few cost more, and rows of equal values cost O(1) exact values each.
import Sparse

struct Selection: ~Copyable {
  struct Candidate: BitwiseCopyable {
    /// Bit pattern of the exact value: not negative, so it orders as an integer.
    var value: UInt64
    var rank: UInt32
    var id: UInt32
    var both: UInt32
  }

  /// Relative rounding of quick scores is below 1e-6.
  static let slack: Float = 1 - 1e-5

  let k: Int
  let capacity: Int
  let members: UnsafeMutablePointer<Candidate>
  var count = 0
  /// Members before it have their exact value.
  private var valued = 0
  /// Quick scores below it cannot be among the K best.
  private(set) var threshold: Float = 0

  init(k: Int) {
    self.k = k
    capacity = max(4 * k, k + 64)
    members = .allocate(capacity: capacity)
  }

  deinit { members.deallocate() }

  mutating func begin() {
    count = 0
    valued = 0
    threshold = 0
  }

  /// Offers a pair whose quick score is at or above the threshold.
  @inline(__always)
  mutating func offer<S: Scorer>(
    _ both: UInt32, _ target: Int, _ scorer: borrowing S, _ ranks: UnsafePointer<UInt32>
  ) {
    members[count] = Candidate(
      value: 0, rank: ranks[target], id: UInt32(truncatingIfNeeded: target), both: both)
    count &+= 1
    if count == capacity { prune(scorer) }
  }

  /// Leaves the K best, or all if there are fewer, unordered.
  mutating func prune<S: Scorer>(_ scorer: borrowing S) {
    var to = valued
    for from in valued..<count {
      var candidate = members[from]
      guard let value = scorer.exact(candidate.both, Int(candidate.id)) else { continue }
      candidate.value = value.bitPattern
      members[to] = candidate
      to &+= 1
    }
    count = to
    if count > k {
      Selection.partition(members, count, k)
      count = k
      // The K-th is the worst of those left.
      var worst = members[0]
      for i in 1..<k where Selection.precedes(worst, members[i]) { worst = members[i] }
      threshold = max(threshold, scorer.quick(worst.both, Int(worst.id)) * Selection.slack)
    }
    valued = count
  }

  /// The K best in order. Returns how many there are.
  mutating func finish<S: Scorer>(
    _ scorer: borrowing S, ids: UnsafeMutablePointer<UInt32>, both: UnsafeMutablePointer<UInt32>,
    values: UnsafeMutablePointer<Double>
  ) -> Int {
    prune(scorer)
    Selection.sort(members, count)
    for i in 0..<count {
      ids[i] = members[i].id
      both[i] = members[i].both
      values[i] = Double(bitPattern: members[i].value)
    }
    return count
  }

  @inline(__always) static func precedes(_ a: Candidate, _ b: Candidate) -> Bool {
    a.value != b.value ? a.value > b.value : a.rank < b.rank
  }

  /// Hoare's selection: the `k` first of the order come to the front, 0 < k < count.
  static func partition(_ base: UnsafeMutablePointer<Candidate>, _ count: Int, _ k: Int) {
    var low = 0
    var high = count - 1
    while high - low > 8 {
      let pivot = median(base[low], base[(low + high) / 2], base[high])
      var i = low
      var j = high
      while i <= j {
        while precedes(base[i], pivot) { i &+= 1 }
        while precedes(pivot, base[j]) { j &-= 1 }
        if i <= j {
          let t = base[i]
          base[i] = base[j]
          base[j] = t
          i &+= 1
          j &-= 1
        }
      }
      if k - 1 <= j { high = j } else if k - 1 >= i { low = i } else { return }
    }
    insertionSort(base + low, high - low + 1)
  }

  static func sort(_ base: UnsafeMutablePointer<Candidate>, _ count: Int) {
    if count <= 24 {
      insertionSort(base, count)
      return
    }
    let pivot = median(base[0], base[count / 2], base[count - 1])
    var i = 0
    var j = count - 1
    while i <= j {
      while precedes(base[i], pivot) { i &+= 1 }
      while precedes(pivot, base[j]) { j &-= 1 }
      if i <= j {
        let t = base[i]
        base[i] = base[j]
        base[j] = t
        i &+= 1
        j &-= 1
      }
    }
    sort(base, j + 1)
    sort(base + i, count - i)
  }

  private static func insertionSort(_ base: UnsafeMutablePointer<Candidate>, _ count: Int) {
    var i = 1
    while i < count {
      let x = base[i]
      var j = i
      while j > 0 && precedes(x, base[j &- 1]) {
        base[j] = base[j &- 1]
        j &-= 1
      }
      base[j] = x
      i &+= 1
    }
  }

  @inline(__always)
  private static func median(_ a: Candidate, _ b: Candidate, _ c: Candidate) -> Candidate {
    if precedes(a, b) {
      if precedes(b, c) { return b }
      return precedes(a, c) ? c : a
    }
    if precedes(a, c) { return a }
    return precedes(b, c) ? c : b
  }
}
