// One relation's neighbours as a model publishes them: immutable, flat, shared by reference.
//
// Layout: item i's neighbours stand at `starts[i]..<starts[i + 1]` of three parallel arrays, best first.
import CKernels
import Sparse

/// Every item's top-K in one relation. Buffers are valid as long as the table lives.
public struct NeighbourTable: Sendable {
  public let measure: Measure
  public let shrinkage: Double
  /// n: rows with an active entry in the source or the target matrix.
  public let contexts: Int
  /// Distinct pairs with a count: unordered for a symmetric relation, cells of AᵀB for another.
  public let pairs: Int
  /// Sum over those pairs of `CountsDigest.element`; zero where it was not asked for.
  public let countsDigest: Fingerprint
  let storage: Storage

  /// Items the table speaks of: dense ids below it.
  public var itemCount: Int { storage.items }
  /// Neighbours of all items.
  public var neighbourCount: Int { Int(storage.starts[storage.items]) }
  /// `itemCount` + 1 places in `ids`, `both` and `values`.
  public var starts: UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: storage.starts, count: storage.items + 1)
  }
  public var ids: UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: storage.ids, count: neighbourCount)
  }
  /// Contexts that hold both the item and the neighbour.
  public var both: UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: storage.both, count: neighbourCount)
  }
  public var values: UnsafeBufferPointer<Double> {
    UnsafeBufferPointer(start: storage.values, count: neighbourCount)
  }
  /// Per item: contexts that hold it in the source matrix (`this`).
  public var sourceCount: UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: storage.sourceCount, count: storage.items)
  }
  /// Per item: contexts that hold it in the target matrix (`other`).
  public var targetCount: UnsafeBufferPointer<UInt32> {
    UnsafeBufferPointer(start: storage.targetCount, count: storage.items)
  }

  /// Places of an item's neighbours; empty for an item the table does not know.
  @inlinable public func range(_ item: UInt32) -> Range<Int> {
    let starts = starts
    guard Int(item) < starts.count - 1 else { return 0..<0 }
    return Int(starts[Int(item)])..<Int(starts[Int(item) + 1])
  }

  public var bytes: Int { storage.items * 12 + neighbourCount * 16 }

  /// The arrays without their owner, for loops that hold the table: valid as long as it lives.
  public struct View: BitwiseCopyable {
    public let items: Int
    public let starts: UnsafePointer<UInt32>
    public let ids: UnsafePointer<UInt32>
    public let both: UnsafePointer<UInt32>
    public let values: UnsafePointer<Double>
    public let sourceCount: UnsafePointer<UInt32>
    public let targetCount: UnsafePointer<UInt32>
  }
  public var view: View {
    View(
      items: storage.items, starts: storage.starts, ids: storage.ids, both: storage.both,
      values: storage.values, sourceCount: storage.sourceCount, targetCount: storage.targetCount)
  }

  /// Owns the arrays; written by one builder, then only read.
  final class Storage: @unchecked Sendable {
    let items: Int
    let starts: UnsafeMutablePointer<UInt32>
    let sourceCount: UnsafeMutablePointer<UInt32>
    let targetCount: UnsafeMutablePointer<UInt32>
    let ids: UnsafeMutablePointer<UInt32>
    let both: UnsafeMutablePointer<UInt32>
    let values: UnsafeMutablePointer<Double>

    /// `slots` may be a generous bound: pages never written to are never backed by memory.
    init(items: Int, slots: Int) {
      precondition(slots < Int(UInt32.max), "more than 2^32 neighbours in one relation")
      self.items = items
      starts = .allocate(capacity: items + 1)
      sourceCount = .allocate(capacity: max(items, 1))
      targetCount = .allocate(capacity: max(items, 1))
      sourceCount.initialize(repeating: 0, count: max(items, 1))
      targetCount.initialize(repeating: 0, count: max(items, 1))
      ids = .allocate(capacity: max(slots, 1))
      both = .allocate(capacity: max(slots, 1))
      values = .allocate(capacity: max(slots, 1))
      affinity_advise(ids, slots * 4)
      affinity_advise(both, slots * 4)
      affinity_advise(values, slots * 8)
    }

    deinit {
      starts.deallocate()
      sourceCount.deallocate()
      targetCount.deallocate()
      ids.deallocate()
      both.deallocate()
      values.deallocate()
    }

    /// Item i's list stands at `slots[i]`, `lengths[i]` long: close the gaps, in place.
    func close(slots: UnsafePointer<UInt32>, lengths: UnsafePointer<UInt32>) {
      var to = 0
      for item in 0..<items {
        let from = Int(slots[item])
        let length = Int(lengths[item])
        if from != to && length > 0 {
          (ids + to).update(from: ids + from, count: length)
          (both + to).update(from: both + from, count: length)
          (values + to).update(from: values + from, count: length)
        }
        starts[item] = UInt32(to)
        to += length
      }
      starts[items] = UInt32(to)
    }
  }
}
