// Importers: the CSV reader against a plain twin and by edge cases, times, the formats on small
// files, and the known facts of Online Retail and the FIMI files where those are present.
import Foundation
import Importers
import Sparse
import Testing

/// A file of this content for the time of `body`.
@discardableResult
func withFile<Result>(_ content: String, _ body: (String) throws -> Result) throws -> Result {
  let path = NSTemporaryDirectory() + "affinity-edge-\(UUID().uuidString)"
  try Data(content.utf8).write(to: URL(fileURLWithPath: path))
  defer { unlink(path) }
  return try body(path)
}

/// A file of the shared data, or nil (with a note) where there is none.
func sharedData(_ name: String) -> String? {
  let root =
    ProcessInfo.processInfo.environment["AFFINITY_SHARED"]
    ?? URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared").path
  let path = root + "/data/" + name
  if FileManager.default.isReadableFile(atPath: path) { return path }
  print("note: \(path) is not there; what needs it is left out")
  return nil
}

struct Imported {
  var lines: [String] = []
  var rejects: [String: Int] = [:]
  var rows = 0
  var titles: [String: String] = [:]

  var events: [[String: Any]] {
    get throws {
      try lines.map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
    }
  }

  init(_ path: String, _ body: (ByteSource, inout ImportLog) throws -> Void) throws {
    var log = ImportLog()
    try body(try ByteSource(path), &log)
    log.forEachLine { lines.append(String(decoding: $0.dropLast(), as: UTF8.self)) }
    for (reason, count) in log.rejects { rejects[reason.rawValue] = count }
    rows = log.rows
    for (item, title) in log.titles.titles { titles[item] = title }
  }
}

@Suite struct RecordReaderTests {
  static func records(
    _ text: String, delimiter: UInt8 = 44, quoting: RecordReader.Quoting = .doubleQuotes
  ) throws -> (fields: [[String]], lines: [Int], malformed: Int) {
    try withFile(text) { path in
      var reader = RecordReader(try ByteSource(path), delimiter: delimiter, quoting: quoting)
      var result: [[String]] = []
      var lines: [Int] = []
      var malformed = 0
      while try reader.next() {
        if reader.isMalformed { malformed += 1 }
        result.append(
          (0..<reader.fieldCount).map { String(decoding: reader.field($0), as: UTF8.self) })
        lines.append(reader.line)
      }
      return (result, lines, malformed)
    }
  }

