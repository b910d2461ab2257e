// Large scratch in huge pages.
import CKernels
import Sparse

/// A fixed array of trivial values, zeroed at first. Indexes are not checked.
struct PageArray<Element: BitwiseCopyable>: ~Copyable {
  let base: UnsafeMutablePointer<Element>
  let count: Int
  private let raw: UnsafeMutableRawPointer?
  private let size: Int

  init(count: Int) {
    self.count = count
    size = max(1, count) * MemoryLayout<Element>.stride
    guard let pages = affinity_pages_allocate(size) else {
      fatalError("no memory for \(size) bytes of mining scratch")
    }
    raw = pages
    base = pages.bindMemory(to: Element.self, capacity: max(1, count))
  }

  init() { self.init(count: 0) }

  deinit { affinity_pages_free(raw, size) }

  subscript(index: Int) -> Element {
    @inline(__always) get { base[index] }
    @inline(__always) nonmutating set { base[index] = newValue }
  }
}
