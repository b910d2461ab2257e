// A published figure: the sum of all top-50 cosines of Online Retail's customers × items.
import CZlib
import Glibc
import Recommender
import Sparse
import Testing

@Suite struct CoOccurrencePublishedTests {
  /// 4,338 customers × 3,665 items, 266,792 entries; 38,105.86 ± 0.05 by three independent programs.
  @Test func onlineRetailCosines() {
    guard let matrix = onlineRetail() else {
      print("online_retail.csv.gz is not there: skipped")
      return
    }
    #expect(matrix.rows.rows.count == 4338)
    #expect(matrix.keys.liveCount == 3665)
    #expect(matrix.rows.items.count == 266_792)
    var relation = RelationConfiguration(name: "also_bought")
    relation.minBoth = 1
    var counts = CoOccurrence(
      matrices: [relation.sourceMatrix], relations: [relation], neighbours: 50)
    counts.keepsDigest = false
    counts.apply(matrix.rows, matrix: 0)
    var ranks = ItemRanks()
    ranks.update(from: matrix.keys)
    let table = counts.neighbours(relation: 0, items: ranks, parallel: backwards)
    let sum = table.values.reduce(0, +)
    #expect(abs(sum - 38_105.86) < 0.05, "\(sum)")
    #expect(table.contexts == 4338)
  }

  struct Matrix: ~Copyable {
    var rows = RowChanges(rows: [], offsets: [0], items: [])
    var keys = Interner()
  }

  /// Known customer, invoice not C…, price × quantity > 0.
  func onlineRetail() -> Matrix? {
    let shared = getenv("AFFINITY_SHARED").map { String(cString: $0) } ?? "../shared"
    guard let file = gzopen("\(shared)/data/online-retail/online_retail.csv.gz", "rb") else {
      return nil
    }
    defer { gzclose(file) }
    var matrix = Matrix()
    var users = Interner()
    var rows: [Set<UInt32>] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while buffer.withUnsafeMutableBytes({
      gzgets(file, $0.baseAddress!.assumingMemoryBound(to: CChar.self), 1 << 16) != nil
    }) {
      let fields = csv(buffer)
      guard fields.count >= 8, !fields[6].isEmpty, fields[0].first != UInt8(ascii: "C"),
        let quantity = Double(String(decoding: fields[3], as: UTF8.self)),
        let price = Double(String(decoding: fields[5], as: UTF8.self)), quantity * price > 0
      else { continue }
      let user = fields[6].withUnsafeBytes { users.intern($0).id }
      let item = fields[1].withUnsafeBytes { matrix.keys.intern($0).id }
      if Int(user) == rows.count { rows.append([]) }
      rows[Int(user)].insert(item)
    }
    for (user, row) in rows.enumerated() {
      matrix.rows.rows.append(UInt32(user))
      matrix.rows.items += row.sorted()
      matrix.rows.offsets.append(matrix.rows.items.count)
    }
    return matrix
  }

  func csv(_ line: [UInt8]) -> [[UInt8]] {
    var fields: [[UInt8]] = [[]]
    var quoted = false
    for byte in line {
      if byte == 0 || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { break }
      if byte == UInt8(ascii: "\"") {
        quoted.toggle()
      } else if byte == UInt8(ascii: ",") && !quoted {
        fields.append([])
      } else {
        fields[fields.count - 1].append(byte)
      }
    }
    return fields
  }
}
