// The walk over one message: reads the fields of an event from the structural characters simdjson
// has found (every { } [ ] : , and the first byte of every string and scalar outside strings), and
// checks the grammar of everything else, so that what is accepted is JSON (RFC 8259) throughout.
//
// Precedence, so that the reason does not depend on where the walk stopped: text that is no JSON;
// `type` given twice; an unknown type; the first fault in the order of the text; what is missing.
#pragma once
#include "CSimdJSON.h"
#include "arena.h"
#include "reasons.h"
#include "scalars.h"
#include <algorithm>

namespace affinity {

struct Excerpt {
  size_t count = 0;
  uint8_t text[40];
};

/// The keys of the last object of a kind, place by place: producers write their fields in one order,
/// so that one comparison usually tells which field it is.
struct KeyOrder {
  static constexpr size_t places = 16;
  struct Place {
    uint64_t word = ~uint64_t(0), mask = 0; // the key with its closing quote; never equal at first
    uint8_t field = 0;
  };
  Place place[places];
};

struct Walk {
  uint8_t *text;            // the message is text[0, limit), or a part of a larger indexed buffer
  const uint32_t *next;     // the next structural character's place in `text`
  uint32_t begin, limit;    // this message's range in `text`
  const affinity_limits &limits;
  Arena &arena;
  affinity_outcome &out;
  affinity_event *event;
  std::vector<uint64_t> &deep; // stack of skip(), one bit a level
  Excerpt &excerpt;            // the faulty number or time as it was written
  KeyOrder &event_keys, &item_keys;

  bool faulty = false;      // a fault has been noted in `out`
  bool type_given = false, type_known = false, time_given = false;
  bool time_readable = false; // given once, and a time
  uint32_t type_twice = UINT32_MAX; // where the second `type` is
  affinity_text type_name{nullptr, 0};

  // MARK: structure

  static constexpr uint32_t none = UINT32_MAX;

  /// The place of the next structural character, or `none` behind the last.
  uint32_t take() {
    const uint32_t p = *next;
    if (p >= limit) return none;
    next++;
    return p;
  }
  bool take(uint8_t wanted) {
    const uint32_t p = *next;
    if (p >= limit || text[p] != wanted) return false;
    next++;
    return true;
  }
  bool at_end() const { return *next >= limit; }

  /// Notes a fault unless there is one already. The walk goes on: malformed text comes first.
  void fault(Reason reason, Field field, uint32_t place, size_t token = 0, int64_t bound = 0) {
    if (faulty) return;
    faulty = true;
    out.reason = reason;
    out.field = field;
    out.at = place - begin;
    out.bound = bound;
    out.item = item;
    excerpt.count = std::min(token, sizeof excerpt.text);
    std::memcpy(excerpt.text, text + place, excerpt.count);
  }
  uint32_t item = none; // the place in `items` being read

  /// Where the malformed text was found, for the message.
  bool broken(uint32_t place) {
    break_at = std::min(place, limit);
    return false;
  }
  uint32_t break_at = 0;

  // MARK: values

  /// The scalar at `p`, unread. False: malformed.
  bool skip_scalar(uint32_t p) {
    const uint8_t *at = text + p;
    switch (*at) {
    case '"': return skip_string(at + 1) != nullptr || broken(p);
    case 't': return (short_word(at, 4) == word_of("true") && ends_scalar(at[4])) || broken(p);
    case 'n': return (short_word(at, 4) == word_of("null") && ends_scalar(at[4])) || broken(p);
    case 'f': return (short_word(at, 5) == word_of("false") && ends_scalar(at[5])) || broken(p);
    default: return read_number(at).end != nullptr || broken(p);
    }
  }

