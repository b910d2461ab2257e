// The core stays pure: its import lines name the standard library's modules, its own, the C shims, and Glibc only
// in the one mathematics file of a module.
import Foundation
import Testing

@Suite struct ImportBoundaryTests {
  static let core = ["Sparse", "Events", "Recommender", "Engine", "Simulator"]
  static let allowed: Set<String> = [
    "Sparse", "Events", "Recommender", "Engine", "CSimdJSON", "CNumbers", "CKernels",
  ]
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test(arguments: core) func importsOfTheCore(module: String) throws {
    let folder = Self.root.appendingPathComponent("Sources/\(module)")
    let files = try #require(FileManager.default.enumerator(atPath: folder.path))
    var seen = 0
    var mathFiles: [String] = []
    for case let name as String in files where name.hasSuffix(".swift") {
      seen += 1
      let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ").map(String.init)
        guard let at = words.firstIndex(of: "import"), at + 1 < words.count,
          words[..<at].allSatisfy({ $0.hasPrefix("@") || $0 == "public" || $0 == "internal" })
        else { continue }
        let imported = words[at + 1]
        if imported == "Glibc" {
          mathFiles.append(name)
        } else {
          #expect(Self.allowed.contains(imported), "\(module)/\(name) imports \(imported)")
        }
      }
    }
    #expect(seen > 0)
    #expect(mathFiles.count <= 3, "\(module): Glibc in \(mathFiles)")
  }
}
