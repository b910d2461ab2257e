// FIMI item set files (fimi.uantwerpen.be): a transaction a line, items apart by spaces. Each line
// becomes an order of nobody: its id is the line's number, its time one second after the line before.
import Events
import Sparse

public func importFIMI(
  _ source: ByteSource, start: Int64, step: Int64 = 1000, into log: inout ImportLog,
  progress: (Int) throws -> Void = { _ in }
) throws {
  var reader = RecordReader(source, delimiter: 32, quoting: .none)
  var number = ByteWriter()
  var places: [Int] = []
  while try reader.next() {
    log.rows += 1
    if log.rows & 0xffff == 0 { try progress(source.position) }
    if reader.isMalformed {
      try log.reject(.malformed, line: reader.line, reader.text)
      continue
    }
    places.removeAll(keepingCapacity: true)
    for i in 0..<reader.fieldCount where !reader.field(i).isEmpty { places.append(i) }
    if places.isEmpty {
      try log.reject(.missingItem, line: reader.line, reader.text)
      continue
    }
    number.removeAll()
    number.append(reader.line)
    let (offset, overflow) = Int64(reader.line - 1).multipliedReportingOverflow(by: step)
    let (time, overflowToo) = start.addingReportingOverflow(offset)
    if overflow || overflowToo {
      try log.reject(.badTime, line: reader.line, reader.text)
      continue
    }
    var event = ImportedEvent(type: .purchase, time: time)
    event.order = number.bytes
    log.append(event, count: places.count) { EventItem(id: reader.field(places[$0])) }
  }
}
