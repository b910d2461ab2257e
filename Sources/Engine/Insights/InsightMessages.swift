// Insights as JSON: one customer's message (schemas/insight.schema.json), the model card and the segments. Amounts are hundredths.
import Customers
import Events
import Sparse

extension Insights {
  /// Names the models in force: they are a function of the log and the time.
  public var modelID: String {
    var w = ByteWriter()
    w.append("customers-")
    w.append(quotedTime: asOf)
    return w.string.filter { $0 != "\"" }
  }

  /// Appends one customer's message.
  public func append(_ insight: CustomerInsight, user: String, to w: inout ByteWriter) {
    w.append("{\"user\":")
    w.append(quoted: user)
    w.append(",\"time\":")
    w.append(quotedTime: asOf)
    w.append(",\"model\":")
    w.append(quoted: modelID)
    if let segmentation, let segment = insight.segment {
      w.append(",\"segment\":")
      w.append(quoted: segmentation.profiles[segment].name)
    }
    w.append(",\"rfm\":{\"cell\":\"")
    w.append(text: insight.cell.name)
    w.append("\",\"recency\":")
    w.append(insight.cell.recency)
    w.append(",\"frequency\":")
    w.append(insight.cell.frequency)
    w.append(",\"monetary\":")
    w.append(insight.cell.monetary)
    w.append("}")
    if let purchase = insight.purchase {
      w.append(",\"purchase\":{\"days\":")
      w.append(Double(settings.horizon) / Double(CustomerLedger.day))
      w.append(",\"probability\":")
      w.append(purchase.probability)
      w.append(",\"low\":")
      w.append(purchase.low)
      w.append(",\"high\":")
      w.append(purchase.high)
      w.append(",\"drivers\":[")
      for (i, driver) in purchase.drivers.enumerated() {
        if i > 0 { w.append(",") }
        w.append("{\"feature\":")
        w.append(quoted: driver.feature.name)
        if !driver.value.isNaN {
          w.append(",\"value\":")
          w.append(driver.value)
        }
        w.append(driver.contribution >= 0 ? ",\"direction\":\"up\"" : ",\"direction\":\"down\"")
        w.append(",\"contribution\":")
        w.append(driver.contribution)
        w.append("}")
      }
      w.append("]}")
    }
    if let value = insight.expectedValue {
      w.append(",\"expected_value\":")
      w.append(Int(value.rounded(.toNearestOrAwayFromZero)))
    }
    w.append("}")
  }

  /// Appends the model card: what the models are, how they were chosen, and how good they are.
  public func appendCard(to w: inout ByteWriter) {
    w.append("{\"id\":")
    w.append(quoted: modelID)
    w.append(",\"as_of\":")
    w.append(quotedTime: asOf)
    number(",\"horizon_days\":", Double(settings.horizon) / Double(CustomerLedger.day), &w)
    w.append(",\"trained_as_of\":")
    w.append(quotedTime: trainedAsOf)
    w.append(",\"training\":{\"customers\":")
    w.append(trainingRows)
    w.append(",\"bought\":")
    w.append(trainingPositives)
    w.append("},\"scored\":")
    w.append(table.customers.count)
    w.append(",\"purchase\":{")
    fault(purchaseFault, &w)
    if let choice {
      w.append(",\"model\":")
      w.append(quoted: choice.purchase.name)
      w.append(",\"tried\":[")
      for (i, one) in choice.losses.enumerated() {
        if i > 0 { w.append(",") }
        w.append("{\"model\":")
        w.append(quoted: one.0.name)
        number(",\"log_loss\":", one.1, &w)
        w.append("}")
      }
      w.append("],\"chosen\":")
      w.append(quoted: choiceBy)
    }
    appendWeights(&w)
    w.append("},\"expected_value\":{")
    fault(spendFault, &w)
    if let choice {
      w.append(",\"model\":")
      w.append(quoted: "ridge regression of ln(1 + amount), λ \(choice.ridge)")
    }
    w.append("}")
    if let evaluation { append(evaluation, &w) }
    if let drift { number(",\"psi\":", drift, &w) }
    appendFeatures(&w)
    w.append("}")
  }

  private func number(_ name: StaticString, _ value: Double, _ w: inout ByteWriter) {
    w.append(name)
    w.append(value.isFinite ? value : 0)
  }

  private func fault(_ reason: String?, _ w: inout ByteWriter) {
    w.append(reason == nil ? "\"published\":true" : "\"published\":false,\"reason\":")
    if let reason { w.append(quoted: reason) }
  }

