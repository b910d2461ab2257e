// Who is listening: users and strangers with a recent cause, the list each was last sent, and the
// causes that wait out their linger.
//
// A listener is known by its output key, the user or `~` + session; a user whose key begins like a
// stranger's (or like this) has an escape in front, so that no two listeners share a name. A pending cause keeps its place in
// the queue when a later cause of the same listener overtakes it, so no list waits longer than one
// linger. Bounded by the users active within `recommend.refresh` plus those that wait.
import Sparse

/// What a list is made for: an event, or a model that renews it.
struct Cause: BitwiseCopyable {
  var topic: UInt16 = 0
  var partition: Int32 = -1  // -1: a model
  var offset: Int64 = 0
  /// The event's time, or the model's tick.
  var time: Int64 = 0
  var type: UInt8 = 0
  var hasOrder = false
  var order = Fingerprint.zero
  var receivedAt: Int64 = 0

  var isModel: Bool { partition < 0 }
}

struct Listener: BitwiseCopyable {
  /// The latest event time of a cause.
  var lastActive: Int64 = .min
  /// Low word of the hash of the last list sent, which is odd; 0 = none.
  var lastList: UInt64 = 0
  var session = Fingerprint.zero
  var hasSession = false
  var isPending = false
  /// Waits for its renewal by the model in force.
  var needsRenewal = false
  /// What waits was sent by the run before: only its hash is wanted.
  var isQuiet = false
  var cause = Cause()
}

struct Audience: ~Copyable {
  /// Stands before a user's key that begins with `~` or with itself.
  static let escape: UInt8 = 0
  var keys: Interner
  var listeners: Vec<Listener>
  /// Pending listeners in order of their first cause, with the clock time at which they are due.
  private var queue: Vec<UInt32>
  private var due: Vec<Int64>
  private var head = 0
  /// Listeners a new model has yet to renew.
  private var renewals: Vec<UInt32>
  private var renewalHead = 0
  /// Listeners whose list the run before has sent, and whose hash is not yet known.
  private var quiet: Vec<UInt32>
  private var quietHead = 0

  init() {
    keys = Interner()
    listeners = Vec()
    queue = Vec()
    due = Vec()
    renewals = Vec()
    quiet = Vec()
  }

  var count: Int { keys.liveCount }
  var pendingCount: Int { queue.count - head }
  var renewalCount: Int { renewals.count - renewalHead }
  var bytes: Int { keys.bytes + listeners.bytes + queue.bytes + due.bytes + renewals.bytes + quiet.bytes }
  var quietCount: Int { quiet.count - quietHead }
  var nextDue: Int64? { head < queue.count ? due[head] : nil }

  /// - Parameter print: the key's fingerprint.
  func find(_ key: UnsafeRawBufferPointer, _ print: Fingerprint) -> UInt32? {
    keys.find(key, print)
  }

  mutating func intern(_ key: UnsafeRawBufferPointer, _ print: Fingerprint) -> UInt32 {
    let (id, isNew) = keys.intern(key, print)
    if isNew {
      listeners.extend(to: keys.idLimit, with: Listener())
      listeners[Int(id)] = Listener()
    }
    return id
  }

  mutating func enqueue(_ id: UInt32, due deadline: Int64) {
    listeners.base[Int(id)].isPending = true
    queue.append(id)
    due.append(deadline)
  }

  /// The listener's list was sent by the run before.
  mutating func noteQuiet(_ id: UInt32) {
    if listeners[Int(id)].isQuiet { return }
    listeners.base[Int(id)].isQuiet = true
    quiet.append(id)
  }

  /// The next listener whose hash is wanted.
  mutating func nextQuiet() -> UInt32? {
    while quietHead < quiet.count {
      let id = quiet[quietHead]
      quietHead += 1
      if keys.isLive(id) && listeners[Int(id)].isQuiet { return id }
    }
    quiet.removeAll()
    quietHead = 0
    return nil
  }

