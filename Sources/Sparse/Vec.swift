// A growable flat array of plain values, without reference counts, bounds checks in release, or
// copy-on-write: the storage under rows, dictionaries and counts. It owns its memory and is moved,
// never copied.

/// A growable array of trivial values. Indexes are checked in debug builds only.
public struct Vec<Element: BitwiseCopyable>: ~Copyable {
  public var base: UnsafeMutablePointer<Element>
  public var count: Int
  public var capacity: Int

  @inlinable public init(capacity: Int = 0) {
    self.init(allocating: Swift.max(capacity, 4))
  }

  @inlinable init(allocating capacity: Int) {
    base = .allocate(capacity: capacity)
    count = 0
    self.capacity = capacity
  }

  public init(repeating value: Element, count: Int) {
    self.init(allocating: Swift.max(count, 4))
    base.initialize(repeating: value, count: count)
    self.count = count
  }

  deinit { base.deallocate() }

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
    // Half as much again for large arrays: the slack is memory nobody uses.
    let next = Swift.max(needed, capacity < 1 << 20 ? capacity * 2 : capacity + capacity / 2)
    let fresh = UnsafeMutablePointer<Element>.allocate(capacity: next)
    fresh.update(from: base, count: count)
    base.deallocate()
    base = fresh
    capacity = next
  }
}

extension Vec: @unchecked Sendable where Element: Sendable {}
