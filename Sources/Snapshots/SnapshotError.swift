// What can be wrong with one snapshot, and what ends an operation on the folder.

/// Why a file is not a snapshot to start from.
public enum SnapshotFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// `place`: file, header, table or a section's name.
  case damaged(place: String, reason: String)
  /// Written by a later version of the program.
  case newerFormat(version: Int)
  /// Encrypted with a key that was not given.
  case keyMissing(id: String)
  /// The disk could not read it.
  case unreadable(DiskError)

  public var description: String {
    switch self {
    case .damaged(let place, let reason): "\(place): \(reason)"
    case .newerFormat(let version):
      "format version \(version); this program reads \(SnapshotFormat.version) at most"
    case .keyMissing(let id): "encrypted with key \(id), which was not given"
    case .unreadable(let error): "\(error)"
    }
  }
}

public enum SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Another daemon works in the folder (sysexits 73).
  case locked(folder: String, process: Int?)
  /// The newest snapshot cannot be read by this program or with these keys (78): going back to an
  /// older one would hide it.
  case refused(path: String, SnapshotFault)
  case disk(DiskError)
  /// A key that cannot be used (78).
  case invalidKey(String)
  /// The library refused to encrypt.
  case encryption(path: String)

  public var description: String {
    switch self {
    case .locked(let folder, let process):
      "\(folder) is in use by another affinityd"
        + (process.map { " (process \($0))" } ?? "") + ": stop it, or set state.directory"
    case .refused(let path, let fault): "\(path): \(fault)"
    case .disk(let error): "\(error)"
    case .invalidKey(let text): text
    case .encryption(let path): "\(path): libcrypto refused to encrypt"
    }
  }
}
