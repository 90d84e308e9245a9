#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
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
        shards_(shards),
        memory_(std::calloc(1, kLineBytes + shards * (slotRow_ + kEngineCells) * sizeof(uint64_t))) {
    CHECK(memory_ != nullptr);
    const auto start = reinterpret_cast<uintptr_t>(memory_.get());
    first_ = reinterpret_cast<uint64_t*>((start + kLineBytes - 1) & ~uintptr_t{kLineBytes - 1});
  }

  std::span<uint64_t> slots() { return {first_, shards_ * slotRow_}; }
  std::span<uint64_t> cells() { return {first_ + shards_ * slotRow_, shards_ * kEngineCells}; }
  ShardCounters shard(uint32_t index) {
    CHECK(index < shards_);
    return {slots().subspan(index * slotRow_, slotRow_),
            cells().subspan(index * kEngineCells, kEngineCells)};
  }

 private:
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kCellsPerLine = kLineBytes / sizeof(uint64_t);
  static_assert(kCounterCells % kCellsPerLine == 0 && kEngineCells % kCellsPerLine == 0);
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  size_t slotRow_;
  size_t shards_;
  // The kernel's zero pages: a slot that never counted takes no memory.
  std::unique_ptr<void, Free> memory_;
  uint64_t* first_;
};

}  // namespace onehop::engine
