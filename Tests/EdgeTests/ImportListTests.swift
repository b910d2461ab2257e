// What each module may import. The core has no Kafka, clock, log, file, task or Foundation: that is
// what makes it run the same live, in replay and in tests.
import Foundation
import Testing

@Suite struct ImportListTests {
  /// Module, and what its files may import.
  static let allowed: [(module: String, imports: Set<String>)] = [
    ("Sparse", ["CNumbers", "CKernels"]),
    ("Events", ["Sparse", "CSimdJSON"]),
    ("Recommender", ["Sparse", "CKernels", "CLAPACK"]),
    ("Customers", ["Sparse", "CKernels", "CLAPACK"]),
    ("Engine", ["Sparse", "Events", "Recommender", "Customers", "CKernels"]),
    ("Evaluation", ["Sparse", "Events", "Recommender", "Engine", "CLAPACK"]),
    ("Simulator", ["Sparse"]),
    // The shell, in the direction of its arrows.
    ("Kafka", ["CRdKafka", "Glibc", "Synchronization", "Foundation"]),
    ("Importers", ["CZlib", "Glibc", "Foundation", "Sparse", "Events"]),
    ("Snapshots", ["CStorage", "CCrypto", "Glibc", "Foundation", "Synchronization", "Sparse"]),
  ]
  /// Files of the core that need the C library's logarithms and powers.
  static let mathematics: Set<String> = [
    "Recommender/Neighbours/Measures.swift", "Recommender/Popularity/DecayMaths.swift",
    "Customers/Maths.swift", "Evaluation/EvaluationMaths.swift",
  ]
  static let core: Set<String> = [
    "Sparse", "Events", "Recommender", "Customers", "Engine", "Evaluation", "Simulator",
  ]

  @Test func everyModuleKeepsToItsList() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Sources")
    for (module, imports) in Self.allowed {
      let folder = root.appendingPathComponent(module)
      var seen = 0
      let files = try #require(FileManager.default.subpaths(atPath: folder.path))
      for name in files.sorted() where name.hasSuffix(".swift") {
        seen += 1
        let text = try String(
          contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
        for line in text.split(separator: "\n") {
          var words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
          if ["public", "package", "internal", "private", "fileprivate"].contains(words.first) {
            words.removeFirst()
          }
          guard words.count >= 2, words[0] == "import", !line.hasPrefix(" ") else { continue }
          let kinds: Set<Substring> = ["struct", "class", "enum", "func", "var", "let", "typealias"]
          let imported = String(
            (kinds.contains(words[1]) ? words[2] : words[1]).prefix { $0 != "." })
          if imported == "Glibc" && Self.core.contains(module) {
            #expect(
              Self.mathematics.contains("\(module)/\(name)"), "\(module)/\(name) imports Glibc")
            continue
          }
          #expect(imports.contains(imported), "\(module)/\(name) imports \(imported)")
        }
      }
      #expect(seen > 0, "\(module)")
    }
  }
}
