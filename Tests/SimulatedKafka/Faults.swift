// What can happen to a request on its way, by plan or by order of a test.

public enum KafkaRequest: String, CaseIterable, Sendable {
  case metadata, produce, fetch, listOffsets
  case joinGroup, heartbeat, leaveGroup, offsetCommit, offsetFetch
  case initProducerID, addPartitions, addOffsets, transactionOffsets, endTransaction
}

public enum RequestFault: Equatable, Sendable {
  /// It never arrives.
  case lostRequest
  /// It has its effect; the client sees a broken connection.
  case lostReply
  /// It arrives twice, as after a retry inside the client; the second answer is seen.
  case duplicate
  /// The client sees a broken connection and goes on; the request arrives after this time, whatever
  /// happened meanwhile, even if its sender is dead.
  case delayed(milliseconds: Int)
}

/// Chances in a million, drawn at every request.
public struct FaultPlan {
  public var lostRequest = 0
  public var lostReply = 0
  public var duplicate = 0
  public var delayed = 0
  /// Trouble that lasts for a while: between a millisecond and `longest`.
  public var brokerDown = 0
  public var leaderMove = 0
  public var coordinatorMove = 0
  public var stall = 0
  public var rebalance = 0
  public var longestMilliseconds = 3000

  public init() {}

  /// The same chance for everything that happens to single requests, and a tenth of it for trouble.
  public init(perMillion: Int) {
    (lostRequest, lostReply, duplicate, delayed) = (perMillion, perMillion, perMillion, perMillion)
    let trouble = perMillion / 10
    (brokerDown, leaderMove, coordinatorMove, stall, rebalance) =
      (trouble, trouble, trouble, trouble, trouble)
  }
}

public final class Faults {
  /// nil: nothing happens but what a test orders.
  public var plan: FaultPlan?
  /// How many of each have happened.
  public private(set) var happened: [String: Int] = [:]

  private struct Order {
    var fault: RequestFault
    var request: KafkaRequest
    var skipping: Int
  }
  private var orders: [Order] = []

  /// The next request of this kind (after `skipping` others of it) meets this fault.
  public func order(_ fault: RequestFault, on request: KafkaRequest, skipping: Int = 0) {
    orders.append(Order(fault: fault, request: request, skipping: skipping))
  }

  /// Orders that no request has met yet.
  public var outstanding: Int { orders.count }

  func decide(_ request: KafkaRequest, _ draw: (Int) -> Int) -> RequestFault? {
    for i in orders.indices where orders[i].request == request {
      if orders[i].skipping > 0 {
        orders[i].skipping -= 1
        continue
      }
      return note(orders.remove(at: i).fault)
    }
    guard let plan else { return nil }
    var lot = draw(1_000_000)
    func hit(_ chance: Int) -> Bool {
      lot -= chance
      return lot < 0
    }
    if hit(plan.lostRequest) { return note(.lostRequest) }
    if hit(plan.lostReply) { return note(.lostReply) }
    if hit(plan.duplicate) { return note(.duplicate) }
    if hit(plan.delayed) {
      return note(.delayed(milliseconds: 1 + draw(max(1, plan.longestMilliseconds))))
    }
    return nil
  }

  func count(_ name: String) { happened[name, default: 0] += 1 }

  private func note(_ fault: RequestFault) -> RequestFault {
    switch fault {
    case .lostRequest: count("lostRequest")
    case .lostReply: count("lostReply")
    case .duplicate: count("duplicate")
    case .delayed: count("delayed")
    }
    return fault
  }
}
