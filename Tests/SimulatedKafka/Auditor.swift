// An independent reader under `read_committed`: decides by itself, from the raw log and its control
// records, which records count, and shares no code with the fetch path. Costs no virtual time.

public struct LogAuditor {
  private let cluster: SimulatedCluster
  public let topic: String
  private var readers: [Reader] = []
  /// Committed records so far, in the order of their offsets, partition by partition.
  public private(set) var records: [[SimulatedRecord]] = []

  private struct Reader {
    var next: Int64 = 0
    /// Entries read whose turn has not come: something before them is undecided.
    var held: [(entry: LogEntry, isCommitted: Bool?)] = []
    /// Producer -> indices of its undecided entries in `held`.
    var undecided: [Int64: [Int]] = [:]
  }

  public init(_ cluster: SimulatedCluster, topic: String) {
    self.cluster = cluster
    self.topic = topic
  }

  /// Reads on from where it was.
  /// - Returns: what has become committed since, partition by partition.
  @discardableResult
  public mutating func advance() -> [SimulatedRecord] {
    var fresh: [SimulatedRecord] = []
    for partition in 0..<cluster.partitionCount(topic) {
      if readers.count <= partition {
        readers.append(Reader())
        records.append([])
      }
      let place = LogPlace(topic, Int32(partition))
      let found = Self.read(
        cluster.rawLog(place, from: readers[partition].next), &readers[partition])
      for entry in found {
        guard let payload = entry.payload else { continue }
        fresh.append(SimulatedRecord(place: place, offset: entry.offset, payload: payload))
      }
      records[partition] += fresh.filter { $0.place == place }
    }
    return fresh
  }

  /// Entries that are read and not decided: of open transactions, or behind one.
  public var undecided: Int { readers.reduce(0) { $0 + $1.held.count } }

  private static func read(_ entries: ArraySlice<LogEntry>, _ reader: inout Reader) -> [LogEntry] {
    for entry in entries {
      reader.next = entry.offset + 1
      switch entry.kind {
      case .data where entry.isTransactional:
        reader.undecided[entry.producerID, default: []].append(reader.held.count)
        reader.held.append((entry, nil))
      case .data: reader.held.append((entry, true))
      case .commit, .abort:
        for i in reader.undecided.removeValue(forKey: entry.producerID) ?? [] {
          reader.held[i].isCommitted = entry.kind == .commit
        }
      }
    }
    let decided = reader.held.prefix { $0.isCommitted != nil }.count
    let visible = reader.held.prefix(decided).filter { $0.isCommitted == true }.map(\.entry)
    reader.held.removeFirst(decided)
    for producer in reader.undecided.keys {
      reader.undecided[producer] = reader.undecided[producer]?.map { $0 - decided }
    }
    return visible
  }
}
