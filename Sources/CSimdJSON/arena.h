// Bump allocation in chunks that never move, so that spans handed out stay good until reset.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

namespace affinity {

class Arena {
public:
  /// Readable bytes behind every allocation: loads may run past the end of a text.
  static constexpr size_t padding = 64;
  static constexpr size_t chunk_bytes = size_t(1) << 20;

  ~Arena() {
    for (Chunk &c : chunks) std::free(c.base);
  }

  /// `count` bytes at a multiple of 8, with padding behind them.
  uint8_t *allocate(size_t count) {
    const size_t need = (count + 7) & ~size_t(7);
    if (need > limit - used) next_chunk(need);
    uint8_t *at = base + used;
    used += need;
    return at;
  }

  /// Gives back the end of the latest allocation, which began at `from` and keeps `count` bytes.
  void trim(uint8_t *from, size_t count) { used = size_t(from - base) + ((count + 7) & ~size_t(7)); }

  struct Mark {
    size_t next;
    uint8_t *base;
    size_t used, limit;
  };
  Mark mark() const { return {next, base, used, limit}; }
  /// Frees all that was allocated since `m` was taken.
  void rewind(const Mark &m) {
    next = m.next;
    base = m.base;
    used = m.used;
    limit = m.limit;
  }

  /// Everything is free again. Chunks of ordinary size stay; larger ones go back to the system.
  void reset() {
    size_t kept = 0;
    for (Chunk &c : chunks) {
      if (c.count > chunk_bytes) {
        std::free(c.base);
      } else {
        chunks[kept++] = c;
      }
    }
    chunks.resize(kept);
    next = 0;
    base = nullptr;
    used = limit = 0;
  }

  size_t bytes() const {
    size_t sum = 0;
    for (const Chunk &c : chunks) sum += c.count + padding;
    return sum;
  }

private:
  struct Chunk {
    uint8_t *base;
    size_t count;
  };
  std::vector<Chunk> chunks;
  size_t next = 0; // chunks before it are in use
  uint8_t *base = nullptr;
  size_t used = 0, limit = 0;

  void next_chunk(size_t need) {
    if (next < chunks.size() && need <= chunks[next].count) {
      take(chunks[next++]);
      return;
    }
    const size_t count = need > chunk_bytes ? need : chunk_bytes;
    auto *fresh = static_cast<uint8_t *>(std::malloc(count + padding));
    if (fresh == nullptr) std::abort(); // as Swift's own allocator does
    chunks.insert(chunks.begin() + long(next), Chunk{fresh, count});
    take(chunks[next++]);
  }
  void take(const Chunk &c) {
    base = c.base;
    used = 0;
    limit = c.count;
  }
};

} // namespace affinity
