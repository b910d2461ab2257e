// The kernels of ranking beside plain sums over dictionaries.
import CKernels
import Sparse
import Testing

@Suite struct RankingKernelTests {
  /// Stretches of items with values, on the heap.
  private struct Log: ~Copyable {
    var runs: [affinity_run] = []
    var total = 0

    init(_ random: inout SplitMix, items: Int, runs count: Int, longest: Int) {
      for r in 0..<count {
        let length = random.below(longest + 1)
        let ids = UnsafeMutablePointer<UInt32>.allocate(capacity: length + 1)
        let values = UnsafeMutablePointer<Double>.allocate(capacity: length + 1)
        var seen: Set<UInt32> = []
        var k = 0
        while k < length {
          let item = UInt32(random.below(items))
          if !seen.insert(item).inserted { continue }
          ids[k] = item
          // Few values, so that contributions are equal; some are nothing.
          values[k] = random.below(9) == 0 ? 0 : Double(1 + random.below(7)) / 8
          k += 1
        }
        runs.append(
          affinity_run(
            ids: ids, values: values, weight: Double(1 + random.below(4)) / 3, count: UInt32(length),
            source: UInt32(r), because: 0, recency: -1, start: 0))
        total += length
      }
    }

    deinit {
      for run in runs {
        run.ids.deallocate()
        run.values.deallocate()
      }
    }
  }

  @Test func sumsAndEvidence() {
    let seed: UInt64 = 11
    print("seed \(seed)")
    var random = SplitMix(seed: seed)
    for round in 0..<400 {
      let items = 1 + random.below(round % 3 == 0 ? 40 : 600)
      let log = Log(
        &random, items: items, runs: random.below(60), longest: min(items, 1 + random.below(150)))
      var scores = [Double](repeating: 0, count: items)
      var excluded: Set<UInt32> = []
      for _ in 0..<random.below(20) { excluded.insert(UInt32(random.below(items))) }
      for item in excluded { scores[Int(item)] = -.infinity }

      var want: [UInt32: [(value: Double, run: Int, place: Int)]] = [:]
      for (r, run) in log.runs.enumerated() {
        for k in 0..<Int(run.count) {
          want[run.ids[k], default: []].append((run.values[k] * run.weight, r, k))
        }
      }
      for item in excluded { want[item] = nil }
      let sums = want.mapValues { $0.reduce(0.0) { $0 + $1.value } }.filter { $0.value > 0 }

      var touched = [UInt32](repeating: 0, count: log.total + 1)
      var taken = [Double](repeating: 0, count: log.total + 1)
      let met = affinity_runs_add(log.runs, log.runs.count, &scores, &touched)
      let raw = touched
      let count = affinity_scores_take(&scores, raw, met, &touched, &taken)
      #expect(count == sums.count)
      for i in 0..<count { #expect(sums[touched[i]] == taken[i]) }
      for (item, score) in scores.enumerated() {
        #expect(score == (excluded.contains(UInt32(item)) ? -.infinity : 0))
      }

      let top = 1 + random.below(30)
      var places = [UInt32](repeating: 0, count: count + 1)
      var scratch = [Double](repeating: 0, count: count + 1)
      let found = affinity_largest(taken, count, top, &scratch, &places)
      let ranked = taken[..<count].sorted(by: >)
      #expect(found >= min(top, count))
      #expect(Array(places[..<found]) == places[..<found].sorted())
      if count > 0 {
        let bound = ranked[min(top, count) - 1]
        #expect(places[..<found].filter { taken[Int($0)] >= bound }.count == ranked.filter { $0 >= bound }.count)
      }

      var finalists = places[..<min(found, Int(AFFINITY_COLUMNS))].map { place in
        var one = affinity_finalist()
        one.item = touched[Int(place)]
        return one
      }
      var marks = [UInt8](repeating: 0, count: items)
      let room = affinity_explain_cells(log.runs.count)
      var cells = [Double](repeating: 7, count: room + 1)
      var cellPlaces = [UInt32](repeating: 7, count: room + 1)
      affinity_runs_explain(
        log.runs, log.runs.count, &marks, &finalists, finalists.count, &cells, &cellPlaces)
      #expect(marks.allSatisfy { $0 == 0 })
      for finalist in finalists {
        let (listed, rest) = RankingKernelTests.listed(want[finalist.item] ?? [])
        #expect(Int(finalist.listed) == listed.count)
        #expect(finalist.rest == rest)
        #expect(finalist.score == listed.reduce(0.0) { $0 + $1.value } + rest)
        let (c, p) = (finalist.contributions, finalist.places)
        for (i, (value, place)) in [(c.0, p.0), (c.1, p.1), (c.2, p.2)].enumerated()
        where i < listed.count {
          #expect(value == listed[i].value)
          #expect(place == UInt64(listed[i].run) << 32 | UInt64(listed[i].place))
        }
      }
    }
  }

  /// The three largest, the earlier first where equal, and the sum of the others as they fall out.
  private static func listed(
    _ all: [(value: Double, run: Int, place: Int)]
  ) -> (listed: [(value: Double, run: Int, place: Int)], rest: Double) {
    var listed: [(value: Double, run: Int, place: Int)] = []
    var rest = 0.0
    for one in all {
      let at = listed.firstIndex { one.value > $0.value } ?? listed.count
      listed.insert(one, at: at)
      if listed.count > 3 { rest += listed.removeLast().value }
    }
    return (listed, rest)
  }
}
