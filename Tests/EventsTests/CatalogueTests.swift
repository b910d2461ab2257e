import Events
import Sparse
import Testing

func catalogue(_ text: String?, key: String = "sku-1") -> CatalogueDecoded {
  Array(key.utf8).withUnsafeBytes { key in
    guard let text else { return CatalogueEntry.decode(key: key, value: .absent) }
    // One byte more, so that an empty text has an address.
    return Array((text + "\n").utf8).withUnsafeBytes {
      CatalogueEntry.decode(key: key, value: UnsafeRawBufferPointer(rebasing: $0.dropLast()))
    }
  }
}

@Suite struct CatalogueTests {
  @Test func allFields() {
    var want = CatalogueEntry(item: "sku-1")
    want.title = "Red mug"
    want.category = ["Kitchen", "Mugs"]
    want.brand = "Ardent"
    want.price = 9.99
    want.currency = "EUR"
    want.tags = ["red", "gift"]
    want.isAvailable = false
    want.attributes = #"{"size": ["S", 1]}"#
    #expect(
      catalogue(
        #"{"title":"Red mug","category":"Kitchen > Mugs","brand":"Ardent","price":9.99,"currency":"EUR","tags":["red","gift"],"available":false,"attributes":{"size": ["S", 1]},"other":[[]]}"#
      ) == .entry(want))
    #expect(catalogue(#"{"category":["A","B > C"]}"#).entry?.category == ["A", "B > C"])
    #expect(catalogue(#"{"title":null,"price":null,"tags":null}"#) == .entry(CatalogueEntry(item: "sku-1")))
    #expect(catalogue("{}") == .entry(CatalogueEntry(item: "sku-1")))
    #expect(catalogue(nil) == .gone(item: "sku-1"))
  }

  @Test func faultsHaveTheirReasons() {
    for (text, reason): (String, RejectReason) in [
      ("", .empty), ("{", .malformedJSON), ("[]", .notAnObject), (#"{"title":1}"#, .wrongTypeOfField),
      (#"{"title":"a","title":"b"}"#, .duplicateKey), (#"{"price":-1}"#, .priceInvalid),
      (#"{"price":1e999}"#, .priceInvalid), (#"{"price":"1"}"#, .wrongTypeOfField),
      (#"{"tags":"a"}"#, .wrongTypeOfField), (#"{"tags":[1]}"#, .wrongTypeOfField),
      (#"{"category":1}"#, .wrongTypeOfField), (#"{"available":"yes"}"#, .wrongTypeOfField),
      (String(repeating: "[", count: 100_000), .malformedJSON),
    ] {
      #expect(catalogue(text).reason == reason, "\(text.prefix(40))")
    }
    #expect(catalogue("{}", key: "").reason == .missingKey)
    #expect(catalogue(nil, key: "").reason == .missingKey)
    #expect(catalogue("{}", key: String(repeating: "x", count: 1025)).reason == .idTooLong)
  }

  /// The plain reader of JSON accepts what the twin accepts.
  @Test func plainReaderAgreesWithTheTwin() {
    let seed = UInt64(environment("AFFINITY_SEED") ?? 14)
    print("plain reader: seed \(seed)")
    var random = SplitMix(seed: seed)
    for round in 0..<20_000 {
      let bytes = Mutator.mutate(&random)
      let accepted = bytes.withUnsafeBytes { raw in
        do throws(JSON.Fault) {
          _ = try JSON(raw)
          return true
        } catch { return false }
      }
      let isUTF8 = String(validating: bytes, as: UTF8.self) != nil
      if accepted != (isUTF8 && TreeReader.read(bytes) != nil) {
        Issue.record("seed \(seed) round \(round): \(accepted): \(String(decoding: bytes, as: UTF8.self))")
      }
    }
  }
}

extension CatalogueDecoded {
  var entry: CatalogueEntry? { if case .entry(let entry) = self { entry } else { nil } }
  var reason: RejectReason? { if case .rejected(let r) = self { r.reason } else { nil } }
}

@Suite struct DeadLetterTests {
  @Test func headersAndLine() throws {
    let letter = DeadLetter(
      topic: "shop.events", partition: 3, offset: 8812, timestamp: 5, key: Array("u-42".utf8), value: [0xff, 0, 65],
      headers: [MessageHeader(key: "content-type", text: "application/json"), MessageHeader(key: "trace", value: nil)],
      rejection: Rejection(reason: .invalidUTF8, message: "bytes that are not UTF-8; event rejected"))
    let headers = letter.allHeaders(connector: "shop", task: "2")
    #expect(Array(headers.prefix(2)) == letter.headers)
    func header(_ key: String) -> String? {
      headers.last { $0.key == key }?.value.map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(header("__connect.errors.topic") == "shop.events")
    #expect(header("__connect.errors.partition") == "3")
    #expect(header("__connect.errors.offset") == "8812")
    #expect(header("__connect.errors.connector.name") == "shop")
    #expect(header("__connect.errors.task.id") == "2")
    #expect(header("__connect.errors.stage") == "VALUE_CONVERTER")
    #expect(header("__connect.errors.class.name") != nil)
    #expect(header("__connect.errors.exception.class.name") != nil)
    #expect(
      header("__connect.errors.exception.message")
        == "shop.events[3]@8812: bytes that are not UTF-8; event rejected")
    #expect(header("affinity.reason") == "invalid_utf8")

    var writer = ByteWriter()
    letter.append(to: &writer)
    let json = try JSON(writer.bytes)
    #expect(json["key"]?.string == "u-42")
    #expect(json["value"] == nil)
    #expect(json["value_base64"]?.string == "/wBB")
    #expect(json["reason"]?.string == "invalid_utf8")
    #expect(json["headers"]?.array?.count == headers.count)

    var null = letter
    null.key = nil
    null.value = nil
    writer.removeAll()
    null.append(to: &writer)
    let other = try JSON(writer.bytes)
    #expect(other["key"] == .null)
    #expect(other["value"] == .null)
  }

  @Test func base64() {
    for (bytes, text): ([UInt8], String) in [
      ([], ""), ([102], "Zg=="), ([102, 111], "Zm8="), ([102, 111, 111], "Zm9v"), ([0xfb, 0xff, 0xbf], "+/+/"),
    ] {
      var writer = ByteWriter()
      bytes.withUnsafeBytes { writer.append(base64: $0) }
      #expect(writer.string == text)
    }
  }
}
