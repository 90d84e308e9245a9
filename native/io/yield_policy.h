#pragma once

#include "base/clock.h"

namespace onehop::io {

// Whether a loop lets others have the processor (sched_yield(2)) before it asks for events. What it has
// written woke applications and the loops of other hops. Where they wait for this very processor they
// run first then, and the loop comes back to many events at once instead of being woken for each: fewer
// switches, and nobody waits for the end of a long queue while another processor is idle.
//
// It does not pay where nobody waits for this processor or few flows are busy, as bulk ones are, and
// where somebody computes on it events may wait for a time slice. So each time that it did not pay, the
// next one is put off for longer.
class YieldPolicy {
 public:
  static constexpr Nanos kNobody = 5 * kMicrosecond;      // takes less where nobody else ran
  static constexpr int kMany = 4;                         // events that are worth it
  static constexpr int kVainMax = 64;                     // in a row
  static constexpr Nanos kPerEvent = 100 * kMicrosecond;  // longer than that nothing should wait
  static constexpr Nanos kPauseMin = 2 * kMillisecond;
  static constexpr Nanos kPauseMax = kSecond;             // after events that waited
  static constexpr Nanos kVainPauseMax = 64 * kMillisecond;

  bool due(Nanos now) const { return now >= from_; }
  // After a yield that took so long `waiting` events were ready.
  void judge(Nanos now, Nanos took, int waiting);

 private:
  void putOff(Nanos now, Nanos most);

  Nanos from_ = 0;
  Nanos pause_ = 0;
  int vain_ = 0;  // in a row
};

}  // namespace onehop::io
