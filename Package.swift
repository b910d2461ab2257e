// swift-tools-version: 6.2
import PackageDescription

// Core: Sparse <- Recommender, Events <- Engine <- Evaluation. Shell: Kafka, Importers, Snapshots, Daemon, affinityd.
// ARCHITECTURE.md tells what each target holds; Tests/EdgeTests keeps the core's import list.

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let kernel: [SwiftSetting] = strict

let package = Package(
  name: "affinity",
  products: [
    .executable(name: "affinityd", targets: ["affinityd"]),
    .executable(name: "affinity-bench", targets: ["Benchmarks"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    // C and C++ edges
    .systemLibrary(name: "CRdKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "CMicroHTTPD", linkerSettings: [.linkedLibrary("microhttpd")]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CLAPACK", providers: [.apt(["liblapacke-dev", "libopenblas-dev"])]),
    .systemLibrary(name: "CLinear", providers: [.apt(["liblinear-dev"])]),
    .target(
      name: "CSimdJSON",
      cxxSettings: [.unsafeFlags(["-O3"])],
      linkerSettings: [.linkedLibrary("simdjson")]),
    .target(name: "CNumbers", cxxSettings: [.unsafeFlags(["-O3"])]),
    .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3"])]),
    .target(name: "CStorage", cSettings: [.unsafeFlags(["-O3"])]),

    // Core: no Kafka, clock, file, log, Foundation
    .target(name: "Sparse", dependencies: ["CNumbers", "CKernels"], swiftSettings: kernel),
    .target(name: "Events", dependencies: ["Sparse", "CSimdJSON"], swiftSettings: kernel),
    .target(
      name: "Recommender", dependencies: ["Sparse", "CKernels", "CLAPACK"], swiftSettings: kernel),
    .target(
      name: "Customers", dependencies: ["Sparse", "CKernels", "CLAPACK"], swiftSettings: kernel),
    .target(
      name: "Engine", dependencies: ["Sparse", "Events", "Recommender", "Customers", "CKernels"],
      swiftSettings: kernel),
    .target(
      name: "Evaluation", dependencies: ["Sparse", "Events", "Recommender", "Engine", "CLAPACK"],
      swiftSettings: kernel),
    .target(name: "Simulator", dependencies: ["Sparse"], swiftSettings: strict),

    // Shell
    .target(name: "Kafka", dependencies: ["CRdKafka"], swiftSettings: strict),
    .target(
      name: "Importers", dependencies: ["CZlib", "Sparse", "Events"], swiftSettings: strict),
    .target(
      name: "Snapshots", dependencies: ["CStorage", "CCrypto", "Sparse"], swiftSettings: strict),
    .target(
      name: "Daemon",
      dependencies: [
        "CMicroHTTPD", "Kafka", "Evaluation", "Engine", "Events", "Recommender", "Customers", "Sparse", "Importers",
        "Snapshots", "CStorage",
        .product(name: "Yams", package: "Yams"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "affinityd",
      dependencies: [
        "Daemon", "Evaluation", "Simulator", "Importers", "Kafka", "Engine", "Events", "Recommender", "Customers",
        "Snapshots", "Sparse",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "Benchmarks",
      dependencies: [
        "Engine", "Events", "Recommender", "Customers", "Sparse", "Kafka", "Simulator", "Importers", "Snapshots",
        "Daemon",
      ],
      swiftSettings: strict),

    // Tests
    .target(
      name: "TestSupport", dependencies: ["Sparse", "Events", "Recommender", "Importers", "Snapshots"],
      path: "Tests/TestSupport", swiftSettings: strict),
    .target(
      name: "SimulatedKafka", dependencies: ["Sparse"], path: "Tests/SimulatedKafka",
      swiftSettings: strict),
    .testTarget(
      name: "SimulatedKafkaTests", dependencies: ["SimulatedKafka", "Sparse"],
      swiftSettings: strict),
    .testTarget(name: "SparseTests", dependencies: ["Sparse", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "EventsTests", dependencies: ["Events", "Sparse", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "RecommenderTests", dependencies: ["Recommender", "Sparse", "CKernels", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "CustomersTests",
      dependencies: [
        "Customers", "Engine", "Events", "Sparse", "Importers", "CKernels", "CLinear", "TestSupport",
      ],
      exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
      name: "EngineTests",
      dependencies: [
        "Engine", "Events", "Recommender", "Sparse", "Simulator", "CKernels", "TestSupport",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EvaluationTests",
      dependencies: [
        "Evaluation", "Engine", "Events", "Recommender", "Sparse", "Importers", "TestSupport",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SnapshotTests", dependencies: ["Snapshots", "CStorage", "CCrypto", "Sparse", "TestSupport"],
      swiftSettings: strict),
    .testTarget(name: "KafkaTests", dependencies: ["Kafka", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "EdgeTests",
      dependencies: [
        "Daemon", "Importers", "Simulator", "Engine", "Recommender", "Sparse", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ],
      exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
      name: "SimulationTests",
      dependencies: [
        "Daemon", "SimulatedKafka", "Kafka", "Engine", "Events", "Snapshots", "Sparse", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EndToEndTests", dependencies: ["Kafka", "Events"], swiftSettings: strict),
  ],
  cxxLanguageStandard: .cxx17
)
