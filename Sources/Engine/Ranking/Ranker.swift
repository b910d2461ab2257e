// From a listener's rows and the model to one message of lists, with the evidence of every item.
//
//   Scene             the rows of the cause; the basket; what is left out
//   CandidateSource   neighbours, rules, popularity: runs of (item, value), later the reasons
//   FormulaLists      the lists made by formulas, where there are any
//   Candidates        sums, the best by threshold, and the contributions of these alone
//   ListEncoder       the bytes around the reasons
//
// A list is a pure function of its cause: the rows just after it and the model in force there. Scratch is kept
// from list to list.
import Recommender
import Sparse

struct Ranker: ~Copyable {
  private let top: Int
  private let reader: SceneReader
  private var basket: Vec<UInt32>
  private var candidates = Candidates()
  private var neighbours: NeighbourSource
  private var rules: RuleSource
  private var popularity: PopularitySource
  private var formulas: FormulaLists
  private let isBlend: Bool
  private var encoder: ListEncoder
  /// Keys and their fingerprints of the list's items.
  private var keys: Vec<UnsafeRawBufferPointer>
  private var prints: Vec<Fingerprint>
  /// What the sources are prepared for.
  private var model: Model?

  init(_ configuration: EngineConfiguration, places: MatrixPlaces, topics: [String]) {
    top = configuration.recommend.top
    reader = SceneReader(configuration, places: places)
    basket = Vec()
    keys = Vec()
    prints = Vec()
    neighbours = NeighbourSource(configuration, places: places)
    rules = RuleSource(configuration)
    popularity = PopularitySource(configuration)
    formulas = FormulaLists(configuration, places: places)
    isBlend = configuration.lists.forYou == .blend
    encoder = ListEncoder(topics: topics)
  }

  /// Writes the listener's message unless its hash equals `unlessHash`.
  /// - Parameter name: the listener's, see `Audience.escape`.
  /// - Returns: the hash of the lists (0: no item, nothing sent before, and nothing to renew).
  mutating func writeList(
    listener: Listener, name: UnsafeRawBufferPointer, cause: Cause, model: Model,
    interactions: borrowing Interactions, unlessHash: UInt64?, into outputs: inout Outputs
  ) -> UInt64 {
    let isUser = name.first != UInt8(ascii: "~")
    let key =
      name.first == Audience.escape ? UnsafeRawBufferPointer(rebasing: name.dropFirst()) : name
    let scene = Scene(
      isUser: isUser, key: key, listener: listener, cause: cause, interactions: interactions)
    prepare(model, itemLimit: interactions.items.idLimit)
    let isOrdered = reader.fillBasket(&basket, scene, interactions)
    if isBlend {
      gather(scene, model: model, interactions: interactions)
      candidates.choose(top: top, items: interactions.items)
    }
    if formulas.isOn {
      formulas.make(
        scene, basket: basket, isOrdered: isOrdered, reader: reader, model: model, interactions: interactions)
    }
    // Whether a cause has a message may not depend on what was sent before: an empty list is one too.
    if blendCount == 0 && formulas.count == 0 && listener.lastList == 0 && cause.isModel { return 0 }
    lookUp(interactions.items)
    let hash = hash(interactions.items)
    if let unlessHash, unlessHash == hash { return hash }

    let start = outputs.writer.count
    outputs.writer.append(bytes: key)
    let keyEnd = outputs.writer.count
    encoder.writeHead(isUser: isUser, key: key, cause: cause, into: &outputs.writer)
    outputs.writer.append(",\"lists\":{")
    if isBlend {
      outputs.writer.append("\"for_you\":[")
      writeEntries(model, items: interactions.items, into: &outputs.writer)
      outputs.writer.append("]")
    }
    if formulas.isOn { writeFormulas(model, items: interactions.items, into: &outputs.writer) }
    outputs.writer.append("}}")
    outputs.finish(.recommendations, start: start, keyEnd: keyEnd, receivedAt: cause.receivedAt)
    return hash
  }

  private var blendCount: Int { isBlend ? candidates.count : 0 }

  /// The same list as values.
  /// - Parameter given: what is in the basket instead, the newest first; nil: what the rows say.
  mutating func answer(
    _ scene: Scene, given: [UInt32]?, model: Model, interactions: borrowing Interactions, into answer: inout Answer
  ) {
    prepare(model, itemLimit: interactions.items.idLimit)
    if let given {
      basket.removeAll()
      for item in given { basket.append(item) }
    } else {
      _ = reader.fillBasket(&basket, scene, interactions)
    }
    gather(scene, model: model, interactions: interactions)
    answer.begin(itemLimit: candidates.itemLimit)
    candidates.copyExcluded(to: &answer.excluded)
    candidates.choose(top: top, items: interactions.items)
    for rank in 0..<candidates.count {
      let entry = candidates.chosen(rank)
      answer.append(entry.pointee.item, score: entry.pointee.score)
    }
    for r in 0..<candidates.runs.count { answer.attribute(candidates.runs[r]) }
  }

