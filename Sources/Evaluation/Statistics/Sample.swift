// One number per question, or none: what a report states the mean of.

/// A column of a table whose rows are questions. NaN where the number is not defined for a question.
public struct Sample: Sendable {
  public var values: [Double]

  public init(_ values: [Double] = []) { self.values = values }

  /// Mean of the defined values; nil where there is none.
  public var mean: Double? {
    var sum = 0.0
    var count = 0
    for value in values where !value.isNaN {
      sum += value
      count += 1
    }
    return count == 0 ? nil : sum / Double(count)
  }
}