  /// The value at `p`, whatever it holds and however deep, unread.
  bool skip(uint32_t p) {
    if (p == none) return broken(p);
    if (text[p] != '{' && text[p] != '[') return skip_scalar(p);
    size_t depth = 0;
    uint64_t kinds = 0; // bit 0: whether the innermost container is an object
    deep.clear();
    const auto push = [&](bool object) {
      if (depth != 0 && depth % 64 == 0) deep.push_back(kinds);
      kinds = kinds << 1 | uint64_t(object);
      depth++;
    };
    const auto pop = [&] {
      depth--;
      kinds >>= 1;
      if (depth != 0 && depth % 64 == 0) {
        kinds = deep.back();
        deep.pop_back();
      }
    };
    bool key = false; // a key is due, not a value
    while (true) {
      if (key) {
        if (p == none || text[p] != '"' || skip_string(text + p + 1) == nullptr) return broken(p);
        if (!take(':')) return broken(*next);
        p = take();
        if (p == none) return broken(p);
        key = false;
      }
      bool done = true; // the value is complete
      if (text[p] == '{' || text[p] == '[') {
        const bool object = text[p] == '{';
        if (!take(object ? '}' : ']')) {
          push(object);
          key = object;
          p = take();
          if (p == none) return broken(p);
          done = false;
        }
      } else if (!skip_scalar(p)) {
        return false;
      }
      while (done) {
        if (depth == 0) return true;
        const bool object = kinds & 1;
        p = take();
        if (p == none) return broken(p);
        if (text[p] == ',') {
          key = object;
          p = take();
          if (p == none) return broken(p);
          done = false;
        } else if (text[p] == (object ? '}' : ']')) {
          pop();
        } else {
          return broken(p);
        }
      }
    }
  }

  bool is_null(uint32_t p) const { return text[p] == 'n'; }

  bool wrong(uint32_t p, Field field) {
    fault(wrong_type_of_field, field, p);
    return skip(p);
  }

  /// A string, unescaped in place. `token`: its bytes as written. False: malformed.
  bool string(uint32_t p, Field field, affinity_text &into, size_t &token) {
    const StringText s = read_string(text + p);
    if (s.after == nullptr) return broken(p);
    if (s.lone_surrogate) fault(invalid_utf8, field, p);
    into.start = s.start;
    into.count = s.count;
    token = size_t(s.after - (text + p));
    return true;
  }

  /// An identifier: a string, or an integer taken as its decimal text. Null and "" are absence.
  bool identifier(uint32_t p, Field field, affinity_text &into) {
    const uint8_t c = text[p];
    size_t token = 0;
    if (c == '"') {
      if (!string(p, field, into, token)) return false;
    } else if (c == '-' || uint8_t(c - '0') < 10) {
      const Number n = read_number(text + p);
      if (n.end == nullptr) return broken(p);
      if (!n.integer) {
        fault(wrong_type_of_field, field, p, size_t(n.end - n.start));
        return true;
      }
      const size_t zero = n.negative && n.start[1] == '0' ? 1 : 0; // -0 is 0
      into.start = n.start + zero;
      into.count = size_t(n.end - n.start) - zero;
    } else if (is_null(p)) {
      return skip_scalar(p);
    } else {
      return wrong(p, field);
    }
    if (into.count > limits.max_id_bytes) fault(id_too_long, field, p, 0, int64_t(into.count));
    return true;
  }

  bool number(uint32_t p, Field field, Number &n, bool &given) {
    given = false;
    const uint8_t c = text[p];
    if (c == '-' || uint8_t(c - '0') < 10) {
      n = read_number(text + p);
      given = true;
      return n.end != nullptr || broken(p);
    }
    if (is_null(p)) return skip_scalar(p);
    return wrong(p, field);
  }

  /// RFC 3339 or integer milliseconds.
  bool time(uint32_t p, Field field, int64_t &into, bool &given) {
    int64_t ms = 0;
    size_t token = 0;
    if (text[p] == '"') {
      affinity_text s{nullptr, 0};
      if (!string(p, field, s, token)) return false;
      given = true;
      if (!parse_time(s.start, s.count, ms)) {
        fault(time_invalid, field, p, token);
        return true;
      }
    } else {
      Number n;
      bool is_number = false;
      if (!number(p, field, n, is_number)) return false;
      if (!is_number) return true;
      given = true;
      token = size_t(n.end - n.start);
      const Whole whole = to_integer(n, ms);
      if (whole == Whole::fractional) {
        fault(time_invalid, field, p, token);
        return true;
      }
      if (whole == Whole::too_big) ms = -1;
    }
    if (ms < 0 || ms > latest_time) fault(time_out_of_range, field, p, token);
    into = ms;
    return true;
  }

