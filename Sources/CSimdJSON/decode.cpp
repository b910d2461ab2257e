// Batches: copies messages or lines into the arena, lets simdjson index them, walks each one and notes its outcome.
//
// Both are indexed a window at a time, messages with a newline behind each. A newline cannot stand inside a JSON
// string, and simdjson reports one that does; so where a window is indexed without error every message begins
// outside a string and its part of the index is what indexing it alone gives. Where there is an error the window's
// messages are indexed one by one.
#include "CSimdJSON.h"
#include "walk.h"
#include <memory>
#include <simdjson.h>

using namespace affinity;

namespace {

constexpr size_t window_bytes = 32 << 10;
constexpr size_t kept_index = size_t(1) << 20; // messages up to this size keep their index memory

struct Inside {
  Arena arena;
  std::vector<affinity_outcome> outcomes;
  /// Messages that stand in the window and are not indexed yet.
  struct Waiting {
    size_t outcome;
    uint32_t begin, count;
  };
  std::vector<Waiting> waiting;
  uint8_t *window = nullptr; // null: no message waits
  uint32_t filled = 0;
  Arena::Mark before; // the arena without the window
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
  size_t capacity = 0;
  std::vector<uint64_t> deep;
  Excerpt excerpt;
  KeyOrder event_keys, item_keys, envelope_keys;

  /// Frees what a rejected message took, but for the excerpt its message will show.
  void reject(const Arena::Mark &mark, affinity_outcome &o) {
    if (o.kind != AFFINITY_REJECTED) return;
    arena.rewind(mark);
    if (excerpt.count == 0) return;
    uint8_t *kept = arena.allocate(excerpt.count);
    std::memcpy(kept, excerpt.text, excerpt.count);
    o.name = affinity_text{kept, excerpt.count};
  }

  /// False where `text[0, count)` is not even a sequence of tokens.
  simdjson::error_code index(const uint8_t *text, size_t count) {
    if (count > capacity) {
      const size_t room = std::max(count, 2 * window_bytes);
      if (parser == nullptr) {
        const auto error = simdjson::get_active_implementation()->create_dom_parser_implementation(room, 1, parser);
        if (error != simdjson::SUCCESS) return error;
      } else {
        const auto error = parser->set_capacity(room);
        if (error != simdjson::SUCCESS) return error;
      }
      capacity = room;
    }
    return parser->stage1(text, count, simdjson::stage1_mode::regular);
  }
};

Inside &inside(affinity_batch *b) { return *static_cast<Inside *>(b->inside); }

/// Publishes the outcomes' place, which moves as they grow.
void refresh(affinity_batch *b) {
  b->outcomes = inside(b).outcomes.data();
  b->count = inside(b).outcomes.size();
}

affinity_outcome blank(size_t offset, size_t count) {
  affinity_outcome o;
  o.event = nullptr;
  o.source_offset = offset;
  o.source_count = count;
  o.name = affinity_text{nullptr, 0};
  o.at = 0;
  o.bound = 0;
  o.item = UINT32_MAX;
  o.kind = AFFINITY_REJECTED;
  o.reason = empty;
  o.field = no_field;
  return o;
}

bool is_blank(const uint8_t *text, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r') return false;
  }
  return true;
}

/// What is wrong with text that simdjson could not index.
void explain_index_error(affinity_outcome &o, const uint8_t *text, size_t count) {
  o.kind = AFFINITY_REJECTED;
  o.at = 0;
  if (is_blank(text, count)) {
    o.reason = empty;
  } else if (!simdjson::validate_utf8(reinterpret_cast<const char *>(text), count)) {
    o.reason = invalid_utf8;
  } else {
    o.reason = malformed_json;
  }
}

