// The features of a customer as of a time T: name, unit and formula. docs/FEATURES.md is this table.

/// In the order of a feature table's columns.
public enum Feature: Int, CaseIterable, Sendable {
  case recency, orders, spend, tenure, gapMean, gapSpread, basketSize, lines, items, categories, refundShare, refunds
  case orders30, orders90, orders180, spend30, spend90, spend180, spendTrend
  case orderValue, lastOrderValue, largestOrder, activeDays, activeMonths, orderRate, overdue, repeats
  case decayedOrders30, decayedOrders90, decayedSpend90
  case views7, views30, carts7, carts30, abandonment

  public static let count = allCases.count

  public var name: String { definition.name }
  public var unit: String { definition.unit }
  public var formula: String { definition.formula }
  /// Long-tailed: linear models and clusters take ln(1 + x).
  public var isLogarithmic: Bool { definition.log }
  /// In words, for people.
  public var title: String { definition.title }

  private var definition: (name: String, title: String, unit: String, log: Bool, formula: String) {
    switch self {
    case .recency: ("recency_days", "days since the last order", "days", false, "T − time of the last order")
    case .orders: ("orders", "orders", "orders", true, "distinct orders")
    case .spend: ("spend", "spend", "hundredths", true, "Σ purchase lines − Σ refund lines, at least 0")
    case .tenure: ("tenure_days", "days since the first order", "days", false, "T − time of the first order")
    case .gapMean:
      ("gap_mean_days", "days between orders", "days", true, "(last − first) / (orders − 1); with one order: tenure, the gap so far")
    case .gapSpread:
      ("gap_spread_days", "spread of the gaps", "days", true, "population deviation of the gaps; missing below 3 orders")
    case .basketSize: ("basket_size", "lines per order", "lines", true, "lines / orders")
    case .lines: ("lines", "order lines", "lines", true, "purchase lines")
    case .items: ("items", "distinct items", "items", true, "distinct items bought")
    case .categories: ("categories", "distinct categories", "categories", true, "distinct categories of the items bought, by the catalogue")
    case .refundShare: ("refund_share", "share refunded", "share", false, "Σ refund lines / Σ purchase lines, at most 1; 0 without purchases of value")
    case .refunds: ("refunds", "refunds", "refunds", true, "distinct (order, time) of refunds")
    case .orders30: ("orders_30d", "orders in 30 days", "orders", true, "orders in [T − 30 d, T)")
    case .orders90: ("orders_90d", "orders in 90 days", "orders", true, "orders in [T − 90 d, T)")
    case .orders180: ("orders_180d", "orders in 180 days", "orders", true, "orders in [T − 180 d, T)")
    case .spend30: ("spend_30d", "spend in 30 days", "hundredths", true, "Σ orders in [T − 30 d, T)")
    case .spend90: ("spend_90d", "spend in 90 days", "hundredths", true, "Σ orders in [T − 90 d, T)")
    case .spend180: ("spend_180d", "spend in 180 days", "hundredths", true, "Σ orders in [T − 180 d, T)")
    case .spendTrend:
      ("spend_trend", "trend of spending", "log ratio", false, "ln(1 + spend_90d / 100) − ln(1 + Σ orders in [T − 180 d, T − 90 d) / 100)")
    case .orderValue: ("order_value", "spend per order", "hundredths", true, "spend / orders")
    case .lastOrderValue: ("last_order_value", "last order's value", "hundredths", true, "Σ lines of the last order")
    case .largestOrder: ("largest_order", "largest order", "hundredths", true, "largest Σ lines of an order")
    case .activeDays: ("active_days", "days with an order", "days", true, "distinct UTC days with an order")
    case .activeMonths: ("active_months", "30-day periods with an order", "periods", true, "distinct ⌊(T − t) / 30 d⌋ of the orders")
    case .orderRate: ("order_rate", "orders per day", "1/days", true, "orders / (tenure_days + 30)")
    case .overdue: ("overdue", "time since the last order in usual gaps", "gaps", true, "recency_days / (gap_mean_days + 7)")
    case .repeats: ("repeats", "lines per distinct item", "lines", true, "lines / items")
    case .decayedOrders30: ("decayed_orders_30d", "recent orders, half-life 30 days", "orders", true, "Σ 2^(−(T − t) / 30 d) over orders")
    case .decayedOrders90: ("decayed_orders_90d", "recent orders, half-life 90 days", "orders", true, "Σ 2^(−(T − t) / 90 d) over orders")
    case .decayedSpend90: ("decayed_spend_90d", "recent spend, half-life 90 days", "hundredths", true, "Σ value · 2^(−(T − t) / 90 d) over orders")
    case .views7: ("views_7d", "views in 7 days", "views", true, "distinct (item, UTC day) viewed whose day starts in [T − 7 d, T)")
    case .views30: ("views_30d", "views in 30 days", "views", true, "distinct (item, UTC day) viewed whose day starts in [T − 30 d, T)")
    case .carts7: ("carts_7d", "items put in the cart in 7 days", "items", true, "distinct (item, UTC day) put in the cart whose day starts in [T − 7 d, T)")
    case .carts30: ("carts_30d", "items put in the cart in 30 days", "items", true, "distinct (item, UTC day) put in the cart whose day starts in [T − 30 d, T)")
    case .abandonment:
      ("abandonment", "share of carts left", "share", false, "share of carts_30d whose item was not bought from that day's start until T; 0 without carts")
    }
  }

  /// The table of docs/FEATURES.md.
  public static var markdownTable: String {
    "| name | unit | ln(1 + x) | formula |\n| --- | --- | --- | --- |\n"
      + allCases.map { "| `\($0.name)` | \($0.unit) | \($0.isLogarithmic ? "yes" : "") | \($0.formula) |\n" }.joined()
  }
}