  /// What is left out, and what neighbours, rules and popularity propose by their weights.
  private mutating func gather(_ scene: Scene, model: Model, interactions: borrowing Interactions) {
    reader.exclude(scene, basket: basket, interactions, from: &candidates)
    neighbours.propose(
      scene, basket: basket, model: model, interactions: interactions, to: &candidates)
    rules.propose(scene, basket: basket, model: model, interactions: interactions, to: &candidates)
    popularity.propose(
      scene, basket: basket, model: model, interactions: interactions, to: &candidates)
  }

  private mutating func prepare(_ model: Model, itemLimit: Int) {
    if formulas.isOn {
      formulas.prepare(model, isNew: self.model !== model, itemLimit: itemLimit)
    }
    let hasGrown = candidates.itemLimit < itemLimit
    candidates.begin(itemLimit: itemLimit)
    if self.model !== model {
      self.model = model
      neighbours.prepare(model)
      rules.prepare(model)
      popularity.prepare(model)
      encoder.prepare(model)
    } else if !hasGrown {
      return
    }
    candidates.setUnavailable(model.unavailable)
  }

  /// The loop does nothing else, so that what misses the cache is waited for at once.
  private mutating func lookUp(_ items: borrowing Interner) {
    keys.removeAll()
    prints.removeAll()
    for rank in 0..<blendCount {
      let item = candidates.chosen(rank).pointee.item
      keys.append(items.key(item))
      prints.append(items.fingerprint(item))
      if let key = keys[rank].baseAddress { prefetch(key) }
    }
  }

  private mutating func writeEntries(
    _ model: Model, items: borrowing Interner, into w: inout ByteWriter
  ) {
    for rank in 0..<candidates.count {
      let entry = candidates.chosen(rank)
      for i in 0..<Int(entry.pointee.listed) {
        let reason = candidates.reason(entry, i)
        if reason.run.pointee.source < SourceKind.rules { neighbours.fetch(reason, items: items) }
      }
    }
    for rank in 0..<candidates.count {
      let entry = candidates.chosen(rank)
      encoder.writeEntry(rank, entry, key: keys[rank], into: &w)
      for i in 0..<Int(entry.pointee.listed) {
        if i > 0 { w.append(byte: UInt8(ascii: ",")) }
        let reason = candidates.reason(entry, i)
        switch reason.run.pointee.source {
        case SourceKind.rules: rules.write(reason, model: model, items: items, into: &w)
        case SourceKind.popularity: popularity.write(reason, model: model, items: items, into: &w)
        default: neighbours.write(reason, model: model, items: items, into: &w)
        }
      }
      w.append("]}")
    }
  }

  private func writeFormulas(_ model: Model, items: borrowing Interner, into w: inout ByteWriter) {
    var isFirst = !isBlend
    for list in formulas.lists {
      w.append(isFirst ? "\"" : ",\"")
      isFirst = false
      w.append(list.kind.name)
      w.append("\":[")
      for rank in 0..<list.made.count {
        let entry = formulas.entry(list, rank)
        var head = Finalist(entry.item)
        head.score = entry.score
        head.rest = entry.rest
        encoder.writeEntry(rank, &head, key: items.key(entry.item), into: &w)
        for i in 0..<entry.listed {
          if i > 0 { w.append(byte: UInt8(ascii: ",")) }
          formulas.writeReason(i, of: entry, in: list, model: model, items: items, into: &w)
        }
        w.append("]}")
      }
      w.append("]")
    }
  }

  /// A list is its items and their scores: evidence that moves without them is no change.
  private func hash(_ items: borrowing Interner) -> UInt64 {
    var sum = Fingerprint(low: 0x9e37_79b9_7f4a_7c15, high: UInt64(blendCount))
    for rank in 0..<blendCount {
      let entry = candidates.chosen(rank)
      // Summed, so that one entry's hash need not wait for the one before.
      sum &+= Fingerprint(
        prints[rank],
        Fingerprint(low: entry.pointee.score.bitPattern, high: entry.pointee.rest.bitPattern),
        UInt64(rank), 0)
    }
    if !formulas.isOn { return sum.low | 1 }
    for list in formulas.lists {
      for rank in 0..<list.made.count {
        let entry = formulas.entry(list, rank)
        sum &+= Fingerprint(
          items.fingerprint(entry.item),
          Fingerprint(low: entry.score.bitPattern, high: entry.rest.bitPattern), UInt64(rank),
          UInt64(list.kind.rawValue + 1))
      }
    }
    return sum.low | 1
  }
}