  @Test(arguments: [
    ("a,b,c\n1,2,3\n", [["a", "b", "c"], ["1", "2", "3"]]),
    ("a,b", [["a", "b"]]),
    ("a,b\r\nc,d\r\n", [["a", "b"], ["c", "d"]]),
    ("a,\n,b\n,\n", [["a", ""], ["", "b"], ["", ""]]),
    ("\"a,b\",c\n", [["a,b", "c"]]),
    ("\"say \"\"hi\"\"\",\"\"\n", [["say \"hi\"", ""]]),
    ("\"two\nlines\",x\r\ny,z\r\n", [["two\nlines", "x"], ["y", "z"]]),
    ("\"a\"\r\n\"b\"", [["a"], ["b"]]),
    ("\u{feff}a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
    ("\n\na\n\r\nb\n", [["a"], ["b"]]),
    ("5\" nail,x\n", [["5\" nail", "x"]]),
    ("\"a\"b,c\n", [["ab", "c"]]),
    ("\"a\"\"b\"c,d\n", [["a\"bc", "d"]]),
    ("\"\"\"\",x\n", [["\"", "x"]]),
    ("", []),
    ("\n", []),
    ("é,ü\n", [["é", "ü"]]),
  ])
  func edgeCases(text: String, expected: [[String]]) throws {
    #expect(try Self.records(text).fields == expected)
  }

  @Test func lineNumbersCountLinesInsideQuotes() throws {
    let read = try Self.records("a\n\"b\nb\nb\"\nc\n\nd\n")
    #expect(read.fields == [["a"], ["b\nb\nb"], ["c"], ["d"]])
    #expect(read.lines == [1, 2, 5, 7])
  }

  /// One stray quote costs its line, not the file.
  @Test func quoteWithoutEnd() throws {
    let read = try Self.records("a,b\n\"c,d\ne,f\n")
    #expect(read.fields == [["a", "b"], [], ["e", "f"]])
    #expect(read.malformed == 1)
    #expect(read.lines == [1, 2, 3])
  }

  @Test func recordsWithoutBound() throws {
    let long = String(repeating: "x", count: 3 << 20)
    let read = try Self.records("a\n\(long)\nb\n\"\(long)\nc\n")
    #expect(read.malformed == 2)
    #expect(read.fields == [["a"], [], ["b"], [], ["c"]])
  }

  @Test func splittingWithoutQuotes() throws {
    let read = try Self.records("\"a\t\"b\"\n", delimiter: 9, quoting: .none)
    #expect(read.fields == [["\"a", "\"b\""]])
  }

  /// Fields of every kind, written the RFC's way and read back, over several buffers.
  @Test func readsBackWhatIsWritten() throws {
    let seed: UInt64 = 20_260_301
    var random = SplitMix(seed: seed)
    let pieces = ["a", ",", "\"", "\n", "\r\n", " ", "é", "1.5", "", "long text of a title"]
    var expected: [[String]] = []
    var text = ""
    for _ in 0..<60_000 {
      var row: [String] = []
      for _ in 0..<(2 + random.below(4)) {
        var field = ""
        for _ in 0..<random.below(5) { field += pieces[random.below(pieces.count)] }
        row.append(field)
      }
      expected.append(row)
      text +=
        row.map { field in
          field.utf8.contains { $0 == 44 || $0 == 34 || $0 == 10 || $0 == 13 }
            || random.below(4) == 0
            ? "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\"" : field
        }.joined(separator: ",") + (random.below(2) == 0 ? "\n" : "\r\n")
    }
    let read = try Self.records(text)
    #expect(read.malformed == 0)
    #expect(read.fields.count == expected.count, "seed \(seed)")
    for (i, row) in expected.enumerated() where i < read.fields.count {
      if row != read.fields[i] {
        Issue.record("seed \(seed), row \(i): \(row) read as \(read.fields[i])")
        break
      }
    }
  }
}

@Suite struct TimeFormatTests {
  @Test(arguments: [
    ("iso", "1970-01-01T00:00:00Z", 0), ("iso", "2026-03-01T10:15:30.123Z", 1_772_360_130_123),
    ("iso", "2026-03-01 10:15:30", 1_772_360_130_000), ("iso", "2026-03-01", 1_772_323_200_000),
    ("iso", "2026-03-01T12:15:30+02:00", 1_772_360_130_000),
    ("iso", "2026-03-01T05:45:30-0430", 1_772_360_130_000),
    ("iso", "2026-03-01 10:15:30.123456 UTC", 1_772_360_130_123),
    ("iso", "2010-12-01 08:26", 1_291_191_960_000),
    ("iso", "2024-02-29", 1_709_164_800_000),
    ("s", "1772360130", 1_772_360_130_000), ("s", "1772360130.123", 1_772_360_130_123),
    ("ms", "1772360130123", 1_772_360_130_123), ("us", "1772360130123456", 1_772_360_130_123),
    ("yyyy-MM-dd HH:mm:ss", "2026-03-01 10:15:30", 1_772_360_130_000),
    ("dd/MM/yyyy HH:mm", "01/12/2010 08:26", 1_291_191_960_000),
    ("M/d/yyyy H:mm", "12/1/2010 8:26", 1_291_191_960_000),
    ("dd.MM.yy", "01.12.10", 1_291_161_600_000),
    ("yyyyMMddTHHmmss.SSS", "20260301T101530.123", 1_772_360_130_123),
  ])
  func parses(format: String, text: String, milliseconds: Int64) throws {
    #expect(try #require(TimeFormat(format)).parse(text) == milliseconds)
  }

  @Test(arguments: [
    ("iso", ""), ("iso", "1969-12-31T23:59:59.999Z"), ("s", "-1"), ("iso", "2026"),
    ("iso", "2026-13-01"), ("iso", "2026-02-29"),
    ("iso", "2026-03-01T25:00:00Z"), ("iso", "2026-03-01T10:15:30.Z"),
    ("iso", "2026-03-01T10:15:30Zx"),
    ("iso", "2026-03-01T10:15:30+2"), ("iso", "+2026-03-01"), ("s", "-"), ("s", "1e9"),
    ("s", "12345678901234567890"), ("ms", "99999999999999999999999"), ("ms", "12a"),
    ("dd/MM/yyyy", "32/01/2026"), ("dd/MM/yyyy", "1/01/2026"), ("dd/MM/yyyy", "01/01/2026 "),
  ])
  func refuses(format: String, text: String) throws {
    #expect(try #require(TimeFormat(format)).parse(text) == nil)
  }

