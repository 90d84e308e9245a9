#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

namespace loadgen {

// CPU time of a process since it began, all threads, also those that have ended, as the kernel
// accounts it. Nothing, or -1 second, when there is no such process.
std::optional<int64_t> processCpuNanos(pid_t pid);
double processCpuSeconds(pid_t pid);

}  // namespace loadgen
