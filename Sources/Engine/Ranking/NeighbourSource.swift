// Neighbours of a listener's recent items, per relation, as candidates and as reasons.
//
// Nearly all bytes of a list are these reasons. What does not change with the neighbour is made once, for all lists,
// for a model, or for a run of the list, and copied; only the counts and the two doubles are written each time.
import CKernels
import Recommender
import Sparse

struct NeighbourSource: ~Copyable, CandidateSource {
  /// A stretch of `texts`.
  private struct Piece: BitwiseCopyable {
    var start = 0
    var count = 0
  }
  /// Whose items are asked for their neighbours.
  private enum Asked { case basket, user, session }
  /// What a list has to know of a relation.
  private struct Relation: BitwiseCopyable {
    var asked: Asked
    var weight: Double
    /// The value has no bound of its own: it is taken relative to the largest of its list.
    var isRelative: Bool
    /// Matrix of the listener's items, and of a stranger's.
    var source: Int
    var strangerSource: Int?
    /// From the brace to the key, from the key to the count of both, the shrinkage if any.
    var opening = Piece()
    var measure = Piece()
    var shrinkage = Piece()
    /// Place in `weights` of the text of the weight at place 0 of a row.
    var firstWeight = 0
    /// From the target's count to the value.
    var contexts = Piece()
  }
  /// What the reasons of one run share: up to the count of both, from there to the target's count, and from the
  /// value to the contribution.
  private struct Shared: BitwiseCopyable {
    var opening = Piece()
    var this = Piece()
    var weight = Piece()
  }

  private let recent: Int
  private let recency: Vec<Double>
  private var relations: Vec<Relation>
  private var weights: Vec<Piece>
  /// Tables of the model in force, by relation.
  private var tables: Vec<NeighbourTable.View>
  /// For all lists, then the model's, then this list's.
  private var texts: ByteWriter
  private var constantEnd = 0
  private var modelEnd = 0
  /// By run of this list; without an opening: not made yet.
  private var shared: Vec<Shared>

  init(_ configuration: EngineConfiguration, places: MatrixPlaces) {
    recent = configuration.recommend.recent
    var recency = Vec<Double>()
    for place in 0..<max(1, recent) {
      // Three significant decimals: a weight is a choice, and its digits stand in every reason.
      recency.append(
        DecayMaths.recency(place: place, half: configuration.recommend.recentHalf))
    }
    relations = Vec()
    weights = Vec()
    tables = Vec()
    texts = ByteWriter(capacity: 1 << 14)
    shared = Vec()
    for (r, relation) in configuration.relations.enumerated() {
      var own = Relation(
        asked: relation.context == .order
          ? .basket : relation.context == .user ? .user : .session, weight: relation.weight,
        isRelative: NeighbourSource.isRelative(relation.measure), source: places.source[r],
        strangerSource: places.strangerSource[r])
      own.opening = NeighbourSource.piece(in: &texts) {
        $0.append("{\"source\":\"neighbours\",\"relation\":")
        $0.append(quoted: relation.name)
        $0.append(",\"because\":")
      }
      own.measure = NeighbourSource.piece(in: &texts) {
        $0.append(",\"measure\":\"")
        $0.append(text: relation.measure.name)
        $0.append("\",\"both\":")
      }
      if relation.shrinkage > 0 {
        own.shrinkage = NeighbourSource.piece(in: &texts) {
          $0.append(",\"shrinkage\":")
          $0.append(relation.shrinkage)
        }
      }
      own.firstWeight = weights.count
      for place in 0..<recency.count {
        weights.append(
          NeighbourSource.piece(in: &texts) { $0.append(relation.weight * recency[place]) })
      }
      relations.append(own)
    }
    self.recency = recency
    constantEnd = texts.count
    modelEnd = texts.count
  }

  private static func isRelative(_ measure: Measure) -> Bool {
    switch measure {
    case .cosine, .jaccard, .conditional: false
    case .lift, .llr, .count: true
    }
  }

  /// Where what `body` writes stands.
  private static func piece(in texts: inout ByteWriter, _ body: (inout ByteWriter) -> Void) -> Piece {
    let start = texts.count
    body(&texts)
    return Piece(start: start, count: texts.count - start)
  }

  mutating func prepare(_ model: Model) {
    texts.truncate(to: constantEnd)
    tables.removeAll()
    for r in 0..<relations.count {
      let table = model.neighbours[r]
      tables.append(table.view)
      let shrinkage = relations[r].shrinkage
      relations.base[r].contexts = NeighbourSource.piece(in: &texts) {
        $0.append(",\"contexts\":")
        $0.append(table.contexts)
        $0.appendOwn(shrinkage.start, shrinkage.count)
        $0.append(",\"value\":")
      }
    }
    modelEnd = texts.count
  }

  // MARK: candidates

