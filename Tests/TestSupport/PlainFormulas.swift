// The four formulas written down as they are read, with dense arrays and sums over everything.
import Glibc
import Recommender
import Sparse

public struct PlainLog {
  public var acts: [(user: Int?, order: Int, item: Int, time: Int64)] = []
  public let items: Int

  public var log: ActLog {
    var log = ActLog()
    for act in acts {
      log.append(
        user: act.user.map { UInt32($0) } ?? ActLog.nobody, order: UInt32(act.order), item: UInt32(act.item),
        time: act.time)
    }
    return log
  }

  /// Distinct pairs of a key and an item with the latest time, nil keys left out; each key's `history` latest.
  public func pairs(_ key: (Int) -> Int?, history: Int = .max) -> [Int: [Int: Int64]] {
    var rows: [Int: [Int: Int64]] = [:]
    for (k, act) in acts.enumerated() {
      guard let row = key(k) else { continue }
      rows[row, default: [:]][act.item] = max(rows[row]?[act.item] ?? .min, act.time)
    }
    for (row, entries) in rows where entries.count > history {
      let latest = entries.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
      rows[row] = Dictionary(uniqueKeysWithValues: latest.prefix(history).map { ($0.key, $0.value) })
    }
    return rows
  }

  public static func random(_ random: inout SplitMix, acts: Int, users: Int, items: Int, days: Int) -> PlainLog {
    var log = PlainLog(items: items)
    var time: Int64 = 1_300_000_000_000
    var order = 0
    while log.acts.count < acts {
      let user = random.below(6) == 0 ? nil : random.below(users)
      time += Int64(random.below(2 * days * 86_400_000 * 4 / acts))
      for _ in 0..<1 + random.below(6) {
        // Squared: some items are bought by nearly everyone.
        let item = Int(Double(items) * random.unit() * random.unit())
        log.acts.append((user, order, item, time + Int64(random.below(60_000))))
      }
      order += 1
    }
    return log
  }
}

public enum PlainFormulas {
  public typealias Matrix = [[Double]]

  /// Integer weights of QUALITY's Gram, in sums over rows.
  public static func gram(_ rows: [Int: [Int: Int64]], items: Int, reference: Int64, halfLife: Int64) -> [[UInt64]] {
    var gram = [[UInt64]](repeating: [UInt64](repeating: 0, count: items), count: items)
    for row in rows.values {
      let weights = row.mapValues { time in
        UInt64(
          (262_144 / pow(Double(row.count), 0.25) * exp2(-Double(reference - time) / (2 * Double(halfLife)))).rounded())
      }
      for (i, x) in weights { for (j, y) in weights { gram[i][j] += x * y } }
    }
    return gram
  }

  /// Gauss-Jordan with row pivots.
  public static func inverse(_ matrix: Matrix) -> Matrix {
    let n = matrix.count
    var left = matrix
    var right = (0..<n).map { i in (0..<n).map { $0 == i ? 1.0 : 0 } }
    for k in 0..<n {
      let best = (k..<n).max { abs(left[$0][k]) < abs(left[$1][k]) }!
      left.swapAt(k, best)
      right.swapAt(k, best)
      let pivot = left[k][k]
      for j in 0..<n {
        left[k][j] /= pivot
        right[k][j] /= pivot
      }
      for i in 0..<n where i != k && left[i][k] != 0 {
        let factor = left[i][k]
        for j in 0..<n {
          left[i][j] -= factor * left[k][j]
          right[i][j] -= factor * right[k][j]
        }
      }
    }
    return right
  }

  public static func meanDiagonal(_ gram: [[UInt64]], _ present: [Int]) -> Double {
    present.map { Double(gram[$0][$0]) }.reduce(0, +) / Double(present.count)
  }

  public static func ease(_ gram: [[UInt64]], present: [Int], lambda: Double) -> Matrix {
    let shift = lambda * meanDiagonal(gram, present)
    let system = present.map { i in present.map { j in Double(gram[i][j]) + (i == j ? shift : 0) } }
    let p = inverse(system)
    var b = Matrix(repeating: [Double](repeating: 0, count: gram.count), count: gram.count)
    for (i, item) in present.enumerated() {
      for (j, target) in present.enumerated() where i != j { b[item][target] = -p[i][j] / p[j][j] }
    }
    return b
  }

  public static func ridge(_ gram: [[UInt64]], present: [Int], lambda: Double, neighbours: Int) -> Matrix {
    let shift = lambda * meanDiagonal(gram, present)
    var b = Matrix(repeating: [Double](repeating: 0, count: gram.count), count: gram.count)
    for target in present {
      // The order of G's cosines, ties in single precision.
      func cosine(_ i: Int) -> Double { Double(Float(gram[i][target])) * (1 / sqrt(Double(gram[i][i]))) }
      let near = present.filter { $0 != target && gram[$0][target] > 0 }
        .sorted { cosine($0) != cosine($1) ? cosine($0) > cosine($1) : $0 < $1 }.prefix(neighbours)
      let inverse = inverse(near.map { i in near.map { j in Double(gram[i][j]) + (i == j ? shift : 0) } })
      for (i, item) in near.enumerated() {
        b[item][target] = zip(inverse[i], near).map { $0 * Double(gram[$1][target]) }.reduce(0, +)
      }
    }
    return b
  }