  @Test(arguments: ["", "HH:mm", "yyyy-MM", "yyyy-MM-dd QQ", "yyy-MM-dd", "MMM d yyyy"])
  func refusesPatterns(pattern: String) { #expect(TimeFormat(pattern) == nil) }

  /// Against Foundation's calendar, to the end of what events can say.
  @Test func readsEveryDay() {
    var day: Int64 = 0
    while day < 2_932_896 {
      let date = Date(timeIntervalSince1970: Double(day) * 86_400)
      #expect(TimeFormat.iso.parse(date.formatted(.iso8601)) == day * 86_400_000)
      day += 367
    }
  }
}

@Suite struct FormatTests {
  static func csv(_ text: String, _ change: (inout CSVMapping) throws -> Void) throws -> Imported {
    try withFile(text) { path in
      try Imported(path) { source, log in
        var mapping = CSVMapping()
        try change(&mapping)
        try importCSV(source, mapping, into: &log)
      }
    }
  }

  @Test func columnsByNameWithConstants() throws {
    let read = try Self.csv(
      "Customer,Invoice,SKU,Date,Qty,Price,Name\n"
        + "c1,i1,a,01/12/2010 08:26,2,1.50,Apple\nc1,i1,b,01/12/2010 08:26,1,2,Bread\n"
        + "c2,i2,a,01/12/2010 08:20,1,1.5,Apple\n"
    ) {
      try $0.map("user=Customer,order=Invoice,item=SKU,time=Date,type:=purchase")
      try $0.map("quantity=Qty,price=Price,currency:=EUR,title=Name")
      $0.timeFormat = try #require(TimeFormat("dd/MM/yyyy HH:mm"))
    }
    #expect(
      read.lines == [
        #"{"type":"purchase","time":"2010-12-01T08:20:00.000Z","user":"c2","order":"i2","items":[{"id":"a","price":1.5}],"currency":"EUR"}"#,
        #"{"type":"purchase","time":"2010-12-01T08:26:00.000Z","user":"c1","order":"i1","items":[{"id":"a","quantity":2,"price":1.5},{"id":"b","price":2}],"currency":"EUR"}"#,
      ])
    #expect(read.titles == ["a": "Apple", "b": "Bread"])
    #expect(read.rejects.isEmpty)
  }

  @Test func rejectsByReason() throws {
    let read = try Self.csv(
      "t,k,u,i,q,p\n1,view,u,a,,\nx,view,u,a,,\n1,jump,u,a,,\n1,view,,a,,\n1,view,u,,,\n"
        + "1,view,u,a,0,\n1,view,u,a,1.5,\n1,view,u,a,1,-1\n1,view,u,a,1,nan\n1,rating,u,a,1,1\n1\n"
    ) {
      try $0.map("time=t,type=k,user=u,item=i,quantity=q,price=p")
      $0.timeFormat = .seconds
    }
    #expect(read.lines.count == 1)
    #expect(
      read.rejects == [
        "bad_time": 1, "unknown_type": 1, "missing_user": 1, "missing_item": 1,
        "non_positive_quantity": 1, "bad_quantity": 1, "negative_price": 1, "bad_price": 1,
        "bad_value": 1, "too_few_fields": 1,
      ])
    #expect(read.rows == 11)
  }

