#pragma once

#include <cstdint>

#include "base/clock.h"

namespace onehop::h2 {

// Tokens that refill with time; take() fails when they are used up.
class TokenBucket {
 public:
  TokenBucket(uint32_t burst, uint32_t perSecond)
      : tokens_(burst), burst_(burst), perSecond_(perSecond) {}
  bool take(uint32_t count, Nanos now);
  void earn(uint32_t count) { tokens_ = count < burst_ - tokens_ ? tokens_ + count : burst_; }

 private:
  Nanos filledAt_ = 0;
  uint32_t tokens_;
  uint32_t burst_;
  uint32_t perSecond_;
};

// Defaults are nghttp2's where it has one. Beyond any of them: GOAWAY(ENHANCE_YOUR_CALM) and close.
// Useful work earns tokens back, so that a busy honest peer does not trip what stops an idle hostile one.
struct FloodLimits {
  uint32_t resetBurst = 1000;  // peer resets of unanswered requests; ours for its errors; refusals
  uint32_t resetPerSecond = 33;
  uint32_t glitchBurst = 10000;  // legal but useless: PRIORITY, unknown frames, WINDOW_UPDATE crumbs
  uint32_t glitchPerSecond = 330;
  uint32_t answeredBurst = 1000;  // frames that make us answer: PING, SETTINGS
  uint32_t answeredPerSecond = 33;
  uint32_t emptyBurst = 1000;  // empty DATA without END_STREAM, empty CONTINUATION, empty names
  uint32_t emptyPerSecond = 33;
  uint32_t settingsEntriesMax = 32;  // in one SETTINGS frame
};

enum class Charge : uint8_t { reset, glitch, answered, empty };

// What useful work earns back.
inline constexpr uint32_t kGlitchesPerAnswer = 4;      // a request that was answered
inline constexpr uint32_t kGlitchesPerDataFrame = 2;   // a DATA frame of ours: WINDOW_UPDATEs follow
inline constexpr uint32_t kBytesPerGlitch = 16;        // and so many bytes in it: a slow reader's crumbs
inline constexpr uint64_t kBytesPerAnswered = 65536;   // of the peer's DATA: bandwidth probes by PING

class FloodGuard {
 public:
  explicit FloodGuard(const FloodLimits& limits);
  // False: the flood defence tripped.
  bool charge(Charge kind, Nanos now, uint32_t count = 1) {
    return buckets_[static_cast<unsigned>(kind)].take(count, now);
  }
  void earn(Charge kind, uint32_t count) { buckets_[static_cast<unsigned>(kind)].earn(count); }

 private:
  TokenBucket buckets_[4];
};

}  // namespace onehop::h2
