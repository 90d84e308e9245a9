#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "engine/contract.h"

namespace onehop::engine {

// The flight recorder of one flow: the first kPinned events stay, later ones share a ring, so that both
// the beginning and the end of a long story are there. 8 bytes per event: 40 bits of microseconds (12
// days, then it saturates), 8 bits of name, 16 bits of value (saturating).
class Recorder {
 public:
  static constexpr uint32_t kSlots = 16;
  static constexpr uint32_t kPinned = 8;

  void add(Nanos sinceStart, FlowEventName event, int64_t value = 0) {
    const uint64_t us = sinceStart <= 0 ? 0 : static_cast<uint64_t>(sinceStart / kMicrosecond);
    const uint64_t small = value <= 0 ? 0 : value > 0xffff ? 0xffff : static_cast<uint64_t>(value);
    const uint64_t atUs = us > kTimeMax ? kTimeMax : us;
    slots_[slotOf(total_)] = atUs << 24 | static_cast<uint64_t>(event) << 16 | small;
    ++total_;
  }

  std::vector<FlowEvent> events() const {
    std::vector<FlowEvent> list;
    const uint32_t count = total_ < kSlots ? total_ : kSlots;
    list.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      const bool pinned = i < kPinned;
      const uint64_t slot = slots_[pinned ? i : slotOf(total_ - (count - i))];
      const uint64_t atUs = slot >> 24;
      list.push_back({atUs, static_cast<FlowEventName>(slot >> 16 & 0xff),
                      static_cast<int32_t>(slot & 0xffff)});
    }
    return list;
  }

 private:
  static constexpr uint64_t kTimeMax = (uint64_t{1} << 40) - 1;
  static uint32_t slotOf(uint32_t ordinal) {
    return ordinal < kPinned ? ordinal : kPinned + (ordinal - kPinned) % (kSlots - kPinned);
  }
  std::array<uint64_t, kSlots> slots_;
  uint32_t total_ = 0;
};
static_assert(sizeof(Recorder) <= 136);

}  // namespace onehop::engine
