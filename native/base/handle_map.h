#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace onehop {

// Index + generation: names an object across threads or to JavaScript without owning it. 0 is null.
// The packed value stays below 2^53 so that JavaScript numbers carry it.
struct Handle {
  uint32_t index = 0;
  uint32_t generation = 0;  // 1 .. 2^20-1 when live
  bool operator==(const Handle&) const = default;
  explicit operator bool() const { return generation != 0; }
  uint64_t pack() const { return static_cast<uint64_t>(generation) << 32 | index; }
  static Handle unpack(uint64_t value) {
    return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
  }
};

// Slots of T named by Handles; a stale handle finds nothing. T needs a default constructor and moves.
template <typename T>
class HandleMap {
 public:
  static constexpr uint32_t kGenerationMax = (1u << 20) - 1;

  Handle insert(T value) {
    uint32_t index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else {
      index = static_cast<uint32_t>(slots_.size());
      slots_.push_back(Slot{});
    }
    Slot& slot = slots_[index];
    slot.generation = slot.generation == kGenerationMax ? 1 : slot.generation + 1;
    slot.live = true;
    slot.value = std::move(value);
    ++size_;
    return {index, slot.generation};
  }
  // Null when the handle is stale. The pointer is valid until the next insert.
  T* find(Handle handle) {
    if (handle.index >= slots_.size()) return nullptr;
    Slot& slot = slots_[handle.index];
    return slot.live && slot.generation == handle.generation ? &slot.value : nullptr;
  }
  bool erase(Handle handle) {
    if (find(handle) == nullptr) return false;
    Slot& slot = slots_[handle.index];
    slot.live = false;
    slot.value = T{};
    free_.push_back(handle.index);
    CHECK(size_ > 0);
    --size_;
    return true;
  }
  size_t size() const { return size_; }
  template <typename F>
  void forEach(F&& visit) {
    for (uint32_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].live) visit(Handle{i, slots_[i].generation}, slots_[i].value);
    }
  }

 private:
  struct Slot {
    T value{};
    uint32_t generation = 0;
    bool live = false;
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t size_ = 0;
};

}  // namespace onehop
