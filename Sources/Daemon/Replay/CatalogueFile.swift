// A catalogue as JSON lines: the value of each record of the catalogue topic, with its key as `item`.
// A line {"item":…,"deleted":true} is a null value.
import Engine
import Events
import Sparse

public struct CatalogueFileError: InputError {
  public var description: String
}

public enum CatalogueFile {
  /// Calls `body` with each line's key and value (nil: null).
  public static func forEach(
    _ path: String, _ body: (_ key: [UInt8], _ value: UnsafeRawBufferPointer?) throws -> Void
  ) throws {
    let file = try MappedFile(path: path)
    var start = 0
    var number = 0
    while start < file.bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: file.bytes[start...])
      let length = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.count
      let line = UnsafeRawBufferPointer(rebasing: rest[..<length])
      start += length + 1
      number += 1
      if line.isEmpty { continue }
      guard let object = try? JSON(line), let item = object["item"]?.string, !item.isEmpty else {
        throw CatalogueFileError(
          description: "\(path):\(number): not a JSON object with an `item`; see schemas/catalogue.schema.json")
      }
      try body([UInt8](item.utf8), object["deleted"] == .bool(true) ? nil : line)
    }
  }
}

extension Engine {
  /// Takes one record of the catalogue topic.
  /// - Returns: why it was rejected, if it was.
  mutating func takeCatalogue(
    key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?, limits: EventLimits
  ) -> Rejection? {
    let value = value ?? UnsafeRawBufferPointer(start: nil, count: 0)
    switch CatalogueEntry.decode(key: key, value: value, limits: limits) {
    case .rejected(let rejection): return rejection
    case .gone: removeFromCatalogue(item: key)
    case .entry(let entry):
      updateCatalogue(
        item: key, title: entry.title ?? "", path: entry.category.joined(separator: " > "),
        isAvailable: entry.isAvailable)
    }
    return nil
  }
}
