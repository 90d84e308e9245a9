#include "h2/flood_guard.h"

#include <algorithm>

namespace onehop::h2 {

bool TokenBucket::take(uint32_t count, Nanos now) {
  if (now > filledAt_) {
    const Nanos elapsed = std::min<Nanos>(now - filledAt_, 3600 * kSecond);
    const int64_t added = elapsed * perSecond_ / kSecond;
    if (added > 0) {
      tokens_ = static_cast<uint32_t>(std::min<int64_t>(burst_, tokens_ + added));
      // Only the time that made whole tokens is used up: a frequent caller loses nothing.
      filledAt_ = tokens_ == burst_ ? now : filledAt_ + added * kSecond / perSecond_;
    }
  }
  if (tokens_ < count) {
    tokens_ = 0;
    return false;
  }
  tokens_ -= count;
  return true;
}

FloodGuard::FloodGuard(const FloodLimits& limits)
    : buckets_{{limits.resetBurst, limits.resetPerSecond},
               {limits.glitchBurst, limits.glitchPerSecond},
               {limits.answeredBurst, limits.answeredPerSecond},
               {limits.emptyBurst, limits.emptyPerSecond}} {}

}  // namespace onehop::h2