void decide(Walk &w, affinity_event *event, uint32_t p) {
  affinity_outcome &o = w.out;
  if (w.type_twice != UINT32_MAX) {
    w.excerpt.count = 0;
    o.reason = duplicate_key;
    o.field = f_type;
    o.item = UINT32_MAX;
    o.at = w.type_twice - w.begin;
    return;
  }
  if (w.type_given && !w.type_known) {
    o.kind = AFFINITY_UNKNOWN_TYPE;
    o.name = w.type_name;
    o.bound = w.time_readable ? event->time : -1;
    return;
  }
  if (!w.faulty) w.check_presence(p);
  if (w.faulty) return;
  o.kind = AFFINITY_EVENT;
  o.event = event;
}

affinity_event *new_event(Arena &arena) {
  auto *event = reinterpret_cast<affinity_event *>(arena.allocate(sizeof(affinity_event)));
  std::memset(event, 0, sizeof(affinity_event));
  event->type = other;
  event->consent = 1;
  return event;
}

/// Walks the event at text[begin, limit), whose structure begins at `next`; returns where the walk
/// ended in the index.
const uint32_t *walk_event(Inside &in, uint8_t *text, const uint32_t *next, uint32_t begin, uint32_t limit,
                           const affinity_limits &limits, affinity_outcome &o) {
  affinity_event *event = new_event(in.arena);
  Walk w{text, next, begin, limit, limits, in.arena, o, event, in.deep, in.excerpt, in.event_keys, in.item_keys};
  const uint32_t p = w.take();
  if (p == Walk::none) return w.next;
  bool good;
  if (text[p] == '{') {
    good = w.read_event(p);
  } else {
    w.fault(not_an_object, no_field, p);
    good = w.skip(p);
  }
  if (good && !w.at_end()) good = w.broken(*w.next);
  if (good) {
    decide(w, event, p);
  } else {
    o.reason = malformed_json;
    o.field = no_field;
    o.item = UINT32_MAX;
    in.excerpt.count = 0;
    o.at = w.break_at - begin;
  }
  return w.next;
}

void decode_indexed_alone(Inside &in, uint8_t *text, size_t count, const affinity_limits &limits, affinity_outcome &o) {
  if (in.index(text, count) != simdjson::SUCCESS) {
    explain_index_error(o, text, count);
    return;
  }
  walk_event(in, text, in.parser->structural_indexes.get(), 0, uint32_t(count), limits, o);
}

/// Decodes the messages of the window.
void settle(Inside &in, const affinity_limits &limits) {
  if (in.window == nullptr) return;
  uint8_t *text = in.window;
  in.arena.trim(text, in.filled);
  // A lone one is indexed below.
  const bool alone = in.waiting.size() == 1;
  const bool indexed = !alone && in.index(text, in.filled) == simdjson::SUCCESS;
  const uint32_t *next = indexed ? in.parser->structural_indexes.get() : nullptr;
  for (const Inside::Waiting &one : in.waiting) {
    affinity_outcome &o = in.outcomes[one.outcome];
    const Arena::Mark mark = alone ? in.before : in.arena.mark();
    const uint32_t end = one.begin + one.count;
    in.excerpt.count = 0;
    if (indexed) {
      while (*next < one.begin) next++; // behind a fault
      if (*next < end) next = walk_event(in, text, next, one.begin, end, limits, o);
    } else {
      decode_indexed_alone(in, text + one.begin, one.count, limits, o);
    }
    in.reject(mark, o);
  }
  in.waiting.clear();
  in.window = nullptr;
}

