#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace loadgen {

// Log-linear latency histogram: 64 linear steps per power of two, so that a value is off by at most
// 1.6 %.
// Nanoseconds up to 2^40 (18 minutes); larger values count in the last bucket.
class Histogram {
 public:
  Histogram() : counts_(kBuckets, 0) {}
  void add(int64_t nanos) {
    const auto value = static_cast<uint64_t>(nanos < 0 ? 0 : nanos);
    ++counts_[bucket(value)];
    ++total_;
    if (value > max_) max_ = value;
  }
  uint64_t count() const { return total_; }
  uint64_t max() const { return max_; }
  // Upper edge of the bucket that holds the given share (0..1) of the values, in nanoseconds.
  uint64_t quantile(double share) const {
    if (total_ == 0) return 0;
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_ - 1)) + 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen >= wanted) return upper(i) < max_ ? upper(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr unsigned kStepBits = 6;
  static constexpr unsigned kSteps = 1u << kStepBits;
  static constexpr unsigned kBuckets = (40 - kStepBits + 1) * kSteps;
  static unsigned bucket(uint64_t value) {
    if (value < kSteps) return static_cast<unsigned>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - kStepBits - 1;
    const unsigned index = (shift + 1) * kSteps + static_cast<unsigned>((value >> shift) - kSteps);
    return index < kBuckets ? index : kBuckets - 1;
  }
  static uint64_t upper(unsigned index) {
    if (index < kSteps) return index;
    const unsigned shift = index / kSteps - 1;
    return ((static_cast<uint64_t>(index % kSteps) + kSteps + 1) << shift) - 1;
  }
  std::vector<uint64_t> counts_;
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace loadgen
