#include "h2/scheduler.h"

#include <algorithm>

namespace onehop::h2 {

void Scheduler::add(Stream& stream) {
  if (contains(stream)) return;
  stream.turnBytes_ = 0;
  if (stream.sparse_) {
    stream.deficit_ = kQuantum;
    sparse_.pushBack(stream);
  } else {
    stream.deficit_ = 0;
    bulk_.pushBack(stream);
  }
}

void Scheduler::remove(Stream& stream) {
  if (sparse_.contains(stream)) sparse_.remove(stream);
  if (bulk_.contains(stream)) bulk_.remove(stream);
}

Stream* Scheduler::next(int32_t* allowance) {
  const bool sparseTurn = !sparse_.empty() && (bulk_.empty() || sparseRun_ < kSparseRun);
  if (sparseTurn) {
    *allowance = sparse_.front()->deficit_;
    return sparse_.front();
  }
  sparseRun_ = 0;
  Stream* stream = bulk_.front();
  if (stream == nullptr) return nullptr;
  if (stream->deficit_ <= 0) stream->deficit_ += size() == 1 ? kQuantumAlone : kQuantum;
  *allowance = std::max<int32_t>(stream->deficit_, 1);
  return stream;
}

void Scheduler::sent(Stream& stream, size_t bytes) {
  stream.turnBytes_ += static_cast<uint32_t>(bytes);
  stream.deficit_ -= static_cast<int32_t>(bytes);
  if (sparse_.contains(stream)) {
    sparseRun_ += static_cast<int32_t>(bytes);
    if (stream.deficit_ > 0) return;
    sparse_.remove(stream);
    stream.sparse_ = false;
    bulk_.pushBack(stream);
  } else if (stream.deficit_ <= 0) {
    bulk_.remove(stream);
    bulk_.pushBack(stream);
  }
}

void Scheduler::ranDry(Stream& stream, size_t bytes) {
  if (sparse_.contains(stream)) sparseRun_ += static_cast<int32_t>(bytes);
  stream.turnBytes_ += static_cast<uint32_t>(bytes);
  stream.sparse_ = stream.turnBytes_ <= static_cast<uint32_t>(kQuantum);
  remove(stream);
}

void Scheduler::clear() {
  while (sparse_.popFront() != nullptr) {
  }
  while (bulk_.popFront() != nullptr) {
  }
}

}  // namespace onehop::h2