  mutating func propose(
    _ scene: Scene, basket: borrowing Vec<UInt32>, model: Model,
    interactions: borrowing Interactions, to candidates: inout Candidates
  ) {
    texts.truncate(to: modelEnd)
    shared.removeAll()
    for r in 0..<relations.count where relations[r].weight > 0 {
      let relation = relations[r]
      let table = tables[r]
      if relation.asked == .basket {
        for p in 0..<basket.count { propose(basket[p], p, r, relation, table, &candidates) }
        continue
      }
      let row: UInt32?
      let matrix: Int?
      switch (relation.asked, scene.isUser) {
      case (.user, true): (row, matrix) = (scene.userRow, relation.source)
      case (.session, _): (row, matrix) = (scene.sessionRow, relation.source)
      default: (row, matrix) = (scene.sessionRow, relation.strangerSource)
      }
      guard let row, let matrix else { continue }
      let (items, stamps) = interactions.slots(matrix: matrix, row: row)
      var k = items.count - 1
      var p = 0
      while k >= 0 && p < recent {
        if Stamp.isActive(stamps[k]) {
          propose(items[k], p, r, relation, table, &candidates)
          p += 1
        }
        k -= 1
      }
    }
    shared.extend(to: candidates.runs.count, with: Shared())
  }

  /// The neighbours of the item `place` places back.
  @inline(__always)
  private func propose(
    _ item: UInt32, _ place: Int, _ r: Int, _ relation: Relation, _ table: NeighbourTable.View,
    _ candidates: inout Candidates
  ) {
    guard Int(item) < table.items else { return }
    let start = Int(table.starts[Int(item)])
    let count = Int(table.starts[Int(item) &+ 1]) &- start
    if count == 0 { return }
    var weight = relation.weight * recency[place]
    // A ratio that rounds to 0 attracts nobody, and has nothing to be divided by.
    if relation.isRelative {
      weight /= table.values[start]
      if !weight.isFinite { return }
    }
    candidates.propose(
      Run(
        ids: table.ids + start, values: table.values + start, weight: weight,
        count: UInt32(truncatingIfNeeded: count), source: UInt32(truncatingIfNeeded: r),
        because: item, recency: relation.isRelative ? -1 : Int32(truncatingIfNeeded: place),
        start: start))
  }

  // MARK: reasons

  @inline(__always)
  func fetch(_ reason: Reason, items: borrowing Interner) {
    let run = reason.run.pointee
    let table = tables.base + Int(run.source)
    prefetch(table.pointee.both + (run.start &+ Int(reason.place)))
    prefetch(table.pointee.targetCount + Int(reason.item))
    prefetch(table.pointee.sourceCount + Int(run.because))
    if let key = items.key(run.because).baseAddress { prefetch(key) }
  }

  @inline(__always)
  mutating func write(
    _ reason: Reason, model: Model, items: borrowing Interner, into w: inout ByteWriter
  ) {
    let run = reason.run
    let r = Int(run.pointee.source)
    let shared = self.shared.base + Int(reason.number)
    if shared.pointee.opening.count == 0 { share(run, shared, items) }
    let (opening, this, weight) = (
      shared.pointee.opening, shared.pointee.this, shared.pointee.weight
    )
    let table = tables.base + r
    let contexts = relations.base[r].contexts
    let text = texts.base
    var pen = w.begin(
      most: opening.count &+ this.count &+ weight.count &+ contexts.count &+ 4 &* Pen.slack)
    pen.copy(text + opening.start, opening.count)
    pen.number(table.pointee.both[run.pointee.start &+ Int(reason.place)])
    pen.copy(text + this.start, this.count)
    pen.number(table.pointee.targetCount[Int(reason.item)])
    pen.copy(text + contexts.start, contexts.count)
    pen.number(reason.value)
    pen.copy(text + weight.start, weight.count)
    pen.number(reason.contribution)
    pen.byte(UInt8(ascii: "}"))
    w.finish(pen)
  }

  /// Writes what the reasons of a run share.
  @inline(never)
  private mutating func share(
    _ run: UnsafePointer<Run>, _ shared: UnsafeMutablePointer<Shared>, _ items: borrowing Interner
  ) {
    let run = run.pointee
    let r = Int(run.source)
    let relation = relations[r]
    var own = Shared()
    let key = items.key(run.because)
    own.opening = Piece(start: texts.count, count: 0)
    texts.appendOwn(relation.opening.start, relation.opening.count)
    texts.append(quoted: key)
    texts.appendOwn(relation.measure.start, relation.measure.count)
    own.opening.count = texts.count &- own.opening.start
    own.this.start = texts.count
    texts.append(",\"this\":")
    texts.append(unsigned: UInt64(tables[r].sourceCount[Int(run.because)]))
    texts.append(",\"other\":")
    own.this.count = texts.count &- own.this.start
    own.weight.start = texts.count
    texts.append(",\"weight\":")
    if run.recency >= 0 {
      let weight = weights[relation.firstWeight &+ Int(run.recency)]
      texts.appendOwn(weight.start, weight.count)
    } else {
      texts.append(run.weight)
    }
    texts.append(",\"contribution\":")
    own.weight.count = texts.count &- own.weight.start
    // Copies read on behind what they copy.
    _ = texts.reserve(Pen.slack)
    shared.pointee = own
  }
}
