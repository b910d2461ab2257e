// The C kernels of counting and selection against their Swift twins, on seeded random input.
import CKernels
import Recommender
import Sparse
import Testing

@Suite struct CoOccurrenceKernelTests {
  /// Rows as the arena holds them: header, ascending items, …, and a last header.
  func arena(_ random: inout SplitMix, rows: Int, items: Int, longest: Int) -> [UInt32] {
    var arena: [UInt32] = []
    for row in 0..<rows {
      arena.append(0x8000_0000 | UInt32(row))
      var set = Set<UInt32>()
      for _ in 0..<(1 + random.below(longest)) { set.insert(UInt32(random.below(items))) }
      arena += set.sorted()
      // A gap now and then.
      if random.below(4) == 0 { arena += [0xc000_0003, 7, 7] }
    }
    return arena + [0xc000_0001]
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func walks(_ seed: UInt64) {
    var random = SplitMix(seed: seed)
    let items = 1 + random.below(90)
    let arena = arena(&random, rows: 60, items: items, longest: 12)
    let headers = arena.indices.dropLast().filter { arena[$0] >> 30 == 2 }.map { UInt32($0) }
    // An entry of each row, the first, a middle or the last one.
    let entries = headers.map { header in
      let length = arena[(Int(header) + 1)...].prefix { $0 >> 31 == 0 }.count
      return header + 1 + UInt32(random.below(length))
    }
    for (places, areHeaders) in [(headers, true), (entries, false)] {
      let twin = PairKernels.touch(
        arena: arena, places: places, arePlacesHeaders: areHeaders, items: items)
      var scratch = [UInt32](repeating: 0, count: items)
      var touched = [UInt32](repeating: 0, count: items + 2)
      var larger = 0
      let met =
        areHeaders
        ? affinity_rows_touch(arena, places, places.count, places.count, &scratch, 1, &touched)
        : affinity_pairs_touch(
          arena, places, places.count, places.count, &scratch, 1, &touched, touched.count, &larger)
      let before = scratch
      #expect(scratch == twin.counts, "seed \(seed)")
      #expect(touched.prefix(met).sorted() == twin.touched.sorted(), "seed \(seed)")
      // Byte counters take the same course.
      var bytes = [UInt8](repeating: 0, count: items)
      var again = [UInt32](repeating: 0, count: items + 2)
      let metAgain =
        areHeaders
        ? affinity_rows_touch(arena, places, places.count, places.count, &bytes, 0, &again)
        : affinity_pairs_touch(
          arena, places, places.count, places.count, &bytes, 0, &again, again.count, &larger)
      #expect(again.prefix(metAgain) == touched.prefix(met))
      #expect(bytes.map { UInt32($0) } == twin.counts)
      var dense = [UInt32](repeating: 0, count: items)
      if areHeaders {
        affinity_rows_count(arena, places, places.count, places.count, &dense)
      } else {
        affinity_pairs_count(arena, places, places.count, places.count, &dense)
      }
      #expect(dense == twin.counts, "seed \(seed)")
      var taken = [UInt32](repeating: 0, count: met)
      affinity_counts_take(touched, met, &scratch, 1, &taken)
      #expect(taken == touched.prefix(met).map { twin.counts[Int($0)] })
      #expect(scratch.allSatisfy { $0 == 0 })
      let weights = (0..<items).map { 1 / Float(1 + $0) }
      var scores = [Float](repeating: 0, count: met)
      scratch = before
      affinity_scores_take_linear(touched, met, &scratch, 1, weights, 2, &taken, &scores)
      #expect(
        scores
          == PairKernels.linearScores(
            counts: taken, weights: touched.prefix(met).map { weights[Int($0)] }, minimum: 2))
      #expect(scratch.allSatisfy { $0 == 0 })
      let keptBytes = bytes
      var scoresAgain = scores
      var takenAgain = taken
      affinity_scores_take_linear(
        touched, met, &bytes, 0, weights, 2, &takenAgain, &scoresAgain)
      #expect(scoresAgain == scores && takenAgain == taken && bytes.allSatisfy { $0 == 0 })
      bytes = keptBytes
      affinity_counts_take(touched, met, &bytes, 0, &takenAgain)
      #expect(takenAgain == taken && bytes.allSatisfy { $0 == 0 })
    }
  }