/// RFC 4648 base64 with padding, in place. False: it is none.
bool decode_base64(uint8_t *text, size_t count, size_t &decoded) {
  if (count % 4 != 0) return false;
  const auto value = [](uint8_t c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  size_t to = 0;
  for (size_t i = 0; i < count; i += 4) {
    const bool last = i + 4 == count;
    const int pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
    const int a = value(text[i]), b = value(text[i + 1]);
    const int c = pad == 2 ? 0 : value(text[i + 2]), d = pad > 0 ? 0 : value(text[i + 3]);
    if ((a | b | c | d) < 0) return false;
    const uint32_t word = uint32_t(a) << 18 | uint32_t(b) << 12 | uint32_t(c) << 6 | uint32_t(d);
    text[to++] = uint8_t(word >> 16);
    if (pad < 2) text[to++] = uint8_t(word >> 8);
    if (pad < 1) text[to++] = uint8_t(word);
  }
  decoded = to;
  return true;
}

/// A CloudEvent in structured mode: the event is its `data`, or its `data_base64` decoded. The
/// envelope's own id, type and time are not ours.
void decode_cloudevent(Inside &in, uint8_t *text, size_t count, const affinity_limits &limits, affinity_outcome &o) {
  if (in.index(text, count) != simdjson::SUCCESS) {
    explain_index_error(o, text, count);
    return;
  }
  affinity_event *event = new_event(in.arena);
  Walk w{text, in.parser->structural_indexes.get(), 0, uint32_t(count), limits, in.arena, o, event, in.deep, in.excerpt, in.event_keys, in.item_keys};
  const uint32_t p = w.take();
  if (p == Walk::none) return;
  uint32_t data = Walk::none;
  affinity_text encoded{nullptr, 0};
  bool has_encoded = false, json = true;
  bool good;
  if (text[p] != '{') {
    w.fault(not_an_object, no_field, p);
    good = w.skip(p);
  } else {
    unsigned seen = 0;
    const auto field_of = [](const uint8_t *key, size_t n) {
      const auto is = [&](const char *name) { return n == std::strlen(name) && std::memcmp(key, name, n) == 0; };
      return is("data") ? f_data : is("data_base64") ? f_data_base64 : is("datacontenttype") ? f_datacontenttype : no_field;
    };
    good = w.object(p, in.envelope_keys, field_of, [&](Field field, uint32_t place, uint32_t v) {
      if (field == no_field) return w.skip(v);
      const bool again = (seen & 1u << field) != 0;
      seen |= 1u << field;
      if (!again && w.is_null(v)) return w.skip_scalar(v);
      if (again || (field != f_datacontenttype && (data != Walk::none || has_encoded))) {
        w.fault(duplicate_key, field, place);
        return w.skip(v);
      }
      size_t token = 0;
      if (field == f_data) {
        data = v;
        if (text[v] == '{') return w.read_event(v);
        w.fault(not_an_object, field, v);
        return w.skip(v);
      }
      if (text[v] != '"') return w.wrong(v, field);
      affinity_text s{nullptr, 0};
      if (!w.string(v, field, s, token)) return false;
      if (field == f_data_base64) {
        encoded = s;
        has_encoded = true;
      } else if (affinity_content_type(s.start, s.count) != AFFINITY_JSON) {
        json = false;
        w.fault(unsupported_content_type, field, v);
      }
      return true;
    });
  }
  if (good && !w.at_end()) good = w.broken(*w.next);
  if (!good) {
    o.reason = malformed_json;
    o.field = no_field;
    o.item = UINT32_MAX;
    in.excerpt.count = 0;
    o.at = w.break_at;
  } else if (!json) {
    in.excerpt.count = 0;
    o.reason = unsupported_content_type;
    o.field = f_datacontenttype;
  } else if (data == Walk::none && !has_encoded) {
    w.fault(missing_data, f_data, p);
  } else if (has_encoded && !w.faulty) {
    auto *start = const_cast<uint8_t *>(encoded.start);
    size_t decoded = 0;
    if (!decode_base64(start, encoded.count, decoded)) {
      w.fault(invalid_base64, f_data_base64, 0);
    } else {
      start[decoded] = ' ';
      decode_indexed_alone(in, start, decoded, limits, o);
      return;
    }
  } else {
    decide(w, event, data == Walk::none ? p : data);
  }
}

} // namespace