  /// Goes through an object's keys; `p` is its opening brace. `field_of(key, count)` names a key's
  /// field; `member(field, place of key, place of value)` reads the value and returns false where
  /// it is malformed.
  template <class FieldOf, class Member>
  inline __attribute__((always_inline)) bool object(uint32_t p, KeyOrder &order, FieldOf field_of, Member member) {
    if (take('}')) return true;
    p = take();
    for (size_t i = 0;; i++) {
      if (p == none || text[p] != '"') return broken(p);
      KeyOrder::Place &expected = order.place[i % KeyOrder::places];
      Field field;
      if ((load8(text + p + 1) & expected.mask) == expected.word) {
        field = Field(expected.field);
      } else {
        const StringText key = read_string(text + p);
        if (key.after == nullptr) return broken(p);
        // A key with a lone surrogate is no key of ours.
        field = key.lone_surrogate ? no_field : field_of(key.start, key.count);
        if (field != no_field && key.count <= 7 && key.after == text + p + key.count + 2) {
          expected.mask = ~uint64_t(0) >> (8 * (7 - key.count));
          expected.word = load8(text + p + 1) & expected.mask;
          expected.field = field;
        }
      }
      // Two at a time: the index ends with two places behind the text, so next[1] can be read.
      const uint32_t colon = next[0], value = next[1];
      if (value >= limit || text[colon] != ':') return broken(colon);
      next += 2;
      if (!member(field, p, value)) return false;
      const uint32_t separator = next[0];
      if (separator >= limit) return broken(separator);
      if (text[separator] == '}') {
        next++;
        return true;
      }
      p = next[1];
      if (p >= limit || text[separator] != ',') return broken(separator);
      next += 2;
    }
  }

  // MARK: the event

  static Field event_field(const uint8_t *key, size_t count) {
    if (count <= 8) {
      switch (short_word(key, count)) {
      case word_of("id"): return f_id;
      case word_of("type"): return f_type;
      case word_of("time"): return f_time;
      case word_of("user"): return f_user;
      case word_of("items"): return f_items;
      case word_of("order"): return f_order;
      case word_of("value"): return f_value;
      case word_of("session"): return f_session;
      case word_of("consent"): return f_consent;
      case word_of("ordered"): return f_ordered;
      case word_of("currency"): return f_currency;
      default: return no_field;
      }
    }
    return count == 14 && std::memcmp(key, "recommendation", 14) == 0 ? f_recommendation : no_field;
  }

  static Field item_field(const uint8_t *key, size_t count) {
    const uint64_t word = count <= 8 ? short_word(key, count) : 0;
    return word == word_of("id") ? f_item_id : word == word_of("price") ? f_price : word == word_of("quantity") ? f_quantity : no_field;
  }

  static Type event_type(const affinity_text &name) {
    if (name.count <= 8 && name.count > 0) {
      switch (short_word(name.start, name.count)) {
      case word_of("view"): return view;
      case word_of("cart"): return cart;
      case word_of("uncart"): return uncart;
      case word_of("purchase"): return purchase;
      case word_of("refund"): return refund;
      case word_of("like"): return like;
      case word_of("rating"): return rating;
      case word_of("click"): return click;
      case word_of("erase"): return erase;
      default: return other;
      }
    }
    return name.count == 10 && std::memcmp(name.start, "impression", 10) == 0 ? impression : other;
  }

  bool read_item(uint32_t p, affinity_item &into) {
    into = affinity_item{{nullptr, 0}, 1, 0, 0};
    bool id_given = false;
    unsigned seen = 0;
    const bool good = object(p, item_keys, item_field, [&](Field field, uint32_t place, uint32_t v) {
      if (field == no_field) return skip(v);
      if (seen & 1u << field) {
        fault(duplicate_key, field, place);
        return skip(v);
      }
      seen |= 1u << field;
      if (field == f_item_id) {
        if (is_null(v)) return skip_scalar(v);
        id_given = true;
        const bool ok = identifier(v, field, into.id_text);
        if (ok && into.id_text.count == 0) fault(empty_id, field, v);
        return ok;
      }
      Number n;
      bool given = false;
      if (!number(v, field, n, given)) return false;
      if (!given) return true;
      const size_t token = size_t(n.end - n.start);
      if (field == f_quantity) {
        if (to_integer(n, into.quantity) != Whole::ok || into.quantity < 1 || into.quantity >= exact_integer) fault(quantity_invalid, field, v, token);
      } else {
        const double d = to_double(n);
        if (!(d >= 0 && d <= 1.7976931348623157e308)) fault(price_invalid, field, v, token);
        into.price = d + 0.0; // -0 becomes 0
        into.has_price = 1;
      }
      return true;
    });
    if (good && !id_given) fault(missing_item_id, f_item_id, p);
    return good;
  }

