// Keys as people write them.
import Foundation
import Glibc
import Snapshots
import Testing

@Suite struct KeyTests {
  @Test func spellingsOfOneKey() throws {
    let bytes = (0..<32).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 3) }
    let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    let base64 = Data(bytes).base64EncodedString()
    let first = try SnapshotKey(text: hex, source: "test").identifier
    for text in [hex.uppercased(), " \(hex)\n", base64, base64 + "\n", String(base64.dropLast())] {
      #expect(try SnapshotKey(text: text, source: "test").identifier == first)
    }
    #expect(first.utf8.count == 16 && !hex.contains(first))
    for text in [
      "", "secret", String(hex.dropLast()), hex + "00", String(repeating: "g", count: 64),
      String(base64.dropLast(4)), String(repeating: "é", count: 32),
    ] {
      #expect(throws: SnapshotError.self) { try SnapshotKey(text: text, source: "test") }
    }
  }

  @Test func filesThatOthersCanReadAreRefused() throws {
    try withTemporaryFolder { path in
      let file = path + "/key"
      try String(repeating: "ab", count: 32).write(toFile: file, atomically: false, encoding: .utf8)
      for (mode, isGood) in [(0o600, true), (0o440, true), (0o644, false), (0o602, false)] {
        chmod(file, mode_t(mode))
        #expect(((try? SnapshotKey(file: file)) != nil) == isGood, "\(String(mode, radix: 8))")
      }
      do {
        _ = try SnapshotKey(file: file)
      } catch { #expect("\(error)".contains("chmod o=")) }
      #expect(throws: SnapshotError.self) { try SnapshotKey(file: path) }
      #expect(throws: SnapshotError.self) { try SnapshotKey(file: path + "/none") }
    }
  }
}