  /// None of those hashes will be asked for.
  mutating func forgetQuiet() {
    while let id = nextQuiet() {
      listeners.base[Int(id)].isQuiet = false
      listeners.base[Int(id)].isPending = false
      listeners.base[Int(id)].needsRenewal = false
    }
  }

  /// The next listener whose linger has passed by `clock`.
  mutating func dequeue(dueBy clock: Int64) -> UInt32? {
    while head < queue.count {
      if due[head] > clock { return nil }
      let id = queue[head]
      head += 1
      if head == queue.count {
        queue.removeAll()
        due.removeAll()
        head = 0
      } else if head > 4096 && head * 2 > queue.count {
        compact()
      }
      // A flush out of turn leaves its place behind; a place may then belong to a later cause, which
      // only makes that list earlier.
      if listeners[Int(id)].isPending && !listeners[Int(id)].isQuiet { return id }
    }
    return nil
  }

  private mutating func compact() {
    let left = queue.count - head
    queue.base.update(from: queue.base + head, count: left)
    due.base.update(from: due.base + head, count: left)
    queue.count = left
    due.count = left
    head = 0
  }

  /// Marks everyone active at or after `since` for renewal, quietly where the run before has sent it;
  /// forgets everyone else who does not wait.
  mutating func scheduleRenewals(activeSince since: Int64, isQuiet: Bool) {
    renewals.removeAll()
    renewalHead = 0
    for i in 0..<listeners.count {
      let id = UInt32(i)
      guard keys.isLive(id) else { continue }
      if listeners[i].lastActive >= since {
        listeners.base[i].needsRenewal = true
        if isQuiet { noteQuiet(id) } else { renewals.append(id) }
      } else if !listeners[i].isPending {
        listeners[i] = Listener()
        keys.remove(id)
      }
    }
  }

  /// Listeners at which the next look for those to forget is due; models look by themselves.
  private(set) var pruneLimit = 65_536

  /// Forgets everyone not active since `since` who does not wait: while no model comes (a long log read
  /// from its beginning), nobody else would.
  mutating func prune(activeSince since: Int64) {
    for i in 0..<listeners.count {
      let id = UInt32(i)
      guard keys.isLive(id), listeners[i].lastActive < since,
        listeners[i].isQuiet || !listeners[i].isPending && !listeners[i].needsRenewal
      else { continue }
      listeners[i] = Listener()
      keys.remove(id)
    }
    pruneLimit = max(65_536, keys.liveCount * 2)
  }

  /// Forgets the listener with all that waits for it.
  /// - Returns: the lists that will not be made. Complexity: O(those that wait).
  mutating func forget(_ id: UInt32) -> Int {
    let listener = listeners[Int(id)]
    // The id will be another's, which must not inherit a place.
    var kept = head
    for i in head..<queue.count where queue[i] != id {
      queue[kept] = queue[i]
      due[kept] = due[i]
      kept += 1
    }
    queue.count = kept
    due.count = kept
    kept = renewalHead
    for i in renewalHead..<renewals.count where renewals[i] != id {
      renewals[kept] = renewals[i]
      kept += 1
    }
    renewals.count = kept
    kept = quietHead
    for i in quietHead..<quiet.count where quiet[i] != id {
      quiet[kept] = quiet[i]
      kept += 1
    }
    quiet.count = kept
    listeners[Int(id)] = Listener()
    keys.remove(id)
    if listener.isQuiet { return 0 }
    return (listener.isPending ? 1 : 0) + (listener.needsRenewal ? 1 : 0)
  }

  mutating func nextRenewal() -> UInt32? {
    while renewalHead < renewals.count {
      let id = renewals[renewalHead]
      renewalHead += 1
      if keys.isLive(id) && listeners[Int(id)].needsRenewal { return id }
    }
    renewals.removeAll()
    renewalHead = 0
    return nil
  }
}
