// Logs of other programs as JSON lines: an example of each kind of call, and what becomes of it.
import Foundation
import Importers
import Testing

@Suite struct JSONShapeTests {
  static func read(_ lines: String, _ shape: JSONShape) throws -> Imported {
    try withFile(lines) { path in try Imported(path) { try importJSON($0, shape, into: &$1) } }
  }

  @Test func segment() throws {
    let read = try Self.read(
      """
      {"type":"track","event":"Product Viewed","userId":"u1","messageId":"m1","timestamp":"2026-03-01T10:00:00Z","properties":{"product_id":"a","price":9.5,"currency":"EUR"}}
      {"type":"track","event":"Viewed Product","anonymousId":"v7","timestamp":"2026-03-01T10:00:01Z","properties":{"sku":"b"}}
      {"type":"track","event":"Product Added","userId":"u1","timestamp":"2026-03-01T10:00:02Z","properties":{"cart_id":"c","product_id":"a","quantity":2}}
      {"type":"track","event":"Order Completed","userId":"u1","timestamp":"2026-03-01T10:00:03Z","properties":{"order_id":50314,"currency":"EUR","products":[{"product_id":"a","quantity":2,"price":"9.5"},{"product_id":"b","price":3}]}}
      {"type":"track","event":"Order Refunded","userId":"u1","timestamp":"2026-03-02T10:00:00Z","properties":{"order_id":"50314"}}
      {"type":"track","event":"Order Refunded","userId":"u1","timestamp":"2026-03-02T10:00:01Z","properties":{"order_id":"50314","products":[{"product_id":"b"}]}}
      {"type":"track","event":"Order Refunded","userId":"u1","timestamp":"2026-03-02T10:00:00Z","properties":{"order_id":"1"}}
      {"type":"track","event":"Product Reviewed","userId":"u1","timestamp":"2026-03-03T10:00:00Z","properties":{"product_id":"a","rating":"4.5"}}
      {"type":"track","event":"Product List Viewed","userId":"u1","timestamp":"2026-03-03T10:00:01Z","properties":{"list_id":"l1","products":[{"product_id":"a"},{"product_id":"b"}]}}
      {"type":"track","event":"Coupon Entered","userId":"u1","timestamp":"2026-03-03T10:00:01Z"}
      {"type":"page","userId":"u1","timestamp":"2026-03-03T10:00:01Z"}
      {"type":"track","event":"Product Viewed","userId":"u1","properties":{"product_id":"a"}}
      {"type":"track","event":"Product Viewed","userId":"u1","timestamp":"2026-03-03T10:00:01Z","properties":{}}
      {"type":"track","event":"Product Viewed","timestamp":"2026-03-03T10:00:01Z","properties":{"product_id":"a"}}
      {"type":"track"
      [1]
      """, .segment)
    #expect(
      read.lines == [
        #"{"id":"m1","type":"view","time":"2026-03-01T10:00:00.000Z","user":"u1","items":[{"id":"a","price":9.5}],"currency":"EUR"}"#,
        #"{"type":"view","time":"2026-03-01T10:00:01.000Z","session":"v7/2026-03-01","items":[{"id":"b"}]}"#,
        #"{"type":"cart","time":"2026-03-01T10:00:02.000Z","user":"u1","items":[{"id":"a","quantity":2}]}"#,
        #"{"type":"purchase","time":"2026-03-01T10:00:03.000Z","user":"u1","order":"50314","items":[{"id":"a","quantity":2,"price":9.5},{"id":"b","price":3}],"currency":"EUR"}"#,
        #"{"type":"refund","time":"2026-03-02T10:00:00.000Z","user":"u1","order":"50314","items":[{"id":"a","quantity":2,"price":9.5},{"id":"b","price":3}],"ordered":"2026-03-01T10:00:03.000Z"}"#,
        #"{"type":"refund","time":"2026-03-02T10:00:01.000Z","user":"u1","order":"50314","items":[{"id":"b"}],"ordered":"2026-03-01T10:00:03.000Z"}"#,
        #"{"type":"rating","time":"2026-03-03T10:00:00.000Z","user":"u1","items":[{"id":"a"}],"value":4.5}"#,
        #"{"type":"impression","time":"2026-03-03T10:00:01.000Z","user":"u1","items":[{"id":"a"},{"id":"b"}],"recommendation":"l1"}"#,
      ])
    #expect(
      read.rejects == [
        "refund_without_purchase": 1, "not_an_item_event": 2, "bad_time": 1, "missing_item": 1,
        "missing_user": 1, "malformed": 2,
      ])
  }

  @Test func ga4() throws {
    let read = try Self.read(
      """
      {"event_name":"view_item","event_timestamp":"1772360130123456","user_pseudo_id":"p.1","event_params":[{"key":"ga_session_id","value":{"int_value":"1772360000"}}],"items":[{"item_id":"a","price":9.5,"quantity":null}]}
      {"event_name":"purchase","event_timestamp":1772360140000000,"user_id":"u1","user_pseudo_id":"p.1","event_params":[{"key":"ga_session_id","value":{"int_value":"1772360000"}},{"key":"currency","value":{"string_value":"EUR"}}],"ecommerce":{"transaction_id":"T1"},"items":[{"item_id":"(not set)","item_name":"Lamp","quantity":2}]}
      {"client_id":"c.9","user_id":"u2","timestamp_micros":1772360150000000,"events":[{"name":"add_to_cart","params":{"currency":"EUR","value":3,"items":[{"item_id":"b","quantity":1,"price":3}]}},{"name":"page_view","params":{}},{"name":"refund","params":{"transaction_id":"T1"}}]}
      """, .ga4)
    #expect(
      read.lines == [
        #"{"type":"view","time":"2026-03-01T10:15:30.123Z","session":"p.1.1772360000","items":[{"id":"a","price":9.5}]}"#,
        #"{"type":"purchase","time":"2026-03-01T10:15:40.000Z","user":"u1","session":"p.1.1772360000","order":"T1","items":[{"id":"Lamp","quantity":2}],"currency":"EUR"}"#,
        #"{"type":"cart","time":"2026-03-01T10:15:50.000Z","user":"u2","items":[{"id":"b","price":3}],"currency":"EUR"}"#,
        #"{"type":"refund","time":"2026-03-01T10:15:50.000Z","user":"u2","order":"T1","items":[{"id":"Lamp","quantity":2}],"ordered":"2026-03-01T10:15:40.000Z"}"#,
      ])
    #expect(read.rejects == ["not_an_item_event": 1])
  }

  @Test func googleRetail() throws {
    let read = try Self.read(
      """
      {"eventType":"detail-page-view","visitorId":"v1","sessionId":"s1","eventTime":"2026-03-01T10:00:00Z","productDetails":[{"product":{"id":"a"}}]}
      {"eventType":"purchase-complete","visitorId":"v1","userInfo":{"userId":"u1"},"eventTime":"2026-03-01T10:00:01Z","productDetails":[{"product":{"name":"projects/p/locations/global/catalogs/c/branches/0/products/b","priceInfo":{"price":4}},"quantity":3}],"purchaseTransaction":{"id":"T1","revenue":12,"currencyCode":"USD"}}
      {"event_type":"add-to-cart","visitor_id":"v1","event_time":"2026-03-01T10:00:02Z","product_details":[{"product":{"id":"a"},"quantity":1}]}
      {"eventType":"home-page-view","visitorId":"v1","eventTime":"2026-03-01T10:00:00Z"}
      {"eventType":"add-to-cart","visitorId":"v1","eventTime":"2026-03-01T10:00:00Z","productDetails":[{"product":{"id":"a"},"quantity":0}]}
      """, .googleRetail)
    #expect(
      read.lines == [
        #"{"type":"view","time":"2026-03-01T10:00:00.000Z","session":"s1","items":[{"id":"a"}]}"#,
        #"{"type":"purchase","time":"2026-03-01T10:00:01.000Z","user":"u1","order":"T1","items":[{"id":"b","quantity":3,"price":4}],"currency":"USD"}"#,
        #"{"type":"cart","time":"2026-03-01T10:00:02.000Z","session":"v1/2026-03-01","items":[{"id":"a"}]}"#,
      ])
    #expect(read.rejects == ["not_an_item_event": 1, "non_positive_quantity": 1])
  }

  @Test func personalize() throws {
    let read = try Self.read(
      #"""
      {"trackingId":"t","userId":"u1","sessionId":"s1","eventList":[{"eventType":"View","sentAt":1772360130,"eventId":"e1","itemId":"a","recommendationId":"r1"},{"eventType":"Purchase","sentAt":1772360140,"itemId":"a","properties":"{\"orderId\":\"o1\",\"price\":2.5}"},{"eventType":"Purchase","sentAt":1772360140,"itemId":"b","properties":"{\"orderId\":\"o1\",\"quantity\":2}"},{"eventType":"Yodel","sentAt":1,"itemId":"b"}]}
      """#, .personalize)
    #expect(
      read.lines == [
        #"{"id":"e1","type":"view","time":"2026-03-01T10:15:30.000Z","user":"u1","session":"s1","items":[{"id":"a"}],"recommendation":"r1"}"#,
        #"{"type":"purchase","time":"2026-03-01T10:15:40.000Z","user":"u1","session":"s1","order":"o1","items":[{"id":"a","price":2.5},{"id":"b","quantity":2}]}"#,
      ])
    #expect(read.rejects == ["unknown_type": 1])
  }

  @Test func personalizeDataSet() throws {
    let text =
      "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nu1,a,1772360130,View\nu1,b,1772360131,Purchase\n"
    let read = try withFile(text) { path in
      try Imported(path) { try importCSV($0, .personalize(hasType: true), into: &$1) }
    }
    #expect(
      read.lines == [
        #"{"type":"view","time":"2026-03-01T10:15:30.000Z","user":"u1","items":[{"id":"a"}]}"#,
        #"{"type":"purchase","time":"2026-03-01T10:15:31.000Z","user":"u1","items":[{"id":"b"}]}"#,
      ])
  }
}
