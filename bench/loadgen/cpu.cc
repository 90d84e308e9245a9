#include "cpu.h"

#include <ctime>

namespace loadgen {

std::optional<int64_t> processCpuNanos(pid_t pid) {
  // The clock's number holds the pid above three bits: a larger one would wrap around to another.
  constexpr pid_t kPidMax = 1 << 22;
  if (pid < 1 || pid > kPidMax) return {};
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return {};
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

double processCpuSeconds(pid_t pid) {
  const std::optional<int64_t> nanos = processCpuNanos(pid);
  return nanos ? static_cast<double>(*nanos) / 1e9 : -1;
}

}  // namespace loadgen
