// JSON bytes to event values, a whole batch at a time. simdjson finds the structure and checks the
// UTF-8 (its stage 1); the walk over that structure is in walk.h. A batch owns every byte its
// events point at, so it may be decoded on one thread and read on another.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// Bytes of a batch's arena; `count` 0 = absent.
typedef struct affinity_text {
  const uint8_t *_Nullable start;
  size_t count;
} affinity_text;

typedef struct affinity_item {
  affinity_text id_text;
  int64_t quantity; // >= 1
  double price;     // >= 0, finite; 0 where absent
  uint8_t has_price;
} affinity_item;

typedef struct affinity_event {
  int64_t time;    // ms since 1970
  int64_t ordered; // ms since 1970
  double value;
  affinity_text id, user, session, order, recommendation, currency;
  const affinity_item *_Nullable items;
  uint32_t item_count;
  uint8_t type; // place in the list of types
  uint8_t has_ordered, has_value;
  uint8_t consent;
} affinity_event;

enum affinity_kind { AFFINITY_EVENT = 0, AFFINITY_UNKNOWN_TYPE = 1, AFFINITY_NULL = 2, AFFINITY_REJECTED = 3 };

/// What became of one message or line.
typedef struct affinity_outcome {
  const affinity_event *_Nullable event; // kind AFFINITY_EVENT
  size_t source_offset, source_count;    // place in the decoded region; offset 0 for a single message
  affinity_text name;                    // unknown type: its name; rejected: the faulty number or time
  size_t at;                             // rejected: where in the message
  int64_t bound;                         // rejected: the number the message speaks of (a bound or a count);
                                         // unknown type: its time, -1 where none can be read
  uint32_t item;                         // rejected: place in `items`, or UINT32_MAX
  uint8_t kind, reason, field;
} affinity_outcome;

typedef struct affinity_limits {
  size_t max_message_bytes;
  uint32_t max_items;
  uint32_t max_id_bytes;
} affinity_limits;

typedef struct affinity_batch {
  affinity_outcome *_Nonnull outcomes;
  size_t count;
  void *_Nonnull inside;
} affinity_batch;

enum affinity_format { AFFINITY_JSON = 0, AFFINITY_CLOUDEVENT = 1, AFFINITY_CLOUDEVENT_BATCH = 2, AFFINITY_UNSUPPORTED = 3 };

affinity_batch *_Nonnull affinity_batch_create(void);
void affinity_batch_destroy(affinity_batch *_Nonnull);
/// Forgets all outcomes and messages taken; memory of ordinary size is kept for the next use.
void affinity_batch_reset(affinity_batch *_Nonnull);
/// Bytes held from the allocator.
size_t affinity_batch_bytes(const affinity_batch *_Nonnull);

/// Takes one message; the bytes are copied. `value` NULL is a null value. Its outcome, appended, is void until
/// `affinity_batch_settle`: messages are decoded many at a time.
void affinity_batch_add(affinity_batch *_Nonnull, const uint8_t *_Nullable value, size_t count,
                        int format, const affinity_limits *_Nonnull);
/// Decodes what was taken; all outcomes are there.
void affinity_batch_settle(affinity_batch *_Nonnull, const affinity_limits *_Nonnull);

/// Decodes whole lines from the front of `region`, up to about `budget` bytes (at least one line),
/// and appends an outcome per line. Without `final` a last line that lacks its newline is left.
/// Returns the bytes consumed.
size_t affinity_batch_decode_lines(affinity_batch *_Nonnull, const uint8_t *_Nonnull region, size_t count,
                                   size_t budget, int final, const affinity_limits *_Nonnull);

/// Reads a content-type header's value (affinity_format).
int affinity_content_type(const uint8_t *_Nullable value, size_t count);
int affinity_valid_utf8(const uint8_t *_Nullable value, size_t count);

#ifdef __cplusplus
}
#endif
