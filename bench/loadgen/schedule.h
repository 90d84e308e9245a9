#pragma once

#include <cstdint>
#include <deque>

namespace loadgen {

// When the operations of an open loop are due: at fixed distances, whatever became of earlier ones.
class Schedule {
 public:
  explicit Schedule(double rate) : rate_(rate) {}
  bool open() const { return rate_ > 0; }
  void begin(int64_t now) { begin_ = now; }
  // Everything due until `now` and before `end` is waiting from here on.
  void advance(int64_t now, int64_t end) {
    while (open() && next() <= now && next() < end) {
      waiting_.push_back(next());
      ++issued_;
    }
  }
  int64_t next() const {
    return begin_ + static_cast<int64_t>(static_cast<double>(issued_) * 1e9 / rate_);
  }
  bool empty() const { return waiting_.empty(); }
  int64_t take() {
    const int64_t due = waiting_.front();
    waiting_.pop_front();
    return due;
  }

 private:
  double rate_;
  int64_t begin_ = 0;
  uint64_t issued_ = 0;
  std::deque<int64_t> waiting_;
};

}  // namespace loadgen
