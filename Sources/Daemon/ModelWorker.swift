// The thread on which models are made. It alone owns the builder; changes and seals reach it in the order
// they were handed over, so nothing is locked while it works.
import Dispatch
import Engine
import Recommender
import Sparse

public final class ModelWorker: ModelMaker, @unchecked Sendable {
  private let queue = DispatchQueue(label: "affinity.model", qos: .utility)
  private var builder: ModelBuilder
  private let parallel: Parallel
  private let lock = Lock()
  private var finished: [Finished] = []
  private var inFlight = 0
  private var waitingRows = 0

  /// A model, and how long each part took, in seconds.
  public struct Finished: Sendable {
    public var built: BuiltModel
    public var seconds: Double
    public var bytes: (counts: Int, items: Int)

    package init(built: BuiltModel, seconds: Double, bytes: (counts: Int, items: Int)) {
      self.built = built
      self.seconds = seconds
      self.bytes = bytes
    }
  }

  public convenience init(
    _ configuration: EngineConfiguration, after sequence: Int = 0, threads: Int
  ) {
    self.init(ModelBuilder(configuration, after: sequence), threads: threads)
  }

  public init(_ builder: consuming ModelBuilder, threads: Int) {
    self.builder = builder
    parallel = Threads.parallel(threads)
  }

  /// Models asked for and not yet taken.
  public var outstanding: Int { lock.with { inFlight + finished.count } }
  /// Changed rows handed over and not yet absorbed.
  public var backlogRows: Int { lock.with { waitingRows } }

  public func absorb(_ batch: ChangeBatch) {
    let rows = batch.changes.reduce(0) { $0 + $1.rows.count }
    lock.with { waitingRows += rows }
    queue.async { [self] in
      builder.absorb(batch)
      lock.with { waitingRows -= rows }
    }
  }

  /// Asks for the model of a seal; it comes out of `take` when it is made.
  public func build(_ seal: Seal) {
    lock.with { inFlight += 1 }
    queue.async { [self] in
      let done = make(seal)
      lock.with {
        inFlight -= 1
        finished.append(done)
      }
    }
  }

  /// Makes the model of a seal while the caller waits.
  public func buildNow(_ seal: Seal) -> Finished { queue.sync { make(seal) } }

  /// The next finished model, if any.
  public func take() -> Finished? {
    lock.with { finished.isEmpty ? nil : finished.removeFirst() }
  }

  /// Waits until everything asked for is made.
  public func wait() { queue.sync {} }

  private func make(_ seal: Seal) -> Finished {
    let start = DispatchTime.now().uptimeNanoseconds
    let built = builder.build(seal, parallel: parallel)
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
    return Finished(built: built, seconds: seconds, bytes: builder.bytes)
  }
}
