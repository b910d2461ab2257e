// Why a message was rejected and which field it was about. The numbers are those of Swift's
// RejectReason and Field (Rejection.swift); a test holds the two lists together.
#pragma once
#include <cstdint>

namespace affinity {

enum Reason : uint8_t {
  empty = 0,
  malformed_json,
  invalid_utf8,
  too_large,
  not_an_object,
  duplicate_key,
  missing_type,
  missing_time,
  missing_user,
  missing_items,
  missing_item_id,
  wrong_type_of_field,
  empty_id,
  id_too_long,
  too_many_items,
  quantity_invalid,
  price_invalid,
  value_invalid,
  time_invalid,
  time_out_of_range,
  unsupported_content_type,
  cloudevents_batch,
  missing_data,
  invalid_base64,
};

enum Field : uint8_t {
  no_field = 0,
  f_id,
  f_type,
  f_time,
  f_user,
  f_session,
  f_order,
  f_items,
  f_currency,
  f_recommendation,
  f_value,
  f_consent,
  f_ordered,
  f_item,
  f_item_id,
  f_quantity,
  f_price,
  f_data,
  f_data_base64,
  f_datacontenttype,
};

enum Type : uint8_t { view = 0, cart, uncart, purchase, refund, like, rating, impression, click, erase, other };

} // namespace affinity