  private func appendWeights(_ w: inout ByteWriter) {
    guard let purchase, let linear = purchase.linear else { return }
    w.append(",\"intercept\":")
    w.append(linear.intercept)
    w.append(",\"weights\":{")
    for (i, column) in purchase.columns.enumerated() {
      if i > 0 { w.append(",") }
      w.append(quoted: Feature.allCases[column].name)
      number(":", linear.weights[i], &w)
    }
    w.append("}")
  }

  private func append(_ e: ModelEvaluation, _ w: inout ByteWriter) {
    w.append(",\"evaluation\":{\"by\":")
    w.append(quoted: evaluationBy)
    w.append(",\"customers\":")
    w.append(e.customers)
    w.append(",\"bought\":")
    w.append(e.positives)
    number(",\"auc\":", e.auc, &w)
    number(",\"auc_error\":", e.aucError, &w)
    number(",\"auc_last_period\":", e.lastPeriodAUC, &w)
    number(",\"log_loss\":", e.logLoss, &w)
    number(",\"log_loss_base_rate\":", e.baseLogLoss, &w)
    number(",\"brier\":", e.brier, &w)
    number(",\"brier_base_rate\":", e.baseBrier, &w)
    number(",\"lift_10\":", e.lift, &w)
    number(",\"r2\":", e.r2, &w)
    number(",\"r2_last_period\":", e.lastPeriodR2, &w)
    number(",\"mae\":", e.meanAbsoluteError, &w)
    number(",\"mae_last_period\":", e.lastPeriodError, &w)
    w.append(",\"calibration\":[")
    for (i, bin) in e.calibration.enumerated() {
      if i > 0 { w.append(",") }
      w.append("{\"customers\":")
      w.append(bin.rows)
      number(",\"predicted\":", bin.predicted, &w)
      number(",\"observed\":", bin.observed, &w)
      number(",\"error\":", bin.error, &w)
      w.append("}")
    }
    w.append("]}")
  }

  private func appendFeatures(_ w: inout ByteWriter) {
    guard let choice else { return }
    w.append(",\"features\":[")
    for (i, merit) in choice.merits.enumerated() {
      if i > 0 { w.append(",") }
      w.append("{\"feature\":")
      w.append(quoted: merit.feature.name)
      number(",\"information_gain\":", merit.informationGain, &w)
      if let step = merit.lassoStep {
        w.append(",\"lasso_step\":")
        w.append(step)
      }
      w.append(merit.isUsed ? ",\"used\":true}" : ",\"used\":false}")
    }
    w.append("]")
  }

  /// Appends the segments as an array.
  public func appendSegments(to w: inout ByteWriter) {
    w.append("[")
    for (i, profile) in (segmentation?.profiles ?? []).enumerated() {
      if i > 0 { w.append(",") }
      w.append("{\"name\":")
      w.append(quoted: profile.name)
      w.append(",\"customers\":")
      w.append(profile.customers)
      number(",\"median_recency_days\":", profile.recencyDays, &w)
      number(",\"median_orders\":", profile.orders, &w)
      number(",\"median_spend\":", profile.spend, &w)
      number(",\"spend_share\":", profile.spendShare, &w)
      if let mean = meanProbability(ofSegment: i) { number(",\"mean_probability\":", mean, &w) }
      w.append("}")
    }
    w.append("]")
  }
}

/// A tree's rules in words, the largest leaves first.
public func ruleTexts(_ tree: DecisionTree, features: [Feature], conclusion: (TreeRule) -> String) -> [String] {
  tree.rules().sorted { $0.rows != $1.rows ? $0.rows > $1.rows : $0.leaf < $1.leaf }.map { rule in
    let conditions = rule.conditions.map { condition in
      let feature = features[condition.feature]
      func number(_ x: Double) -> String { amountText(x, feature) }
      switch (condition.above, condition.atMost) {
      case (let above?, let atMost?): return "\(feature.title) over \(number(above)) up to \(number(atMost))"
      case (let above?, nil): return "\(feature.title) over \(number(above))"
      case (nil, let atMost?): return "\(feature.title) up to \(number(atMost))"
      case (nil, nil): return feature.title
      }
    }
    return (conditions.isEmpty ? "everyone" : conditions.joined(separator: " and ")) + ": " + conclusion(rule)
  }
}

/// A feature's value for people: hundredths as units, at most two decimals.
public func amountText(_ x: Double, _ feature: Feature) -> String {
  if x.isNaN { return "unknown" }
  let value = feature.unit == "hundredths" ? x / 100 : x
  let digits: Double = abs(value) >= 100 ? 1 : abs(value) >= 10 ? 10 : 100
  let rounded = (value * digits).rounded() / digits
  if rounded == rounded.rounded() && abs(rounded) < 1e15 { return String(Int64(rounded)) }
  var w = ByteWriter()
  w.append(rounded.isFinite ? rounded : 0)
  return w.string
}
