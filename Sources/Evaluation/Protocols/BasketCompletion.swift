// P2. Orders in order of their first line, with or without a user; the first floor(0.8 n) are training. A test order's
// items are its distinct ones that training knows, in the order of its lines; with fewer than two it is no question.
// One item is hidden (the last, or a random one), the rest is given and no candidate.
import Recommender
import Sparse

enum BasketCompletion {
  static func split(
    _ all: [Line], hidden: HiddenItem, parallel: @escaping Parallel
  ) -> (training: Training, questions: [Question]) {
    var orders: [[Line]] = []
    var place: [UInt32: Int] = [:]
    for line in all where line.order != InteractionLog.none {
      if let at = place[line.order] {
        orders[at].append(line)
      } else {
        place[line.order] = orders.count
        orders.append([line])
      }
    }
    let cut = orders.count * 4 / 5
    // Orders follow one another, and an order's lines stay together: codes count in that order.
    let lines = orders[..<cut].flatMap { $0 }
    let training = Training(lines[...], context: .order, parallel: parallel)
    var generator = SplitMix(seed: 0)
    if case .random(let seed) = hidden { generator = SplitMix(seed: seed) }
    var questions: [Question] = []
    for order in orders[cut...] {
      var items: [UInt32] = []
      for line in order {
        if let item = training.code(ofItem: line.item), !items.contains(item) { items.append(item) }
      }
      if items.count < 2 { continue }
      var question = Question()
      question.user = training.code(ofUser: order[0].user) ?? InteractionLog.none
      let at = hidden == .last ? items.count - 1 : generator.below(items.count)
      question.relevant = [items.remove(at: at)]
      question.given = items
      question.excluded = items
      question.asker = UInt32(questions.count)
      question.time = order[0].time
      questions.append(question)
    }
    return (training, questions)
  }
}
