// What comes later in the log of the simulated shop: refunds when they are due, and lines that stand
// there twice.
import Sparse

extension Shop {
  // MARK: - Refunds: a heap by due time

  mutating func push(_ refund: Refund) {
    refunds.append(refund)
    var i = refunds.count - 1
    while i > 0 {
      let parent = (i - 1) / 2
      if refunds[parent].due <= refunds[i].due { break }
      (refunds[parent], refunds[i]) = (refunds[i], refunds[parent])
      i = parent
    }
  }

  mutating func popRefund() -> Refund {
    let top = refunds[0]
    let last = refunds.popLast()!
    if refunds.count > 0 {
      refunds[0] = last
      var i = 0
      while true {
        var least = i
        for child in [2 * i + 1, 2 * i + 2] where child < refunds.count {
          if refunds[child].due < refunds[least].due { least = child }
        }
        if least == i { break }
        (refunds[least], refunds[i]) = (refunds[i], refunds[least])
        i = least
      }
    }
    return top
  }

  // MARK: - Duplicates

  mutating func remember(_ line: Line, _ writer: borrowing ByteWriter) {
    let text = [UInt8](UnsafeRawBufferPointer(rebasing: writer.bytes[line.bytes]))
    let start = line.bytes.lowerBound
    let key = (line.key.lowerBound - start)..<(line.key.upperBound - start)
    if recent.count < 64 {
      recent.append(text)
      recentKeys.append((key, line.time))
    } else {
      recent[recentAt] = text
      recentKeys[recentAt] = (key, line.time)
      recentAt = (recentAt + 1) % 64
    }
  }

  mutating func again(into writer: inout ByteWriter) -> Line {
    let which = random.below(recent.count)
    let start = writer.count
    recent[which].withUnsafeBytes { writer.append(bytes: $0) }
    let (key, time) = recentKeys[which]
    return Line(
      bytes: start..<writer.count, key: (start + key.lowerBound)..<(start + key.upperBound),
      time: time)
  }
}
