// Times as the house writes them: milliseconds since 1970 in UTC, RFC 3339 with three decimals.
import Sparse

public enum EventTime {
  /// 1970-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
  public static let range: ClosedRange<Int64> = 0...253_402_300_799_999
}
