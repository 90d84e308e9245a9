#pragma once

#include <cstdint>

#include "base/intrusive_list.h"
#include "h2/stream.h"

namespace onehop::h2 {

// Whose turn it is: deficit round robin, streams with little queued first. A stream that sent at most
// one quantum in the present epoch, and in the one before, is sparse; one that sent more is bulk. An
// epoch is a count of bytes sent by all.
class Scheduler {
 public:
  // Two records for a sparse stream. A bulk stream among others has a third of what leaves in one send,
  // so that turns end with sends: fewer would make the far end write smaller pieces (2 cost a third more
  // CPU per byte with 16 flows), more would not save any, and no sparse stream waits for the end of
  // them. Alone it has a whole batch.
  static constexpr int32_t kQuantum = static_cast<int32_t>(2 * kUnitPayloadMax);
  static constexpr int32_t kQuantumBulk = static_cast<int32_t>(kUnitsPerPull / 3 * kUnitPayloadMax);
  static constexpr int32_t kQuantumAlone = static_cast<int32_t>(kUnitsPerPull * kUnitPayloadMax);
  // So much may sparse streams take before a waiting bulk stream has a turn.
  static constexpr int32_t kSparseRun = 4 * kQuantum;
  // Who takes more than kSparseBytes of an epoch is not sparse, however small the pieces.
  static constexpr uint32_t kSparseBytes = kQuantum;
  static constexpr uint64_t kEpochBytes = 64 * uint64_t{kQuantum};

  bool empty() const { return sparse_.empty() && bulk_.empty(); }
  size_t size() const { return sparse_.size() + bulk_.size(); }
  bool contains(const Stream& stream) const {
    return sparse_.contains(stream) || bulk_.contains(stream);
  }
  void add(Stream& stream);
  void remove(Stream& stream);  // if it is in
  // The stream to serve and how much it may send in this turn; null when none is ready.
  Stream* next(int32_t* allowance);
  // It sent `bytes` and stays ready.
  void sent(Stream& stream, size_t bytes);
  // It sent `bytes` and has no more now: out.
  void ranDry(Stream& stream, size_t bytes);

 private:
  void count(Stream& stream, size_t bytes);
  bool isSparse(const Stream& stream) const;
  uint32_t epoch() const { return static_cast<uint32_t>(sentBytes_ / kEpochBytes); }

  IntrusiveList<Stream, ReadyTag> sparse_;
  IntrusiveList<Stream, ReadyTag> bulk_;
  uint64_t sentBytes_ = 0;
  int32_t sparseRun_ = 0;
};

}  // namespace onehop::h2