  /// t and mean1(q) of distinct pairs.
  public static func trend(_ rows: [Int: [Int: Int64]], items: Int, reference: Int64, halfLife: Double)
    -> (t: [Double], q: [Double])
  {
    var (q, c) = ([Double](repeating: 0, count: items), [Double](repeating: 0, count: items))
    for row in rows.values {
      for (item, time) in row {
        q[item] += exp2(-Double(reference - time) / halfLife)
        c[item] += 1
      }
    }
    let (qs, cs) = (q.reduce(0, +), c.reduce(0, +))
    let present = Double(c.filter { $0 > 0 }.count)
    return (
      (0..<items).map { c[$0] == 0 ? 0 : (q[$0] / qs + 0.1 * c[$0] / cs) / (c[$0] / cs) },
      q.map { $0 / (qs / present) }
    )
  }

  public static func raised(_ sums: [Double], _ present: [Int]) -> [Double] {
    var all = [Double](repeating: 0, count: sums.count)
    for i in present { all[i] = max(sums[i], 0) + 1e-9 }
    return all
  }

  public static func discover(_ b: Matrix, history: [Int], t: [Double], q: [Double], present: [Int]) -> [Double] {
    let sums = (0..<b.count).map { j in history.map { b[$0][j] }.reduce(0, +) }
    let all = raised(sums, present)
    let mean = all.reduce(0, +) / Double(present.count)
    return all.indices.map { all[$0] / mean * t[$0] + 0.3 * q[$0] }
  }

  /// r_u, sum1(W · √rp) and rp of a user.
  public static func own(_ log: PlainLog, user: Int, reference: Int64) -> (r: Double, own: [Double], rp: [Double]) {
    var visits: [Int: [Int: [Int: Int64]]] = [:]
    for act in log.acts {
      guard let user = act.user else { continue }
      let old = visits[user]?[act.item]?[act.order] ?? .min
      visits[user, default: [:]][act.item, default: [:]][act.order] = max(old, act.time)
    }
    var (total, repeats) = (0.0, 0.0)
    var (itemTotal, itemRepeats) = ([Double](repeating: 0, count: log.items), [Double](repeating: 0, count: log.items))
    for items in visits.values {
      for (item, orders) in items {
        total += Double(orders.count)
        repeats += Double(orders.count - 1)
        itemTotal[item] += Double(orders.count)
        itemRepeats[item] += Double(orders.count - 1)
      }
    }
    let rho = total == 0 ? 0 : repeats / total
    let rp = (0..<log.items).map { (itemRepeats[$0] + 5 * rho) / (itemTotal[$0] + 5) }
    let mine = visits[user] ?? [:]
    let count = mine.values.map { Double($0.count) }.reduce(0, +)
    let r = (count - Double(mine.count) + 10 * rho) / (count + 10)
    var w = [Double](repeating: 0, count: log.items)
    for (item, orders) in mine {
      for time in orders.values {
        w[item] += exp2(-Double(reference - time) / (180 * 86_400_000.0)) * sqrt(rp[item])
      }
    }
    let sum = w.reduce(0, +)
    return (r, w.map { sum > 0 ? $0 / sum : 0 }, rp)
  }

  public static func basket(_ b: Matrix, given: [Int], isOrdered: Bool, present: [Int]) -> [Double] {
    var sums = [Double](repeating: 0, count: b.count)
    for (k, item) in given.enumerated() {
      let weight = isOrdered ? ((exp(-Double(given.count - 1 - k) / 2) + 0.3) * 1000).rounded() / 1000 : 1
      for j in 0..<b.count { sums[j] += weight * b[item][j] }
    }
    let all = raised(sums, present)
    let sum = all.reduce(0, +)
    return all.map { $0 / sum }
  }

  /// Session neighbours; sessions are given in order of their last time.
  public static func next(_ sessions: [[Int]], question: [Int], items: Int, recent: Int, k: Int) -> [Double] {
    let idf = (0..<items).map { item in
      log(Double(sessions.count) / Double(sessions.filter { $0.contains(item) }.count))
    }
    var back: [Int: Int] = [:]
    for (step, item) in question.reversed().prefix(9).enumerated() where back[item] == nil && idf[item].isFinite {
      back[item] = step
    }
    var candidates = Set<Int>()
    for item in back.keys {
      candidates.formUnion(sessions.indices.filter { sessions[$0].contains(item) }.suffix(recent))
    }
    func similarity(_ s: Int) -> Double {
      back.sorted { $0.value < $1.value }.filter { sessions[s].contains($0.key) }
        .map { exp(-Double($0.value)) * idf[$0.key] }.reduce(0, +)
    }
    let best = candidates.sorted(by: >).prefix(recent).map { ($0, similarity($0)) }
      .sorted { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0 > $1.0 }.prefix(k)
    var scores = [Double](repeating: 0, count: items)
    for (s, value) in best {
      let session = sessions[s]
      let (shared, steps) = back.filter { session.contains($0.key) }.min { $0.value < $1.value }!
      for item in Set(session) {
        var factor = 0.0
        for (p, there) in session.enumerated() where there == shared {
          for (at, other) in session.enumerated() where other == item {
            let d = Double(at - p)
            factor = max(factor, d == 0 ? 1 : d > 0 ? exp(-(d - 1) / 3) : exp(d / 3))
          }
        }
        scores[item] += value / Double(1 + steps) * factor * idf[item]
      }
    }
    return scores
  }
}
