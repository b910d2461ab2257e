// P1. Lines with a user; the first floor(0.8 n) are training. Every user with a training line and a relevant item in
// the rest is one question; relevant are the user's items there that training knows, in mode NEW without those the
// user has already. Known is the user's training row, in order of first appearance.
import Recommender

enum NextItems {
  static func split(
    _ all: [Line], isNew: Bool, parallel: @escaping Parallel
  ) -> (training: Training, questions: [Question]) {
    let lines = all.filter { $0.user != InteractionLog.none }
    let cut = lines.count * 4 / 5
    let training = Training(lines[..<cut], context: .user, parallel: parallel)
    var later = [[UInt32]](repeating: [], count: training.userCount)
    for line in lines[cut...] {
      guard let user = training.code(ofUser: line.user), let item = training.code(ofItem: line.item) else { continue }
      later[Int(user)].append(item)
    }
    var questions: [Question] = []
    for user in 0..<training.userCount where !later[user].isEmpty {
      var question = Question()
      question.user = UInt32(user)
      question.given = Array(training.rows[user])
      if isNew { question.excluded = question.given }
      let left = Set(question.excluded)
      var seen = Set<UInt32>()
      question.relevant = later[user].filter { !left.contains($0) && seen.insert($0).inserted }
      if question.relevant.isEmpty { continue }
      question.asker = UInt32(questions.count)
      question.time = training.end
      questions.append(question)
    }
    return (training, questions)
  }
}
