#include "h2/scheduler.h"

#include <algorithm>

namespace onehop::h2 {

void Scheduler::add(Stream& stream) {
  if (contains(stream)) return;
  if (isSparse(stream)) {
    stream.deficit_ = kQuantum;
    sparse_.pushBack(stream);
  } else {
    // What it took too much in its last turn is still owed.
    stream.deficit_ = std::min(stream.deficit_, 0);
    bulk_.pushBack(stream);
  }
}

void Scheduler::remove(Stream& stream) {
  if (sparse_.contains(stream)) sparse_.remove(stream);
  if (bulk_.contains(stream)) bulk_.remove(stream);
}

Stream* Scheduler::next(int32_t* allowance) {
  const bool sparseTurn = !sparse_.empty() && (bulk_.empty() || sparseRun_ < kSparseRun);
  Stream* stream = sparseTurn ? sparse_.front() : bulk_.front();
  if (stream == nullptr) return nullptr;
  if (!sparseTurn) {
    sparseRun_ = 0;
    const int32_t quantum = size() == 1 ? kQuantumAlone : kQuantumBulk;
    if (stream->deficit_ <= 0) stream->deficit_ += quantum;
    stream->deficit_ = std::min(stream->deficit_, quantum);
  }
  // Whole records: what goes beyond the deficit is paid back in the next turn.
  constexpr auto unit = static_cast<int32_t>(kUnitPayloadMax);
  *allowance = std::max((stream->deficit_ + unit - 1) / unit, 1) * unit;
  return stream;
}

void Scheduler::count(Stream& stream, size_t bytes) {
  if (stream.epoch_ != epoch()) {
    stream.wasBulk_ = stream.epoch_ + 1 == epoch() && stream.turnBytes_ > kSparseBytes;
    stream.epoch_ = epoch();
    stream.turnBytes_ = 0;
  }
  stream.turnBytes_ += static_cast<uint32_t>(bytes);
  stream.deficit_ -= static_cast<int32_t>(bytes);
  sentBytes_ += bytes;
  if (sparse_.contains(stream)) {
    sparseRun_ = std::min(sparseRun_ + static_cast<int32_t>(bytes), kSparseRun);
  }
}

bool Scheduler::isSparse(const Stream& stream) const {
  if (stream.epoch_ != epoch() && stream.epoch_ + 1 != epoch()) return true;
  return stream.turnBytes_ <= kSparseBytes && (stream.epoch_ != epoch() || !stream.wasBulk_);
}

void Scheduler::sent(Stream& stream, size_t bytes) {
  count(stream, bytes);
  if (stream.deficit_ > 0) return;
  remove(stream);
  bulk_.pushBack(stream);
}

void Scheduler::ranDry(Stream& stream, size_t bytes) {
  count(stream, bytes);
  remove(stream);
}

}  // namespace onehop::h2
