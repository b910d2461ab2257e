// Small plots as SVG, without a script: they take their colours from the page, so they follow dark mode, and are as wide
// as a phone, so that nothing in them shrinks.
import Foundation

/// A line or a group of bars, by the page's class for its colour.
struct PlotSeries {
  var name: String
  var colour: String
  var values: [Double?]
}

enum Plots {
  static let width = 360.0
  static let height = 210.0
  private static let left = 40.0
  private static let right = 8.0
  private static let top = 10.0
  private static let bottom = 34.0

  /// Lines over places that are evenly apart.
  /// - Parameters:
  ///   - labels: one a place; as many are shown as there is room for.
  ///   - note: what a place is called when a reader points at it.
  static func lines(_ series: [PlotSeries], labels: [String], title: String, note: (Int) -> String) -> String {
    let count = labels.count
    let ceiling = niceCeiling(series.flatMap { $0.values.compactMap { $0 } }.max() ?? 0)
    var svg = open(title)
    svg += axes(ceiling)
    func x(_ i: Int) -> Double {
      count <= 1 ? left + (width - left - right) / 2 : left + (width - left - right) * Double(i) / Double(count - 1)
    }
    svg += ticks(labels, x)
    // The first series is drawn last, on top.
    for one in series.reversed() {
      var path = ""
      var isDown = false
      for (i, value) in one.values.enumerated() {
        guard let value else {
          isDown = false
          continue
        }
        path += "\(isDown ? "L" : "M")\(fixed(x(i), 1)) \(fixed(y(value, ceiling), 1))"
        isDown = true
      }
      svg += "<path class=\"line \(one.colour)\" d=\"\(path)\"/>"
      if count <= 12 {
        for (i, value) in one.values.enumerated() {
          if let value { svg += "<circle class=\"dot \(one.colour)\" cx=\"\(fixed(x(i), 1))\" cy=\"\(fixed(y(value, ceiling), 1))\" r=\"2.5\"/>" }
        }
      }
    }
    // A strip a place, to point at.
    let step = count <= 1 ? width - left - right : (width - left - right) / Double(count - 1)
    for i in 0..<count {
      let said = series.compactMap { one in one.values[i].map { "\(one.name) \(percent($0))" } }
      svg +=
        "<rect class=\"strip\" x=\"\(fixed(x(i) - step / 2, 1))\" y=\"\(top)\" width=\"\(fixed(step, 1))\" height=\"\(fixed(height - top - bottom, 1))\"><title>\(escaped(note(i)))\n\(escaped(said.joined(separator: "\n")))</title></rect>"
    }
    return svg + "</svg>"
  }

  /// Groups of bars.
  static func bars(_ series: [PlotSeries], labels: [String], title: String, note: (Int) -> String) -> String {
    let count = max(1, labels.count)
    let ceiling = niceCeiling(series.flatMap { $0.values.compactMap { $0 } }.max() ?? 0)
    var svg = open(title)
    svg += axes(ceiling)
    let step = (width - left - right) / Double(count)
    let bar = step * 0.8 / Double(max(1, series.count))
    svg += ticks(labels) { left + step * (Double($0) + 0.5) }
    for i in 0..<labels.count {
      svg += "<g>"
      for (s, one) in series.enumerated() {
        guard let value = one.values[i] else { continue }
        let at = left + step * (Double(i) + 0.1) + bar * Double(s)
        svg +=
          "<rect class=\"bar \(one.colour)\" x=\"\(fixed(at, 1))\" y=\"\(fixed(y(value, ceiling), 1))\" width=\"\(fixed(max(1, bar - 1), 1))\" height=\"\(fixed(height - bottom - y(value, ceiling), 1))\"/>"
      }
      let said = series.compactMap { one in one.values[i].map { "\(one.name) \(percent($0))" } }
      svg +=
        "<rect class=\"strip\" x=\"\(fixed(left + step * Double(i), 1))\" y=\"\(top)\" width=\"\(fixed(step, 1))\" height=\"\(fixed(height - top - bottom, 1))\"><title>\(escaped(note(i)))\n\(escaped(said.joined(separator: "\n")))</title></rect></g>"
    }
    return svg + "</svg>"
  }

  // MARK: parts

  private static func open(_ title: String) -> String {
    "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(escaped(title))\">"
  }

  private static func y(_ value: Double, _ ceiling: Double) -> Double {
    top + (height - top - bottom) * (1 - min(1, max(0, value / ceiling)))
  }

  private static func axes(_ ceiling: Double) -> String {
    var svg = ""
    for i in 0...4 {
      let value = ceiling * Double(i) / 4
      let at = fixed(y(value, ceiling), 1)
      svg += "<line class=\"grid-line\" x1=\"\(left)\" x2=\"\(width - right)\" y1=\"\(at)\" y2=\"\(at)\"/>"
      svg += "<text class=\"tick\" x=\"\(left - 5)\" y=\"\(at)\" dy=\".35em\" text-anchor=\"end\">\(percent(value))</text>"
    }
    return svg
  }

  /// As many labels as do not touch, the first and the last among them where they fit.
  private static func ticks(_ labels: [String], _ x: (Int) -> Double) -> String {
    let widest = Double(labels.map(\.count).max() ?? 1) * 6.2 + 10
    let room = max(1, Int((width - left - right) / widest))
    let step = max(1, (labels.count + room - 1) / room)
    var svg = ""
    for i in stride(from: 0, to: labels.count, by: step) {
      svg +=
        "<text class=\"tick\" x=\"\(fixed(min(x(i), width - widest / 2 + 4), 1))\" y=\"\(fixed(height - bottom + 16, 1))\" text-anchor=\"middle\">\(escaped(labels[i]))</text>"
    }
    return svg
  }

  /// The next of 1, 2, 4, 6, 8 times a power of ten: quarters of it are round.
  private static func niceCeiling(_ value: Double) -> Double {
    if value <= 0 { return 0.04 }
    let unit = pow(10, floor(log10(value)))
    for factor in [1, 2, 4, 6, 8, 10] where value <= Double(factor) * unit * 1.0001 { return Double(factor) * unit }
    return 10 * unit
  }
}
