// A progress bar on standard error, only where that is a terminal.
import Glibc

final class ProgressBar {
  private let name: String
  private let isTerminal = isatty(2) == 1
  private var lastShown = 0.0
  private var isShown = false

  init(_ name: String) { self.name = name }

  func show(_ done: Int, of total: Int) {
    guard isTerminal, total > 0 else { return }
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    let seconds = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    if seconds - lastShown < 0.1 && done < total { return }
    lastShown = seconds
    isShown = true
    let share = Double(done) / Double(total)
    let width = 40
    let full = Int(share * Double(width))
    let bar = String(repeating: "█", count: full) + String(repeating: "·", count: width - full)
    put("\r\(name) \(bar) \(Int(share * 100)) %")
  }

  func clear() {
    if isShown { put("\r\u{1b}[K") }
    isShown = false
  }

  private func put(_ text: String) {
    var text = text
    text.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
  }
}
