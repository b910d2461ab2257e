// What goes out in place of a dead letter that is larger than a message may be: enough to find the
// record again, to recognise it, and to see what it was.
import Events
import Sparse

extension DeadLetter {
  /// Bytes of key, value and headers that a stub keeps, each.
  static let stubBytes = 4096

  /// The letter with key and value cut to their first bytes, and headers that say how large each was
  /// and what the value's MurmurHash3 (x64, 128 bits) is. Headers of its own that are large are left out.
  func stub() -> DeadLetter {
    var stub = self
    var notes: [MessageHeader] = []
    func cut(_ bytes: [UInt8]?, _ name: String) -> [UInt8]? {
      guard let bytes, bytes.count > DeadLetter.stubBytes else { return bytes }
      notes.append(MessageHeader(key: "affinity.\(name).bytes", text: String(bytes.count)))
      notes.append(
        MessageHeader(
          key: "affinity.\(name).murmur3",
          text: bytes.withUnsafeBytes { Fingerprint(of: $0).hex }))
      return Array(bytes.prefix(DeadLetter.stubBytes))
    }
    stub.key = cut(key, "key")
    stub.value = cut(value, "value")
    let bytes = headers.reduce(0) { $0 + $1.key.utf8.count + ($1.value?.count ?? 0) }
    if bytes > DeadLetter.stubBytes {
      notes.append(MessageHeader(key: "affinity.headers.count", text: String(headers.count)))
      stub.headers = []
    }
    stub.headers += notes
    return stub
  }
}
