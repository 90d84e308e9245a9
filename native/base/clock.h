#pragma once

#include <cstdint>
#include <ctime>

namespace onehop {

// Monotonic time in nanoseconds. Protocol rooms never call monotonicNow(): time is their argument.
using Nanos = int64_t;
inline constexpr Nanos kMicrosecond = 1000;
inline constexpr Nanos kMillisecond = 1000 * kMicrosecond;
inline constexpr Nanos kSecond = 1000 * kMillisecond;

inline Nanos monotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<Nanos>(now.tv_sec) * kSecond + now.tv_nsec;
}

// Wall clock, milliseconds since 1970 UTC; for certificates and logs only.
inline int64_t wallClockMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

}  // namespace onehop
