// The rows of each user: per context of rows (sessions, orders) a list through the row ids, doubly linked, so
// that a row leaves in constant time and all rows of a user are found in time proportional to them.
//
// State: `links` (8 bytes per row id) and `heads` (4 bytes per user id).
import Sparse

public struct RowLinks: ~Copyable {
  struct Link: BitwiseCopyable {
    /// The row before; where this is the first, `first` + the user. `none`: nobody's row.
    var before = RowLinks.none
    var after = RowLinks.none
  }
  static let none = UInt32.max
  private static let first: UInt32 = 1 << 31

  var links: Vec<Link>
  var heads: Vec<UInt32>

  public init() {
    links = Vec()
    heads = Vec()
  }

  public var bytes: Int { links.bytes + heads.bytes }

  /// The row, new and nobody's, becomes the user's. Ids lie below 2^31.
  public mutating func insert(_ row: UInt32, of user: UInt32) {
    links.extend(to: Int(row) + 1, with: Link())
    heads.extend(to: Int(user) + 1, with: RowLinks.none)
    let next = heads[Int(user)]
    links[Int(row)] = Link(before: RowLinks.first | user, after: next)
    if next != RowLinks.none { links.base[Int(next)].before = row }
    heads[Int(user)] = row
  }

  /// The row goes away.
  /// - Returns: its user, where that was the last row.
  public mutating func remove(_ row: UInt32) -> UInt32? {
    guard Int(row) < links.count, links[Int(row)].before != RowLinks.none else { return nil }
    let link = links[Int(row)]
    links[Int(row)] = Link()
    if link.after != RowLinks.none { links.base[Int(link.after)].before = link.before }
    if link.before & RowLinks.first == 0 {
      links.base[Int(link.before)].after = link.after
      return nil
    }
    let user = link.before & ~RowLinks.first
    heads[Int(user)] = link.after
    return link.after == RowLinks.none ? user : nil
  }

  public func hasRows(_ user: UInt32) -> Bool {
    Int(user) < heads.count && heads[Int(user)] != RowLinks.none
  }

  /// The user's rows, the latest first. The body must not change them.
  public func forEachRow(of user: UInt32, _ body: (UInt32) -> Void) {
    guard Int(user) < heads.count else { return }
    var row = heads[Int(user)]
    while row != RowLinks.none {
      body(row)
      row = links[Int(row)].after
    }
  }
}

extension RowLinks: @unchecked Sendable {}
