// Forgetting one user: every row of theirs in every matrix, and their keys.
//
// The user's session and order rows are found by their links, so the work is the user's own rows and no
// more. What leaves goes the way expired slots go: digest, counts of items, decayed sums, references; the rows
// are listed as changed, so that stage two takes the same entries out of its counts at the next seal. Ids are
// given back at once; the memory of slots and keys is overwritten.
import Sparse

/// What an erasure took out of one matrix.
public struct ErasedRows: Equatable, Sendable {
  public var rows = 0
  /// Of these the ones with an active entry.
  public var activeRows = 0
  public var entries = 0
  public init() {}
}

/// What an erasure took out.
public struct Erased: Equatable, Sendable {
  /// Per matrix, as configured.
  public var matrices: [ErasedRows]
  /// Sessions and orders of the user that were known.
  public var sessions = 0
  public var orders = 0

  public init(matrices: Int) { self.matrices = Array(repeating: ErasedRows(), count: matrices) }

  public var rows: Int { matrices.reduce(0) { $0 + $1.rows } }
  public var entries: Int { matrices.reduce(0) { $0 + $1.entries } }
}

extension Interactions {
  /// Removes all of a user's rows. Complexity: O(the user's rows and slots, and the acts since the last
  /// tick that left no slot).
  /// - Parameter print: the key's fingerprint.
  public mutating func erase(user key: UnsafeRawBufferPointer, _ print: Fingerprint) -> Erased {
    var erased = Erased(matrices: matrices.count)
    guard let user = users.find(key, print) else { return erased }
    var sessionRows: [UInt32] = []
    var orderRows: [UInt32] = []
    sessionLinks.forEachRow(of: user) { sessionRows.append($0) }
    orderLinks.forEachRow(of: user) { orderRows.append($0) }
    erased.sessions = sessionRows.count
    erased.orders = orderRows.count
    dropOrphans(user, sessions: sessionRows, orders: orderRows)

    for row in sessionRows {
      clear(.session, row, &erased)
      sessionRefs[Int(row)] = 0
      _ = sessionLinks.remove(row)
      sessions.remove(row)
    }
    for row in orderRows {
      clear(.order, row, &erased)
      orderRefs[Int(row)] = 0
      _ = orderLinks.remove(row)
      orders.remove(row)
    }
    clear(.user, user, &erased)
    userRefs[Int(user)] = 0
    users.remove(user)
    return erased
  }

  /// Takes the slots out of one row in every matrix of its context.
  private mutating func clear(_ context: ContextKind, _ row: UInt32, _ erased: inout Erased) {
    for m in 0..<matrices.count where matrices[m].context == context && !stores[m].isEmpty(row) {
      let print = rowPrint(context, row)
      gone.removeAll()
      stores[m].clear(row) { gone.append(Gone(row: row, item: $0, stamp: $1)) }
      var isActive = false
      for i in 0..<gone.count {
        release(m, print, gone[i].item, gone[i].stamp)
        if Stamp.isActive(gone[i].stamp) { isActive = true }
      }
      erased.matrices[m].rows += 1
      erased.matrices[m].activeRows += isActive ? 1 : 0
      erased.matrices[m].entries += gone.count
    }
  }

  /// The next tick must not look for rows whose ids are somebody else's by then.
  private mutating func dropOrphans(_ user: UInt32, sessions: [UInt32], orders: [UInt32]) {
    if orphans.count == 0 { return }
    let (sessions, orders) = (Set(sessions), Set(orders))
    var kept = 0
    for i in 0..<orphans.count {
      let orphan = orphans[i]
      let isTheirs =
        switch orphan.context {
        case .user: orphan.row == user
        case .session: sessions.contains(orphan.row)
        case .order: orders.contains(orphan.row)
        }
      if isTheirs { continue }
      orphans[kept] = orphan
      kept += 1
    }
    orphans.count = kept
  }
}
