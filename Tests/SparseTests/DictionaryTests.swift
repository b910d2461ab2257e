// Interner and FingerprintTable against Swift's Dictionary, over random histories.
import Sparse
import TestSupport
import Testing

@Suite struct DictionaryTests {
  static func key(_ random: inout SplitMix, _ pool: Int) -> [UInt8] {
    let n = random.below(pool)
    switch n % 5 {
    case 0: return Array("sku-\(n)".utf8)
    case 1: return Array("a-prefix-shared-by-all-that-fills-a-line-\(n)".utf8)
    case 2: return Array(repeating: UInt8(n % 3), count: n % 90)  // runs, prefixes of one another, zeros
    case 3: return littleEndian(UInt64(n), 3)
    default: return Array(repeating: 0xff, count: n % 9) + littleEndian(UInt64(n), 2)
    }
  }

  @Test(arguments: [1, 2, 3])
  func internerEqualsADictionary(seed: UInt64) {
    Swift.print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var interner = Interner()
    var ids: [[UInt8]: UInt32] = [:]
    var keys: [UInt32: [UInt8]] = [:]
    var free: [UInt32] = []
    let pool = [40, 700, 6000][Int(seed) - 1]
    for step in 0..<30_000 {
      // Grow for a while, shrink for a while.
      let growing = step / 3000 % 2 == 0
      let bytes = DictionaryTests.key(&random, pool)
      if random.unit() < (growing ? 0.75 : 0.3) {
        let (id, isNew) = bytes.withUnsafeBytes { interner.intern($0) }
        #expect(isNew == (ids[bytes] == nil))
        if isNew {
          // Ids given back are given out again, the last one first; else the next number.
          #expect(id == (free.popLast() ?? UInt32(keys.count)))
          ids[bytes] = id
          keys[id] = bytes
        }
        #expect(ids[bytes] == id)
      } else if random.unit() < 0.3, let id = ids[bytes] {
        interner.remove(id)
        ids[bytes] = nil
        keys[id] = nil
        free.append(id)
        #expect(interner.isLive(id) == false)
      }
      #expect(bytes.withUnsafeBytes { interner.find($0) } == ids[bytes])
      #expect(interner.liveCount == ids.count)
      if step % 500 == 0 { check(interner, ids) }
    }
    check(interner, ids)
    for id in ids.values { interner.remove(id) }
    #expect(interner.liveCount == 0)
    for bytes in ids.keys { #expect(bytes.withUnsafeBytes { interner.find($0) } == nil) }
  }

  func check(_ interner: borrowing Interner, _ ids: [[UInt8]: UInt32]) {
    for (bytes, id) in ids {
      #expect(Array(interner.key(id)) == bytes)
      #expect(interner.fingerprint(id).hex == PlainHash.of(bytes).hex)
      #expect(interner.isLive(id) == true)
    }
    let some = Array(ids.prefix(40))
    for a in some {
      for b in some {
        #expect(interner.precedes(a.value, b.value) == a.key.lexicographicallyPrecedes(b.key))
      }
    }
    #expect(interner.isLive(UInt32(interner.idLimit)) == false)
  }

  @Test func bytesOfRemovedKeysLeaveTheArena() {
    var interner = Interner()
    // Churn ten times what is alive: what is held stays flat.
    var held: [UInt32] = []
    var most = 0
    for n in 0..<20_000 {
      let key = Array("a-key-of-some-length-which-has-no-room-beside-its-hash-\(n)".utf8)
      held.append(key.withUnsafeBytes { interner.intern($0) }.id)
      if held.count > 1000 { interner.remove(held.removeFirst()) }
      if n == 4000 { most = interner.bytes }
    }
    #expect(interner.liveCount == 1000)
    #expect(interner.bytes <= most + most / 8)
    #expect(interner.idLimit <= 1001)
  }

  @Test(arguments: [4, 5])
  func fingerprintTableEqualsADictionary(seed: UInt64) {
    Swift.print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var table = FingerprintTable()
    var ids: [Fingerprint: UInt32] = [:]
    var free: [UInt32] = []
    // Few distinct low words: long runs that wrap around the table's end.
    func anyPrint() -> Fingerprint {
      seed == 4
        ? Fingerprint(low: UInt64(bitPattern: Int64(random.below(12) - 6)), high: UInt64(random.below(60)))
        : Fingerprint(low: random.next() % 3000, high: 5)
    }
    for step in 0..<30_000 {
      let key = anyPrint()
      if random.unit() < (step / 3000 % 2 == 0 ? 0.8 : 0.2) {
        let (id, isNew) = table.intern(key)
        #expect(isNew == (ids[key] == nil))
        if isNew {
          #expect(id == (free.popLast() ?? UInt32(ids.count)))
          ids[key] = id
        }
        #expect(ids[key] == id)
        #expect(table.fingerprint(id) == key)
      } else if let id = ids[key] {
        table.remove(id)
        ids[key] = nil
        free.append(id)
      }
      #expect(table.find(key) == ids[key])
      #expect(table.liveCount == ids.count)
      if step % 1000 == 0 { for (key, id) in ids { #expect(table.find(key) == id) } }
    }
  }

  @Test func vecEqualsAnArray() {
    let seed: UInt64 = 6
    Swift.print("seed \(seed)")
    var random = SplitMix(seed: seed)
    var vec = Vec<UInt32>()
    var array: [UInt32] = []
    for _ in 0..<5000 {
      let value = UInt32(truncatingIfNeeded: random.next())
      switch random.below(8) {
      case 0, 1, 2:
        vec.append(value)
        array.append(value)
      case 3:
        let more = (0..<random.below(20)).map { UInt32($0) }
        more.withUnsafeBufferPointer { vec.append(contentsOf: $0) }
        array += more
      case 4:
        let count = array.count + random.below(9) - 4
        vec.extend(to: count, with: value)
        while array.count < count { array.append(value) }
      case 5: #expect(vec.popLast() == array.popLast())
      case 6:
        if !array.isEmpty {
          let place = random.below(array.count)
          vec[place] = value
          array[place] = value
        }
      default:
        if random.below(200) == 0 {
          vec.removeAll()
          array.removeAll()
        }
      }
      #expect(vec.count == array.count)
      #expect(vec.capacity >= vec.count)
      #expect(vec.buffer.elementsEqual(array))
    }
    let threes = Vec<UInt8>(repeating: 3, count: 5)
    #expect(threes.buffer.elementsEqual([3, 3, 3, 3, 3]))
    _ = consume threes
    #expect(Vec<UInt8>(repeating: 3, count: 0).count == 0)
  }
}
