// P3. Test sessions are those whose last click is within a day of the log's last; the others are training. Test clicks
// on items that training does not know are dropped, then sessions of fewer than two. Every prefix of a test session is
// a question for the click that follows; nothing is excluded.
import Recommender

enum NextClick {
  static let day: Int64 = 86_400_000

  static func split(
    _ all: [Line], parallel: @escaping Parallel
  ) -> (training: Training, questions: [Question]) {
    var sessions: [[Line]] = []
    var place: [UInt32: Int] = [:]
    for line in all where line.session != InteractionLog.none {
      if let at = place[line.session] {
        sessions[at].append(line)
      } else {
        place[line.session] = sessions.count
        sessions.append([line])
      }
    }
    let end = all.last?.time ?? 0
    func isTest(_ session: [Line]) -> Bool { (session.last?.time ?? 0) > end - day }
    var isTestSession = [Bool](repeating: false, count: 0)
    for session in sessions { isTestSession.append(isTest(session)) }
    let lines = all.filter { line in
      line.session != InteractionLog.none && !isTestSession[place[line.session] ?? 0]
    }
    let training = Training(lines[...], context: .session, parallel: parallel)
    var questions: [Question] = []
    var asker: UInt32 = 0
    for (s, session) in sessions.enumerated() where isTestSession[s] {
      let clicks = session.compactMap { line in training.code(ofItem: line.item).map { ($0, line.time) } }
      if clicks.count < 2 { continue }
      for place in 1..<clicks.count {
        var question = Question()
        question.user = training.code(ofUser: session[0].user) ?? InteractionLog.none
        question.given = clicks[..<place].map(\.0)
        question.relevant = [clicks[place].0]
        question.asker = asker
        question.time = clicks[place].1
        questions.append(question)
      }
      asker += 1
    }
    return (training, questions)
  }
}