  /// Rows that two items have in common, by marks.
  @Test(arguments: [UInt64(16), 17, 18])
  func marks(_ seed: UInt64) {
    var random = SplitMix(seed: seed)
    let items = 2 + random.below(60)
    let arena = arena(&random, rows: 300, items: items, longest: 9)
    // Rows of two items and more.
    let headers = arena.indices.dropLast(2).filter {
      arena[$0] >> 30 == 2 && arena[$0 + 1] >> 31 == 0 && arena[$0 + 2] >> 31 == 0
    }.map { UInt32($0) }
    let columns = (0..<UInt32(items)).map { item in
      headers.filter { arena[(Int($0) + 1)...].prefix { $0 >> 31 == 0 }.contains(item) }
    }
    var marks = [UInt64](repeating: 0, count: arena.count / 128 + 1)
    for column in columns {
      let twin = PairKernels.touch(
        arena: arena, places: column, arePlacesHeaders: true, items: items)
      affinity_marks_set(&marks, column, column.count)
      for (other, rows) in columns.enumerated() {
        #expect(affinity_marks_count(marks, rows, rows.count) == twin.counts[other])
      }
      affinity_marks_clear(&marks, column, column.count)
      #expect(marks.allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: [UInt64(19), 20])
  func ids(_ seed: UInt64) {
    var random = SplitMix(seed: seed)
    for count in [0, 1, 2, 7, 8, 33, 64, 200, 256] {
      let ids = Array(
        Set((0..<count).map { _ in UInt32(random.below(1 << 30)) << 1 | 1 })).shuffled(
          using: &random)
      var sorted = [UInt32](repeating: 0, count: ids.count)
      affinity_ids_sort(ids, ids.count, &sorted)
      #expect(sorted == ids.sorted())
      for (place, id) in ids.enumerated() {
        #expect(affinity_ids_find(ids, ids.count, id) == place)
      }
      #expect(affinity_ids_find(ids, ids.count, 2) == ids.count)
    }
    #expect(affinity_values_descend([3, 3, 2.5], 3) != 0)
    #expect(affinity_values_descend([3, 2, 2.5], 3) == 0)
    #expect(affinity_values_descend([], 0) != 0)
  }

  @Test(arguments: [UInt64(5), 6, 7, 8, 9, 10])
  func scoresAndSieve(_ seed: UInt64) {
    var random = SplitMix(seed: seed)
    for met in [1, 7, 31, 32, 33, 300, 1000] {
      let counts = (0..<met).map { _ in UInt32(random.below(5)) }
      let weights = (0..<met).map { _ in Float(1 + random.below(30)) / 7 }
      let twin = PairKernels.linearScores(counts: counts, weights: weights, minimum: 2)
      var scores = [Float](repeating: 0, count: met)
      affinity_scores_linear_dense(counts, met, weights, 2, &scores)
      #expect(scores == twin, "seed \(seed)")
      #expect(affinity_counts_met(counts, met) == counts.filter { $0 > 0 }.count)
      var cells16 = counts.map { UInt16($0) }
      var cells32 = counts
      for isWide in [false, true] {
        var square = [Float](repeating: 0, count: met)
        let found =
          isWide
          ? affinity_scores_linear_square(&cells32, met, weights, 2, &square, 1)
          : affinity_scores_linear_square(&cells16, met, weights, 2, &square, 0)
        #expect(square == twin)
        #expect(found == counts.filter { $0 > 0 }.count)
        var widened = [UInt32](repeating: 9, count: met)
        _ =
          isWide
          ? affinity_square_row(&cells32, met, &widened, 1)
          : affinity_square_row(&cells16, met, &widened, 0)
        #expect(widened == counts)
      }
      for k in [1, 3, 50] {
        var maxima = [Float](repeating: 0, count: affinity_scores_groups(met, k))
        let floor = affinity_scores_floor(scores, met, k, &maxima)
        #expect(floor <= PairKernels.kthLargest(scores, k: k), "seed \(seed), \(met), \(k)")
        var places = [UInt32](repeating: 0, count: met + 1)
        let passed = affinity_scores_sieve(scores, met, floor, &places)
        #expect(Array(places.prefix(passed)) == PairKernels.sieve(scores, floor: floor))
        #expect(passed >= min(k, scores.filter { $0 >= 0 }.count), "seed \(seed), \(met), \(k)")
      }
    }
  }

  /// A floor that lets everything through would pass the test above: it must be of use.
  @Test func floorIsClose() {
    var random = SplitMix(seed: 11)
    let scores = (0..<4000).map { _ in Float(random.unit()) }
    var maxima = [Float](repeating: 0, count: affinity_scores_groups(4000, 50))
    let floor = affinity_scores_floor(scores, 4000, 50, &maxima)
    let passed = PairKernels.sieve(scores, floor: floor).count
    #expect(passed >= 50 && passed < 80, "\(passed)")
  }

  @Test(arguments: [UInt64(12), 13, 14])
  func candidatesTakeTheirPlaces(_ seed: UInt64) {
    var random = SplitMix(seed: seed)
    for count in [0, 1, 3, 4, 5, 64, 191] {
      let values = (0..<count).map { _ in Double(random.below(20)) / 3 }
      let ranks = (0..<count).map { Int32($0) }.shuffled(using: &random)
      var places = [UInt32](repeating: 0, count: count)
      var rounded = [Float](repeating: 0, count: count)
      affinity_candidates_place(values, ranks, count, &rounded, &places)
      let order = (0..<count).sorted {
        values[$0] != values[$1] ? values[$0] > values[$1] : ranks[$0] < ranks[$1]
      }
      for (place, candidate) in order.enumerated() { #expect(Int(places[candidate]) == place) }
    }
  }

  /// Bit vectors, mirror and additions of a square, in both widths.
  @Test(arguments: [Int32(0), 1])
  func square(_ wide: Int32) {
    var random = SplitMix(seed: 15)
    let (labels, stride, first, words) = (70, 96, 30, 8)
    let width = wide == 0 ? 2 : 4
    var cells = [UInt8](repeating: 0, count: stride * stride * width)
    func cell(_ r: Int, _ c: Int) -> UInt32 {
      cells.withUnsafeBytes {
        let at = (r * stride + c) * width
        return wide == 0
          ? UInt32($0.loadUnaligned(fromByteOffset: at, as: UInt16.self))
          : $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)
      }
    }
    var twin = [[UInt32]](repeating: [UInt32](repeating: 0, count: labels), count: labels)
    let bits = (0..<(labels - first) * words).map { _ in random.next() & random.next() }
    for a in 0..<(labels - first) {
      for b in (a + 1)..<max(labels - first, a + 1) {
        let both = (0..<words).reduce(0) {
          $0 + (bits[a * words + $1] & bits[b * words + $1]).nonzeroBitCount
        }
        twin[first + a][first + b] = UInt32(both)
        twin[first + b][first + a] = UInt32(both)
      }
    }
    // Rows of labels count at the first of each pair.
    var rows: [UInt16] = []
    var places: [[UInt32]] = Array(repeating: [], count: first)
    for _ in 0..<100 {
      let row = Set((0..<9).map { _ in UInt16(random.below(labels)) }).sorted()
      for (k, a) in row.enumerated() where Int(a) < first {
        places[Int(a)].append(UInt32(rows.count + k))
        for b in row[(k + 1)...] {
          twin[Int(a)][Int(b)] += 1
          twin[Int(b)][Int(a)] += 1
        }
      }
      rows += row + [UInt16](repeating: UInt16(labels), count: 4)
    }
    cells.withUnsafeMutableBytes { raw in
      let base = raw.baseAddress!
      affinity_square_bits(
        bits, words, labels - first, 0, labels - first, first, base, stride, wide)
      for label in 0..<first {
        affinity_square_count(
          rows, places[label], places[label].count, UInt16(labels),
          base + label * stride * width, wide)
      }
      affinity_square_mirror(base, stride, 0, 32, wide)
      affinity_square_mirror(base, stride, 32, 64, wide)
      affinity_square_mirror(base, stride, 64, labels, wide)
    }
    for r in 0..<labels { for c in 0..<labels { #expect(cell(r, c) == twin[r][c]) } }
    // Changes of one row, some touched twice.
    var delta = [Int32](repeating: 0, count: stride)
    var touched: [UInt32] = []
    for other in 0..<labels where other != 5 && random.below(2) == 0 {
      delta[other] = Int32(random.below(7)) - min(3, Int32(twin[5][other]))
      touched += [UInt32(other), UInt32(other)]
      twin[5][other] = UInt32(Int32(twin[5][other]) + delta[other])
      twin[other][5] = twin[5][other]
    }
    cells.withUnsafeMutableBytes {
      affinity_square_add(
        $0.baseAddress!, stride, 5, touched, touched.count, &delta, wide)
    }
    for r in 0..<labels { for c in 0..<labels { #expect(cell(r, c) == twin[r][c]) } }
    #expect(delta.allSatisfy { $0 == 0 })
  }
}