extern "C" {

affinity_batch *affinity_batch_create(void) {
  auto *b = new affinity_batch;
  b->inside = new Inside;
  inside(b).outcomes.reserve(1024);
  refresh(b);
  return b;
}

void affinity_batch_destroy(affinity_batch *b) {
  delete &inside(b);
  delete b;
}

void affinity_batch_reset(affinity_batch *b) {
  Inside &in = inside(b);
  in.arena.reset();
  in.outcomes.clear();
  in.waiting.clear();
  in.window = nullptr;
  if (in.capacity > kept_index) {
    in.parser.reset();
    in.capacity = 0;
  }
  if (in.deep.capacity() * 8 > kept_index) std::vector<uint64_t>().swap(in.deep);
  refresh(b);
}

size_t affinity_batch_bytes(const affinity_batch *b) {
  const Inside &in = *static_cast<const Inside *>(b->inside);
  return in.arena.bytes() + in.outcomes.capacity() * sizeof(affinity_outcome) + in.capacity * 4 + in.deep.capacity() * 8;
}

void affinity_batch_add(affinity_batch *b, const uint8_t *value, size_t count, int format, const affinity_limits *limits) {
  Inside &in = inside(b);
  in.outcomes.push_back(blank(0, count));
  if (format == AFFINITY_JSON && value != nullptr && count > 0 && count < window_bytes && count <= limits->max_message_bytes) {
    if (in.window != nullptr && in.filled + count + 1 > window_bytes) settle(in, *limits);
    if (in.window == nullptr) {
      in.before = in.arena.mark();
      in.window = in.arena.allocate(window_bytes);
      in.filled = 0;
    }
    uint8_t *text = in.window + in.filled;
    std::memcpy(text, value, count);
    text[count] = '\n';
    in.waiting.push_back({in.outcomes.size() - 1, in.filled, uint32_t(count)});
    in.filled += uint32_t(count) + 1;
    return;
  }
  affinity_outcome &o = in.outcomes.back();
  if (value == nullptr) {
    o.kind = AFFINITY_NULL;
    return;
  }
  if (count == 0) return;
  if (count > limits->max_message_bytes || count >= UINT32_MAX - 64) {
    o.reason = too_large;
    o.bound = int64_t(limits->max_message_bytes);
    return;
  }
  if (format >= AFFINITY_CLOUDEVENT_BATCH) {
    o.reason = format == AFFINITY_CLOUDEVENT_BATCH ? cloudevents_batch : unsupported_content_type;
    return;
  }
  settle(in, *limits);
  in.excerpt.count = 0;
  const Arena::Mark mark = in.arena.mark();
  uint8_t *text = in.arena.allocate(count + 1);
  std::memcpy(text, value, count);
  text[count] = ' ';
  if (format == AFFINITY_JSON) {
    decode_indexed_alone(in, text, count, *limits, o);
  } else {
    decode_cloudevent(in, text, count, *limits, o);
  }
  in.reject(mark, o);
}

void affinity_batch_settle(affinity_batch *b, const affinity_limits *limits) {
  settle(inside(b), *limits);
  refresh(b);
}

size_t affinity_batch_decode_lines(affinity_batch *b, const uint8_t *region, size_t count, size_t budget, int final, const affinity_limits *limits) {
  Inside &in = inside(b);
  settle(in, *limits);
  size_t done = 0;
  do {
    // A window of whole lines: as many as fit, or one that is longer.
    const size_t rest = count - done;
    const uint8_t *from = region + done;
    size_t window = std::min(rest, window_bytes);
    if (window < rest || !final) {
      const void *cut = memrchr(from, '\n', window);
      if (cut == nullptr) cut = memchr(from + window, '\n', rest - window);
      if (cut != nullptr) {
        window = size_t(static_cast<const uint8_t *>(cut) - from) + 1;
      } else if (final) {
        window = rest;
      } else {
        break;
      }
    }
    if (window == 0) break;
    if (window > limits->max_message_bytes + 1 && window > window_bytes) {
      // One line beyond the bound: not copied.
      const size_t length = window - (from[window - 1] == '\n' ? 1 : 0);
      affinity_outcome o = blank(done, length);
      o.reason = too_large;
      o.bound = int64_t(limits->max_message_bytes);
      in.outcomes.push_back(o);
      done += window;
      continue;
    }
    uint8_t *text = in.arena.allocate(window + 1);
    std::memcpy(text, from, window);
    text[window] = ' ';
    const bool indexed = in.index(text, window) == simdjson::SUCCESS;
    const uint32_t *next = indexed ? in.parser->structural_indexes.get() : nullptr;
    size_t line = 0;
    while (line < window) {
      const void *newline = memchr(text + line, '\n', window - line);
      const size_t end = newline == nullptr ? window : size_t(static_cast<const uint8_t *>(newline) - text);
      in.outcomes.push_back(blank(done + line, end - line));
      affinity_outcome &o = in.outcomes.back();
      const Arena::Mark mark = in.arena.mark();
      in.excerpt.count = 0;
      if (end - line > limits->max_message_bytes) {
        o.reason = too_large;
        o.bound = int64_t(limits->max_message_bytes);
      } else if (indexed) {
        if (*next < end) next = walk_event(in, text, next, uint32_t(line), uint32_t(end), *limits, o);
      } else if (end > line) {
        decode_indexed_alone(in, text + line, end - line, *limits, o);
      }
      if (indexed) {
        while (*next < end) next++; // behind a fault
      }
      in.reject(mark, o);
      line = end + 1;
    }
    done += window;
  } while (done < count && done < budget);
  refresh(b);
  return done;
}

int affinity_content_type(const uint8_t *value, size_t count) {
  const auto lower = [](uint8_t c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : char(c); };
  const auto space = [](uint8_t c) { return c == ' ' || c == '\t'; };
  size_t at = 0;
  while (at < count && space(value[at])) at++;
  char media[96];
  size_t n = 0;
  while (at < count && value[at] != ';') {
    if (n == sizeof media) return AFFINITY_UNSUPPORTED;
    media[n++] = lower(value[at++]);
  }
  while (n > 0 && space(uint8_t(media[n - 1]))) n--;
  const auto is = [&](const char *name) { return n == std::strlen(name) && std::memcmp(media, name, n) == 0; };
  int format;
  if (n == 0 || is("application/json") || is("text/json") || is("application/x-ndjson") || is("application/jsonlines")) {
    format = AFFINITY_JSON;
  } else if (is("application/cloudevents+json")) {
    format = AFFINITY_CLOUDEVENT;
  } else if (n >= 29 && std::memcmp(media, "application/cloudevents-batch", 29) == 0) {
    return AFFINITY_CLOUDEVENT_BATCH;
  } else if (n >= 23 && std::memcmp(media, "application/cloudevents", 23) == 0) {
    return AFFINITY_UNSUPPORTED;
  } else if (n > 5 && std::memcmp(media + n - 5, "+json", 5) == 0) {
    format = AFFINITY_JSON;
  } else {
    return AFFINITY_UNSUPPORTED;
  }
  // Parameters: a charset other than UTF-8 (or its part ASCII) is not ours.
  while (at < count) {
    at++; // the semicolon
    char text[64];
    size_t m = 0;
    while (at < count && value[at] != ';') {
      if (!space(value[at]) && value[at] != '"' && m < sizeof text) text[m++] = lower(value[at]);
      at++;
    }
    if (m >= 8 && std::memcmp(text, "charset=", 8) == 0) {
      const bool known = (m == 13 && std::memcmp(text + 8, "utf-8", 5) == 0) || (m == 12 && std::memcmp(text + 8, "utf8", 4) == 0) ||
                         (m == 16 && std::memcmp(text + 8, "us-ascii", 8) == 0);
      if (!known) return AFFINITY_UNSUPPORTED;
    }
  }
  return format;
}

int affinity_valid_utf8(const uint8_t *value, size_t count) {
  return count == 0 || simdjson::validate_utf8(reinterpret_cast<const char *>(value), count);
}

} // extern "C"
