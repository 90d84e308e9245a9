#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <string_view>

namespace onehop::micro {

// One thing to measure, with all it needs made beforehand.
class Case {
 public:
  virtual ~Case() = default;
  // Does the operation `count` times; nanoseconds that took, preparations between them left out.
  virtual int64_t run(uint32_t count) = 0;
};

// Null when there is no such case. What `size` means is the case's: bytes, keys.
std::unique_ptr<Case> makeRecordCase(std::string_view name, uint32_t size);
std::unique_ptr<Case> makeProtocolCase(std::string_view name, uint32_t size);
std::unique_ptr<Case> makeFlowCacheCase(std::string_view name, uint32_t size);

inline int64_t nowNanos() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

// The compiler has to have the value ready here.
template <typename T>
inline void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

}  // namespace onehop::micro
