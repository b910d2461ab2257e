// A folder that is to be there.
import Glibc

public enum Folders {
  /// Makes the folder and those it lies in, where they are missing.
  public static func create(_ path: String) throws(FileError) {
    var place = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      place += (place.isEmpty || place.hasSuffix("/") ? "" : "/") + part
      if mkdir(place, 0o777) != 0 && errno != EEXIST {
        throw FileError(path: place, action: "create", code: errno)
      }
    }
    var info = stat()
    if stat(path, &info) == 0 && info.st_mode & S_IFMT != S_IFDIR {
      throw FileError(path: path, action: "create", code: ENOTDIR)
    }
  }
}