  @Test func mappingsThatMakeNoSense() throws {
    func fails(_ map: String, _ part: String) throws {
      let error = #expect(throws: ImportError.self) {
        try Self.csv("a,b\n1,2\n") { try $0.map(map) }
      }
      #expect(error?.description.contains(part) == true, "\(map): \(String(describing: error))")
    }
    try fails("user=a", "lacks time, type, item")
    try fails("time=a,type:=view,item=b", "lacks user, session or order")
    try fails("time=a,type:=view,item=b,user=nobody", "no column \"nobody\"; the header has a, b")
    try fails("colour=a", "no field colour")
    try fails("user", "wanted FIELD=COLUMN")
    try fails("user=a,user=b", "mapped twice")
  }

  @Test func timesSortStably() throws {
    let read = try Self.csv("t,u,i\n2,u,a\n1,u,b\n2,u,c\n1,u,d\n") {
      try $0.map("time=t,type:=view,user=u,item=i")
      $0.timeFormat = .seconds
    }
    let items = try read.events.map { (($0["items"] as? [[String: Any]])?.first?["id"]) as? String }
    #expect(items == ["b", "d", "a", "c"])
  }

  @Test func retailRocket() throws {
    let text = """
      timestamp,visitorid,event,itemid,transactionid
      1433221332117,257597,view,355908,
      1433222276276,599528,transaction,356475,4000
      1433222276276,599528,transaction,15335,4000
      1433221999827,111016,addtocart,318965,
      1433221999827,111016,teleport,318965,
      """
    let read = try withFile(text) { path in
      try Imported(path) { try importCSV($0, .retailRocket, into: &$1) }
    }
    #expect(
      read.lines == [
        #"{"type":"view","time":"2015-06-02T05:02:12.117Z","user":"257597","items":[{"id":"355908"}]}"#,
        #"{"type":"cart","time":"2015-06-02T05:13:19.827Z","user":"111016","items":[{"id":"318965"}]}"#,
        #"{"type":"purchase","time":"2015-06-02T05:17:56.276Z","user":"599528","order":"4000","items":[{"id":"356475"},{"id":"15335"}]}"#,
      ])
    #expect(read.rejects == ["unknown_type": 1])
  }

  @Test(arguments: [
    "userId,movieId,rating,timestamp\n196,242,3.0,881250949\n", "196\t242\t3\t881250949\n",
    "196::242::3::881250949\n",
  ])
  func movieLens(text: String) throws {
    let first = String(text.prefix { $0 != "\n" })
    let read = try withFile(text) { path in
      try Imported(path) { try importCSV($0, .movieLens(firstLine: first), into: &$1) }
    }
    #expect(
      read.lines == [
        #"{"type":"rating","time":"1997-12-04T15:55:49.000Z","user":"196","items":[{"id":"242"}],"value":3}"#
      ])
  }

  @Test func fimi() throws {
    let read = try withFile("1 2 3\n\n7 \n   \n9 1") { path in
      try Imported(path) { try importFIMI($0, start: 0, into: &$1) }
    }
    #expect(
      read.lines == [
        #"{"type":"purchase","time":"1970-01-01T00:00:00.000Z","order":"1","items":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#,
        #"{"type":"purchase","time":"1970-01-01T00:00:02.000Z","order":"3","items":[{"id":"7"}]}"#,
        #"{"type":"purchase","time":"1970-01-01T00:00:04.000Z","order":"5","items":[{"id":"9"},{"id":"1"}]}"#,
      ])
    #expect(read.rejects == ["missing_item": 1])
  }

  @Test func fileErrors() throws {
    #expect(throws: ImportError.self) { try ByteSource("/nowhere/at-all.csv") }
    #expect(throws: ImportError.self) { try ByteSource(NSTemporaryDirectory()) }
    try withFile("a;b\n") { path in
      #expect(throws: ImportError.self) {
        _ = try Imported(path) { try importOnlineRetail($0, refunds: .matched, into: &$1) }
      }
    }
  }
}

@Suite struct OnlineRetailTests {
  static let header =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

  static func read(_ text: String, _ refunds: OnlineRetailRefunds = .matched) throws -> Imported {
    try withFile(header + text) { path in
      try Imported(path) { try importOnlineRetail($0, refunds: refunds, into: &$1) }
    }
  }

  static let log = """
    1,A,APPLE,6,2010-12-01 08:26:00,2.5,17850.0,UK
    1,B,BREAD,1,2010-12-01 08:26:00,1.0,17850.0,UK
    1,C,CAKE,1,2010-12-01 08:27:00,1.0,17850.0,UK
    2,A,APPLE,6,2010-12-02 08:26:00,2.5,17850.0,UK
    3,A,,6,2010-12-02 09:00:00,2.5,,UK
    C4,A,APPLE,-2,2010-12-03 08:26:00,2.5,17850.0,UK
    C5,A,APPLE,-2,2010-12-02 08:26:00,2.5,17850.0,UK
    C6,D,DUCK,-2,2010-12-03 08:26:00,2.5,17850.0,UK
    C7,A,APPLE,-2,2010-12-03 08:26:00,2.5,,UK
    8,A,?,-2,2010-12-03 08:26:00,0.0,,UK
    9,A,,2,2010-12-03 08:26:00,0.0,,UK
    A10,B,Adjust bad debt,1,2010-12-03 08:26:00,-11062.06,,UK
    C11,A,APPLE,2,2010-12-03 08:26:00,2.5,17850.0,UK

    """

