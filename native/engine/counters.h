#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/check.h"
#include "engine/contract.h"

namespace onehop::engine {

// The rows of one shard in the shared block. Only that shard writes, so a relaxed load and store is an
// increment; readers on other threads see each cell whole, cells not together.
class ShardCounters {
 public:
  ShardCounters(std::span<uint64_t> slots, std::span<uint64_t> cells)
      : slots_(slots), cells_(cells) {}

  // A slot out of range counts in the overflow slot 0.
  void add(uint32_t slot, CounterCell cell, int64_t amount) {
    const size_t index = size_t{slot} * kCounterCells + static_cast<size_t>(cell);
    bump(slots_[index < slots_.size() ? index : static_cast<size_t>(cell)], amount);
  }
  void add(EngineCell cell, int64_t amount = 1) {
    bump(cells_[static_cast<size_t>(cell)], amount);
  }
  void set(EngineCell cell, uint64_t value) {
    std::atomic_ref<uint64_t>(cells_[static_cast<size_t>(cell)])
        .store(value, std::memory_order_relaxed);
  }

 private:
  static void bump(uint64_t& cell, int64_t amount) {
    std::atomic_ref<uint64_t> atom(cell);
    atom.store(atom.load(std::memory_order_relaxed) + static_cast<uint64_t>(amount),
               std::memory_order_relaxed);
  }
  std::span<uint64_t> slots_;
  std::span<uint64_t> cells_;
};

// [shards][slots][kCounterCells] and [shards][kEngineCells], each shard's rows on cache lines of its
// own.
class CounterBlock {
 public:
  CounterBlock(uint32_t shards, uint32_t slots)
      : slotRow_(size_t{slots} * kCounterCells),
        slots_(std::make_unique<Line[]>(shards * slotRow_ / kCellsPerLine)),
        cells_(std::make_unique<Line[]>(shards * kEngineCells / kCellsPerLine)),
        shards_(shards) {}

  std::span<uint64_t> slots() { return {slots_[0].cells, shards_ * slotRow_}; }
  std::span<uint64_t> cells() { return {cells_[0].cells, shards_ * kEngineCells}; }
  ShardCounters shard(uint32_t index) {
    CHECK(index < shards_);
    return {slots().subspan(index * slotRow_, slotRow_),
            cells().subspan(index * kEngineCells, kEngineCells)};
  }

 private:
  static constexpr size_t kCellsPerLine = 8;
  struct alignas(64) Line {
    uint64_t cells[kCellsPerLine];
  };
  static_assert(kCounterCells % kCellsPerLine == 0 && kEngineCells % kCellsPerLine == 0);
  size_t slotRow_;
  std::unique_ptr<Line[]> slots_;
  std::unique_ptr<Line[]> cells_;
  size_t shards_;
};

}  // namespace onehop::engine
