// Numbers and text for people: tables, pages.
import Foundation

/// Thousands apart; on pages by a narrow space that breaks no line.
package func grouped(_ value: Int, by separator: Character = "\u{202f}") -> String {
  var digits = Array(String(value.magnitude))
  var i = digits.count - 3
  while i > 0 {
    digits.insert(separator, at: i)
    i -= 3
  }
  return (value < 0 ? "-" : "") + String(digits)
}

func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

/// A share for people: enough digits to tell it from 0.
func percent(_ share: Double) -> String {
  let value = share * 100
  if value == 0 { return "0 %" }
  return "\(fixed(value, abs(value) >= 9.95 || value == value.rounded() ? 0 : abs(value) >= 0.95 ? 1 : 2)) %"
}

/// Text in markup.
func escaped(_ text: String) -> String {
  var result = ""
  for character in text.unicodeScalars {
    switch character {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    default: result.unicodeScalars.append(character)
    }
  }
  return result
}
