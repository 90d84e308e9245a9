#include "io/yield_policy.h"

#include <algorithm>

namespace onehop::io {

void YieldPolicy::judge(Nanos now, Nanos took, int waiting) {
  const bool paid = took >= kNobody && waiting >= kMany;
  vain_ = paid ? 0 : vain_ + 1;
  const bool kept = waiting > 0 && took > kPerEvent * waiting;
  if (kept) return putOff(now, kPauseMax);
  if (vain_ >= kVainMax) return putOff(now, kVainPauseMax);
  if (paid) pause_ -= pause_ / 8;
}

void YieldPolicy::putOff(Nanos now, Nanos most) {
  vain_ = 0;
  pause_ = std::clamp(2 * pause_, kPauseMin, most);
  from_ = now + pause_;
}

}  // namespace onehop::io
