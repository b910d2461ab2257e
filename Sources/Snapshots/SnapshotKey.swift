// Keys of encrypted snapshots: 32 bytes, written as 64 hexadecimal digits or as base64, in a file that
// others cannot read or in an environment variable.
import CCrypto
import Foundation
import Glibc

public final class SnapshotKey: @unchecked Sendable {
  public static let environmentVariable = "AFFINITY_SNAPSHOT_KEY"

  let bytes: UnsafeMutableRawBufferPointer
  /// Tells keys apart without telling the key: the first 8 bytes of an HMAC.
  let id: [UInt8]
  public var identifier: String { hexadecimal(id) }

  /// - Parameter source: where the text comes from, for the message.
  public init(text: String, source: String) throws(SnapshotError) {
    guard var decoded = SnapshotKey.decode(text) else {
      throw .invalidKey(
        "\(source): a key is 32 bytes, as 64 hexadecimal digits or base64 (openssl rand -hex 32)")
    }
    bytes = .allocate(byteCount: 32, alignment: 16)
    bytes.copyBytes(from: decoded)
    decoded.withUnsafeMutableBytes { wipe($0) }
    id = Array(
      SnapshotKey.authenticate(UnsafeRawBufferPointer(bytes), "affinity snapshot key id", []).prefix(8))
  }

  public convenience init(file path: String) throws(SnapshotError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .invalidKey("\(path): \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    var info = stat()
    if fstat(descriptor, &info) != 0 || info.st_mode & S_IFMT == S_IFDIR {
      throw .invalidKey("\(path): not a file")
    }
    if info.st_mode & 0o007 != 0 {
      throw .invalidKey("\(path): every user of this machine can reach the key: chmod o= \(path)")
    }
    // A key and what white space stands around it.
    var text = [UInt8](repeating: 0, count: 256)
    defer { text.withUnsafeMutableBytes { wipe($0) } }
    let n = read(descriptor, &text, text.count)
    if n < 0 { throw .invalidKey("\(path): \(String(cString: strerror(errno)))") }
    try self.init(text: String(decoding: text.prefix(n), as: UTF8.self), source: path)
  }

  /// nil where the variable is not set.
  public static func fromEnvironment() throws(SnapshotError) -> SnapshotKey? {
    guard let text = getenv(environmentVariable) else { return nil }
    return try SnapshotKey(text: String(cString: text), source: environmentVariable)
  }

  deinit {
    wipe(bytes)
    bytes.deallocate()
  }

  private static func decode(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8.filter { $0 > 32 })
    if digits.count == 64 {
      var bytes: [UInt8] = []
      for i in stride(from: 0, to: 64, by: 2) {
        guard let high = Character(Unicode.Scalar(digits[i])).hexDigitValue,
          let low = Character(Unicode.Scalar(digits[i + 1])).hexDigitValue
        else { return nil }
        bytes.append(UInt8(high * 16 + low))
      }
      return bytes
    }
    // 43 digits hold 32 bytes; the padding is often left out.
    let padded = String(decoding: digits, as: UTF8.self) + (digits.count == 43 ? "=" : "")
    guard let data = Data(base64Encoded: padded), data.count == 32 else { return nil }
    return Array(data)
  }

  /// HMAC-SHA256 of purpose, a zero byte and `text`.
  private static func authenticate(
    _ key: UnsafeRawBufferPointer, _ purpose: String, _ text: [UInt8]
  ) -> [UInt8] {
    let input = Array(purpose.utf8) + [0] + text
    var result = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    let done = HMAC(
      EVP_sha256(), key.baseAddress, Int32(key.count), input, input.count, &result, &length)
    precondition(done != nil && length == 32)
    return result
  }

  /// The key of one file. It hangs on the whole header, which holds 32 random bytes: no two files share
  /// a key, and records do not open under a header that was changed.
  func fileKey(header: [UInt8]) -> [UInt8] {
    SnapshotKey.authenticate(UnsafeRawBufferPointer(bytes), "affinity snapshot file", header)
  }
}

/// AES-256-GCM over the records of one file (as Tink's streaming AEAD: a key per file, the record's
/// number as nonce; number and count are authenticated too, so that records cannot be left out,
/// repeated or put in another order).
struct RecordCipher: Sendable {
  private let key: [UInt8]
  private let count: Int

  init(key: SnapshotKey, header: [UInt8], count: Int) {
    self.key = key.fileKey(header: header)
    self.count = count
  }

  /// Writes cipher text and tag at `into`. False where the library has no memory.
  func seal(
    _ index: Int, _ plain: UnsafeRawBufferPointer, into: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    withContext(index) { context, nonce, bound in
      var n: Int32 = 0
      return EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
        && EVP_EncryptUpdate(context, nil, &n, bound, Int32(bound.count)) == 1
        && EVP_EncryptUpdate(context, into, &n, plain.start, Int32(plain.count)) == 1
        && EVP_EncryptFinal_ex(context, into + plain.count, &n) == 1
        && EVP_CIPHER_CTX_ctrl(
          context, EVP_CTRL_AEAD_GET_TAG, Int32(SnapshotFormat.tagSize), into + plain.count) == 1
    }
  }

  /// Writes the plain text of a record (cipher text, then tag) at `into`. False where it was altered;
  /// what stands at `into` is then not to be used.
  func open(
    _ index: Int, _ record: UnsafeRawBufferPointer, into: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    let length = record.count - SnapshotFormat.tagSize
    var tag = Array(record.suffix(SnapshotFormat.tagSize))
    return withContext(index) { context, nonce, bound in
      var n: Int32 = 0
      return EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
        && EVP_DecryptUpdate(context, nil, &n, bound, Int32(bound.count)) == 1
        && EVP_DecryptUpdate(context, into, &n, record.start, Int32(length)) == 1
        && EVP_CIPHER_CTX_ctrl(
          context, EVP_CTRL_AEAD_SET_TAG, Int32(SnapshotFormat.tagSize), &tag) == 1
        && EVP_DecryptFinal_ex(context, into + length, &n) == 1
    }
  }

  /// 96 bits of nonce: the index. 128 bits bound to the record: index and count.
  private func withContext(
    _ index: Int, _ body: (OpaquePointer, [UInt8], [UInt8]) -> Bool
  ) -> Bool {
    guard let context = EVP_CIPHER_CTX_new() else { return false }
    defer { EVP_CIPHER_CTX_free(context) }
    var nonce = [UInt8](repeating: 0, count: 12)
    var bound = [UInt8](repeating: 0, count: 16)
    nonce.withUnsafeMutableBytes { $0.put(UInt64(index), at: 4) }
    bound.withUnsafeMutableBytes {
      $0.put(UInt64(index), at: 0)
      $0.put(UInt64(count), at: 8)
    }
    return body(context, nonce, bound)
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var start: UnsafePointer<UInt8>? {
    baseAddress?.assumingMemoryBound(to: UInt8.self)
  }
}

/// Overwrites what was secret; the optimiser leaves it in.
private func wipe(_ bytes: UnsafeMutableRawBufferPointer) {
  if let base = bytes.baseAddress { explicit_bzero(base, bytes.count) }
}

enum SystemRandom {
  /// From the kernel, 256 bytes at most. There is no going on without.
  static func bytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let status = getentropy(&bytes, count)
    precondition(status == 0, "getentropy")
    return bytes
  }
}
