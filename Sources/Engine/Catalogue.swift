// What the catalogue topic says of items, as far as the engine uses it: a title for people, category
// paths for the popularity lists, and whether the item can be had. Last value per item; a null value
// removes it. Not part of the digest: it is the shop's own table, not something we count.
import Recommender
import Sparse

public struct Catalogue: Sendable {
  struct Entry: Sendable {
    var title: String
    var category: Int32  // index into paths; -1 = none
    var isAvailable: Bool
  }

  var entries: [UInt32: Entry] = [:]
  var paths: [String] = []
  var pathIndex: [String: Int32] = [:]
  private var cached: CatalogueSeal?
  /// Distinct category paths kept; items of later ones have none.
  static let maximumCategories = 10_000

  public var count: Int { entries.count }

  public func title(_ item: UInt32) -> String? {
    guard let title = entries[item]?.title, !title.isEmpty else { return nil }
    return title
  }

  public func contains(_ item: UInt32) -> Bool { entries[item] != nil }

  /// - Parameter path: the category path, `Kitchen > Knives`; empty where there is none.
  public mutating func set(_ item: UInt32, title: String, path: String, isAvailable: Bool) {
    var category: Int32 = -1
    if !path.isEmpty {
      if let known = pathIndex[path] {
        category = known
      } else if paths.count < Catalogue.maximumCategories {
        category = Int32(paths.count)
        paths.append(path)
        pathIndex[path] = category
      }
    }
    entries[item] = Entry(title: title, category: category, isAvailable: isAvailable)
    cached = nil
  }

  /// - Returns: whether it was there.
  public mutating func remove(_ item: UInt32) -> Bool {
    cached = nil
    return entries.removeValue(forKey: item) != nil
  }

  /// What a model needs of it, unchanged between changes.
  public mutating func seal() -> CatalogueSeal {
    if let cached { return cached }
    var seal = CatalogueSeal(paths: paths, category: [], unavailable: [])
    let limit = (entries.keys.max().map { Int($0) + 1 }) ?? 0
    seal.category = [Int32](repeating: -1, count: limit)
    for (item, entry) in entries {
      seal.category[Int(item)] = entry.category
      if !entry.isAvailable { seal.unavailable.insert(item) }
    }
    cached = seal
    return seal
  }
}

public struct CatalogueSeal: Sendable {
  public var paths: [String]
  /// Per dense item id: index into `paths`, -1 = none.
  public var category: [Int32]
  public var unavailable: Set<UInt32>
}

extension Engine {
  /// Takes a record of the catalogue topic.
  public mutating func updateCatalogue(
    item key: UnsafeRawBufferPointer, title: String, path: String, isAvailable: Bool
  ) {
    if let known = interactions.items.find(key), catalogue.contains(known) {
      catalogue.set(known, title: title, path: path, isAvailable: isAvailable)
    } else {
      let item = interactions.holdItem(key)
      catalogue.set(item, title: title, path: path, isAvailable: isAvailable)
    }
  }

  /// A null value on the catalogue topic.
  public mutating func removeFromCatalogue(item key: UnsafeRawBufferPointer) {
    guard let item = interactions.items.find(key) else { return }
    if catalogue.remove(item) { interactions.dropItem(item) }
  }

  public func title(of key: UnsafeRawBufferPointer) -> String? {
    interactions.items.find(key).flatMap { catalogue.title($0) }
  }
}
