// A growable flat array of plain values, without reference counts, bounds checks in release, or
// copy-on-write: the storage under rows, dictionaries and counts. It owns its memory and is moved,
// never copied. Large arrays stand in huge pages and grow by moving their pages, so that growing
// neither copies nor holds twice the memory.
import CKernels

/// A growable array of trivial values. Indexes are checked in debug builds only.
public struct Vec<Element: BitwiseCopyable>: ~Copyable {
  public var base: UnsafeMutablePointer<Element>
  public var count: Int
  public var capacity: Int

  @inlinable public init(capacity: Int = 0) {
    self.init(allocating: Swift.max(capacity, 4))
  }

  @inlinable init(allocating capacity: Int) {
    base = Vec.memory(capacity)
    count = 0
    self.capacity = capacity
  }

  public init(repeating value: Element, count: Int) {
    self.init(allocating: Swift.max(count, 4))
    base.initialize(repeating: value, count: count)
    self.count = count
  }

  deinit { Vec.free(base, capacity) }

  @inlinable public subscript(index: Int) -> Element {
    get {
      assert(index >= 0 && index < count)
      return base[index]
    }
    nonmutating set {
      assert(index >= 0 && index < count)
      base[index] = newValue
    }
  }

  @inlinable public mutating func append(_ value: Element) {
    if count == capacity { grow(to: count + 1) }
    base[count] = value
    setCount(count + 1)
  }

  @inlinable public mutating func append(contentsOf values: UnsafeBufferPointer<Element>) {
    guard let start = values.baseAddress, values.count > 0 else { return }
    if count + values.count > capacity { grow(to: count + values.count) }
    (base + count).update(from: start, count: values.count)
    setCount(count + values.count)
  }

  /// Extends with `value` until there are `newCount` elements; never shrinks.
  @inlinable public mutating func extend(to newCount: Int, with value: Element) {
    if newCount <= count { return }
    if newCount > capacity { grow(to: newCount) }
    (base + count).initialize(repeating: value, count: newCount - count)
    setCount(newCount)
  }

  /// Extends by elements of no particular value.
  @inlinable public mutating func extend(by more: Int) {
    if count + more > capacity { grow(to: count + more) }
    setCount(count + more)
  }

  @inlinable public mutating func popLast() -> Element? {
    if count == 0 { return nil }
    setCount(count - 1)
    return base[count]
  }

  /// Room for `wanted` elements in all.
  @inlinable public mutating func reserve(_ wanted: Int) {
    if wanted > capacity { grow(to: wanted) }
  }

  @inlinable public mutating func removeAll() { setCount(0) }

  @inlinable public var buffer: UnsafeBufferPointer<Element> {
    UnsafeBufferPointer(start: base, count: count)
  }
  @inlinable public var mutableBuffer: UnsafeMutableBufferPointer<Element> {
    UnsafeMutableBufferPointer(start: base, count: count)
  }
  /// Bytes held from the allocator.
  public var bytes: Int { capacity * MemoryLayout<Element>.stride }

  @inlinable mutating func setCount(_ value: Int) { count = value }

  public mutating func grow(to needed: Int) {
    let wasPaged = Vec.isPaged(capacity)
    // Small arrays double; where nothing is copied an eighth is enough, since slack is memory nobody uses.
    let next = Swift.max(needed, wasPaged ? capacity + capacity / 8 : capacity * 2)
    if wasPaged {
      guard let pages = affinity_pages_grow(base, bytes, next * MemoryLayout<Element>.stride) else {
        fatalError("no memory for \(next) elements")
      }
      base = pages.assumingMemoryBound(to: Element.self)
    } else {
      let fresh = Vec.memory(next)
      fresh.update(from: base, count: count)
      Vec.free(base, capacity)
      base = fresh
    }
    capacity = next
  }

  // MARK: memory
  // Inlined where a private type is the element: its metadata cannot be named from outside.

  @inlinable static func isPaged(_ capacity: Int) -> Bool {
    capacity * MemoryLayout<Element>.stride >= 2 << 20
  }

  @inlinable static func memory(_ capacity: Int) -> UnsafeMutablePointer<Element> {
    if !isPaged(capacity) { return .allocate(capacity: capacity) }
    guard let pages = affinity_pages_allocate(capacity * MemoryLayout<Element>.stride) else {
      fatalError("no memory for \(capacity) elements")
    }
    return pages.assumingMemoryBound(to: Element.self)
  }

  @inlinable static func free(_ base: UnsafeMutablePointer<Element>, _ capacity: Int) {
    if !isPaged(capacity) {
      base.deallocate()
    } else {
      affinity_pages_free(base, capacity * MemoryLayout<Element>.stride)
    }
  }
}

extension Vec: @unchecked Sendable where Element: Sendable {}

/// Asks the processor for the cache line at `place`, which need not be readable.
@inlinable @inline(__always)
public func prefetch(_ place: UnsafeRawPointer) { affinity_prefetch(place) }