  bool read_items(uint32_t p) {
    if (is_null(p)) return skip_scalar(p);
    if (text[p] != '[') return wrong(p, f_items);
    if (take(']')) return true;
    // An item spans at least six structural characters with its comma; four is on the safe side.
    const size_t room = std::min<size_t>((limit - p) / 4 + 1, limits.max_items);
    auto *items = reinterpret_cast<affinity_item *>(arena.allocate(room * sizeof(affinity_item)));
    size_t stored = 0;
    int64_t count = 0;
    while (true) {
      const uint32_t v = take();
      if (v == none) return broken(v);
      item = uint32_t(count);
      bool good;
      if (text[v] != '{') {
        good = wrong(v, f_item);
      } else if (stored < room) {
        good = read_item(v, items[stored++]);
      } else {
        good = skip(v);
      }
      item = none;
      if (!good) return false;
      count++;
      const uint32_t c = take();
      if (c == none) return broken(c);
      if (text[c] == ']') break;
      if (text[c] != ',') return broken(c);
    }
    if (count > int64_t(limits.max_items)) fault(too_many_items, f_items, p, 0, count);
    arena.trim(reinterpret_cast<uint8_t *>(items), stored * sizeof(affinity_item));
    event->items = items;
    event->item_count = uint32_t(stored);
    return true;
  }

  /// The event whose opening brace is `p`. False: malformed.
  bool read_event(uint32_t p) {
    unsigned seen = 0;
    return object(p, event_keys, event_field, [&](Field field, uint32_t place, uint32_t v) {
      if (field == no_field) return skip(v);
      if (seen & 1u << field) {
        if (field == f_type) type_twice = place;
        if (field == f_time) time_readable = false;
        fault(duplicate_key, field, place);
        return skip(v);
      }
      seen |= 1u << field;
      switch (field) {
      case f_type: {
        size_t token = 0;
        if (is_null(v)) return skip_scalar(v);
        if (text[v] != '"') return wrong(v, field);
        if (!string(v, field, type_name, token)) return false;
        type_given = true;
        event->type = event_type(type_name);
        type_known = event->type != other;
        return true;
      }
      case f_time: {
        event->time = -1;
        const bool good = time(v, field, event->time, time_given);
        time_readable = time_given && event->time >= 0 && event->time <= latest_time;
        return good;
      }
      case f_ordered: {
        bool given = false;
        const bool good = time(v, field, event->ordered, given);
        event->has_ordered = given;
        return good;
      }
      case f_id: return identifier(v, field, event->id);
      case f_user: return identifier(v, field, event->user);
      case f_session: return identifier(v, field, event->session);
      case f_order: return identifier(v, field, event->order);
      case f_recommendation: return identifier(v, field, event->recommendation);
      case f_currency: return identifier(v, field, event->currency);
      case f_items: return read_items(v);
      case f_value: {
        Number n;
        bool given = false;
        if (!number(v, field, n, given)) return false;
        if (!given) return true;
        event->value = to_double(n) + 0.0;
        event->has_value = 1;
        if (!std::isfinite(event->value)) fault(value_invalid, field, v, size_t(n.end - n.start));
        return true;
      }
      default: // consent
        if (text[v] == 't' || text[v] == 'f') {
          event->consent = text[v] == 't';
          return skip_scalar(v);
        }
        return is_null(v) ? skip_scalar(v) : wrong(v, field);
      }
    });
  }

  /// What is missing, once the whole event has been read.
  void check_presence(uint32_t p) {
    if (!type_given) return fault(missing_type, f_type, p);
    if (!time_given) return fault(missing_time, f_time, p);
    const bool is_erase = event->type == erase;
    if (event->user.count == 0 && (is_erase || (event->session.count == 0 && event->order.count == 0))) return fault(missing_user, f_user, p);
    if (!is_erase && event->item_count == 0) fault(missing_items, f_items, p);
  }
};

} // namespace affinity