  @Test func ordersRefundsAndRejects() throws {
    let read = try Self.read(Self.log)
    #expect(
      read.lines == [
        #"{"type":"purchase","time":"2010-12-01T08:26:00.000Z","user":"17850","order":"1","items":[{"id":"A","quantity":6,"price":2.5},{"id":"B","price":1}],"currency":"GBP"}"#,
        #"{"type":"purchase","time":"2010-12-01T08:27:00.000Z","user":"17850","order":"1","items":[{"id":"C","price":1}],"currency":"GBP"}"#,
        #"{"type":"purchase","time":"2010-12-02T08:26:00.000Z","user":"17850","order":"2","items":[{"id":"A","quantity":6,"price":2.5}],"currency":"GBP"}"#,
        // At the minute of order 2: the latest strictly earlier purchase is order 1's.
        #"{"id":"C5","type":"refund","time":"2010-12-02T08:26:00.000Z","user":"17850","order":"1","items":[{"id":"A","quantity":2,"price":2.5}],"currency":"GBP","ordered":"2010-12-01T08:26:00.000Z"}"#,
        #"{"type":"purchase","time":"2010-12-02T09:00:00.000Z","order":"3","items":[{"id":"A","quantity":6,"price":2.5}],"currency":"GBP"}"#,
        #"{"id":"C4","type":"refund","time":"2010-12-03T08:26:00.000Z","user":"17850","order":"2","items":[{"id":"A","quantity":2,"price":2.5}],"currency":"GBP","ordered":"2010-12-02T08:26:00.000Z"}"#,
      ])
    #expect(
      read.rejects == [
        "refund_without_purchase": 1, "refund_without_customer": 1, "non_positive_quantity": 1,
        "zero_price": 1, "negative_price": 1, "refund_quantity": 1,
      ])
    #expect(read.titles == ["A": "APPLE", "B": "BREAD", "C": "CAKE"])
  }

  @Test func refundsKeptOrLeftOut() throws {
    let kept = try Self.read(Self.log, .matchedOrKept)
    #expect(
      kept.lines.contains(
        #"{"id":"C6","type":"refund","time":"2010-12-03T08:26:00.000Z","user":"17850","order":"C6","items":[{"id":"D","quantity":2,"price":2.5}],"currency":"GBP"}"#
      ))
    let without = try Self.read(Self.log, .leftOut)
    #expect(!without.lines.contains { $0.contains("refund") })
    #expect(without.rejects["refund_left_out"] == 5)
  }

  /// PERF-PEERS §1 and §3 count the same file with other programs.
  @Test func knownFacts() throws {
    guard let path = sharedData("online-retail/online_retail.csv.gz") else { return }
    let read = try Imported(path) { try importOnlineRetail($0, refunds: .leftOut, into: &$1) }
    #expect(read.rows == 541_909)
    var pairs: Set<String> = []
    var users: Set<String> = []
    var userItems: Set<String> = []
    var orders: [String: Set<String>] = [:]
    var items: Set<String> = []
    for event in try read.events {
      let order = try #require(event["order"] as? String)
      for item in try #require(event["items"] as? [[String: Any]]) {
        let id = try #require(item["id"] as? String)
        orders[order, default: []].insert(id)
        items.insert(id)
        if let user = event["user"] as? String {
          users.insert(user)
          userItems.insert(id)
          pairs.insert(user + " " + id)
        }
      }
    }
    #expect(users.count == 4_338)
    #expect(userItems.count == 3_665)
    #expect(pairs.count == 266_792)
    #expect(orders.count == 19_960)
    #expect(items.count == 3_922)
    #expect(orders.values.reduce(0) { $0 + $1.count } == 519_602)
    #expect(
      read.rejects == [
        "non_positive_quantity": 1_336, "negative_price": 2, "zero_price": 1_179,
        "refund_left_out": 9_288,
      ])
    #expect(read.titles["85123A"] == "WHITE HANGING HEART T-LIGHT HOLDER")
    let times = try read.events.compactMap { $0["time"] as? String }
    #expect(times == times.sorted())
  }

  /// 8,905 cancellations of known customers; a plain scan matches 7,599 of them.
  @Test func refundsOfTheRealFile() throws {
    guard let path = sharedData("online-retail/online_retail.csv.gz") else { return }
    let read = try Imported(path) { try importOnlineRetail($0, refunds: .matched, into: &$1) }
    #expect(read.rejects["refund_without_purchase"] == 1_306)
    #expect(read.rejects["refund_without_customer"] == 383)
    let refunds = try read.events.filter { $0["type"] as? String == "refund" }
    #expect(refunds.reduce(0) { $0 + (($1["items"] as? [Any])?.count ?? 0) } == 7_599)
  }

  @Test func knownItemSetFiles() throws {
    if let path = sharedData("mushroom/mushroom.dat") {
      let read = try Imported(path) { try importFIMI($0, start: 0, into: &$1) }
      #expect(read.lines.count == 8_124)
    }
    if let path = sharedData("t10i4d100k/t10i4d100k.dat.gz") {
      var log = ImportLog()
      try importFIMI(try ByteSource(path), start: 0, into: &log)
      #expect(log.eventCount == 100_000)
      #expect(log.items == 1_010_228)
    }
  }
}
