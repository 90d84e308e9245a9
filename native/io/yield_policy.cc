#include "io/yield_policy.h"

#include <algorithm>

namespace onehop::io {

void YieldPolicy::judge(Nanos now, Nanos took, int waiting) {
  const bool nobody = took < kNobody;
  nobody_ = nobody ? nobody_ + 1 : 0;
  const bool kept = waiting > 0 && took > kPerEvent * waiting;
  if (kept || nobody_ >= kNobodyMax) return putOff(now);
  if (!nobody && waiting > 0) pause_ -= pause_ / 8;
}

void YieldPolicy::putOff(Nanos now) {
  nobody_ = 0;
  pause_ = std::clamp(2 * pause_, kPauseMin, kPauseMax);
  from_ = now + pause_;
}

}  // namespace onehop::io
