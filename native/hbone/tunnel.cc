#include "hbone/tunnel.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace onehop::hbone {

using io::IoResult;
using io::IoState;

Tunnel::~Tunnel() {
  detach();
  TunnelCarrier* carrier = carrier_;
  h2::Stream* stream = stream_;
  unlink();
  if (stream != nullptr) carrier->tunnelGone(*stream);
}

// The stream is over for us: nothing of the carrier is touched afterwards.
void Tunnel::unlink() {
  if (carrier_ == nullptr) return;
  ReceiveGather& gather = carrier_->gather();
  if (gather.owner == this) {
    gather.owner = nullptr;
    gather.count = 0;
  }
  stream_ = nullptr;
  carrier_ = nullptr;
}

void Tunnel::attach(io::ByteStream& local, io::DriverEvents& events) {
  CHECK(local_ == nullptr);
  local_ = &local;
  events_ = &events;
  local.setObserver(this);
  if (stream_ == nullptr && failReason_ != CloseReason::none) {
    local.reset(failReason_);
    return finish(failReason_, static_cast<int>(failCode_), false);
  }
  if (stream_ != nullptr) carrier_->sourceReady(*stream_);
  if (pushKept() && remoteEnded_) passEnd();
}

void Tunnel::detach() {
  if (local_ == nullptr) return;
  local_->setObserver(nullptr);
  local_ = nullptr;
  events_ = nullptr;
}

size_t Tunnel::copyWritten(const iovec* parts, int count) {
  size_t moved = 0;
  for (int i = 0; i < count && writtenHead_ < written_.size(); ++i) {
    const size_t bytes = std::min(parts[i].iov_len, written_.size() - writtenHead_);
    std::memcpy(parts[i].iov_base, written_.data() + writtenHead_, bytes);
    writtenHead_ += static_cast<uint32_t>(bytes);
    moved += bytes;
  }
  if (writtenHead_ == written_.size()) {
    std::vector<uint8_t>().swap(written_);
    writtenHead_ = 0;
  }
  return moved;
}

h2::Pull Tunnel::pull(const iovec* parts, int count) {
  inPull_ = true;
  const h2::Pull pull = pullOnce(parts, count);
  inPull_ = false;
  // Reset by our owner from inside: only the result of a pull may close its own stream.
  const bool over = pull.state == h2::PullState::failed ||
                    (pull.state == h2::PullState::end && remoteEnded_);
  if (stream_ != nullptr || over) return pull;
  return {h2::PullState::failed, 0, static_cast<uint32_t>(h2::ErrorCode::cancel)};
}

h2::Pull Tunnel::pullOnce(const iovec* parts, int count) {
  if (!written_.empty()) {
    const size_t bytes = copyWritten(parts, count);
    if (std::exchange(wantsWrite_, false) && observer_ != nullptr) observer_->onWritable();
    return {h2::PullState::more, bytes, 0};
  }
  if (local_ == nullptr || localEnded_) {
    if (!localEnded_) return {};
    endPulled_ = true;
    return {h2::PullState::end, 0, 0};
  }
  const IoResult result = local_->readv(parts, count);
  switch (result.state) {
    case IoState::ok:
      events_->onMoved(true, result.bytes);
      return {h2::PullState::more, result.bytes, 0};
    case IoState::wouldBlock:
      return {};
    case IoState::end:
      localEnded_ = endPulled_ = true;
      events_->onDirectionEnd(true);
      finishIfOver();
      return {h2::PullState::end, 0, 0};
    case IoState::failed:
      break;
  }
  localFailed(result.reason, result.code);
  return {h2::PullState::failed, 0, static_cast<uint32_t>(h2::ErrorCode::connectError)};
}

void Tunnel::onPayload(ByteSpan payload, bool end) {
  if (end) remoteEnded_ = true;
  if (local_ == nullptr || !kept_.empty()) {
    kept_.insert(kept_.end(), payload.begin(), payload.end());
    if (local_ == nullptr && observer_ != nullptr) observer_->onReadable();
    return;
  }
  if (!payload.empty()) {
    ReceiveGather& gather = carrier_->gather();
    if (gather.owner != nullptr &&
        (gather.owner != this || gather.count == ReceiveGather::kPartsMax)) {
      gather.owner->flushReceived();
    }
    if (local_ == nullptr) return;  // the flush ended us
    if (!kept_.empty()) {           // the flush could not write all: keep the order
      kept_.insert(kept_.end(), payload.begin(), payload.end());
    } else {
      gather.owner = this;
      gather.parts[gather.count++] = {const_cast<uint8_t*>(payload.data()), payload.size()};
    }
  }
  if (!end) return;
  flushReceived();
  if (local_ != nullptr && kept_.empty()) passEnd();
}

void Tunnel::flushReceived() {
  if (carrier_ == nullptr) return;
  ReceiveGather& gather = carrier_->gather();
  if (gather.owner != this) return;
  const int count = std::exchange(gather.count, 0);
  gather.owner = nullptr;
  push(gather.parts, count);
}

void Tunnel::push(const iovec* parts, int count) {
  const IoResult result = local_->writev(parts, count);
  if (!noteWritten(result)) return;
  size_t skip = result.bytes;
  for (int i = 0; i < count; ++i) {
    const size_t gone = std::min(skip, parts[i].iov_len);
    skip -= gone;
    const auto* rest = static_cast<const uint8_t*>(parts[i].iov_base);
    kept_.insert(kept_.end(), rest + gone, rest + parts[i].iov_len);
  }
}

// Gives credit back for what the local stream took; false when it is gone.
bool Tunnel::noteWritten(const IoResult& result) {
  if (result.bytes > 0) {
    if (stream_ != nullptr) carrier_->consumed(*stream_, result.bytes);
    events_->onMoved(false, result.bytes);
  }
  if (local_ != nullptr && result.state == IoState::failed) localFailed(result.reason, result.code);
  return local_ != nullptr;
}

// True when nothing is kept any more and the local stream is still there.
bool Tunnel::pushKept() {
  if (kept_.empty()) return local_ != nullptr;
  const iovec part{kept_.data() + keptHead_, kept_.size() - keptHead_};
  const IoResult result = local_->writev(&part, 1);
  if (!noteWritten(result)) return false;
  keptHead_ += static_cast<uint32_t>(result.bytes);
  if (keptHead_ == kept_.size()) {
    std::vector<uint8_t>().swap(kept_);
    keptHead_ = 0;
  } else if (keptHead_ > kept_.size() / 2) {
    kept_.erase(kept_.begin(), kept_.begin() + keptHead_);
    keptHead_ = 0;
  }
  return kept_.empty();
}

void Tunnel::passEnd() {
  if (std::exchange(endPassedOn_, true)) return;
  local_->closeWrite();
  events_->onDirectionEnd(false);
  finishIfOver();
}

bool Tunnel::finishIfOver() {
  if (!endPulled_ || !endPassedOn_ || events_ == nullptr) return false;
  finish(CloseReason::complete, 0, false);
  return true;
}

void Tunnel::finish(CloseReason reason, int code, bool localFailed) {
  io::DriverEvents* events = events_;
  detach();
  if (events != nullptr) events->onDriverDone(reason, code, localFailed);
}

void Tunnel::localFailed(CloseReason reason, int code) {
  TunnelCarrier* carrier = carrier_;
  h2::Stream* stream = stream_;
  unlink();
  failReason_ = reason;
  std::vector<uint8_t>().swap(kept_);
  keptHead_ = 0;
  // A failed pull resets the stream by its result.
  if (stream != nullptr && !inPull_) carrier->resetTunnel(*stream, h2::ErrorCode::connectError);
  finish(reason, code, true);
}

void Tunnel::onPeerReset(CloseReason reason, uint32_t code) {
  const bool stopOnly = code == static_cast<uint32_t>(h2::ErrorCode::noError) ||
                        code == static_cast<uint32_t>(h2::ErrorCode::cancel);
  if (remoteEnded_ && stopOnly &&
      (reason == CloseReason::upstreamReset || reason == CloseReason::downstreamReset)) {
    unlink();
    std::vector<uint8_t>().swap(written_);
    writtenHead_ = 0;
    localEnded_ = endPulled_ = true;
    if (local_ != nullptr && kept_.empty() && !finishIfOver()) passEnd();
    return;
  }
  unlink();
  failReason_ = reason;
  failCode_ = code;
  std::vector<uint8_t>().swap(kept_);
  std::vector<uint8_t>().swap(written_);
  keptHead_ = writtenHead_ = 0;
  if (local_ != nullptr) {
    local_->reset(reason);
    return finish(reason, static_cast<int>(code), false);
  }
  if (observer_ != nullptr) observer_->onStreamFailed(reason, static_cast<int>(code));
}

IoResult Tunnel::readv(const iovec* parts, int count) {
  if (kept_.empty()) {
    if (failReason_ != CloseReason::none) {
      return {IoState::failed, 0, failReason_, static_cast<int>(failCode_)};
    }
    return {remoteEnded_ ? IoState::end : IoState::wouldBlock, 0, CloseReason::none, 0};
  }
  size_t moved = 0;
  for (int i = 0; i < count && keptHead_ < kept_.size(); ++i) {
    const size_t bytes = std::min(parts[i].iov_len, kept_.size() - keptHead_);
    std::memcpy(parts[i].iov_base, kept_.data() + keptHead_, bytes);
    keptHead_ += static_cast<uint32_t>(bytes);
    moved += bytes;
  }
  if (keptHead_ == kept_.size()) {
    std::vector<uint8_t>().swap(kept_);
    keptHead_ = 0;
  }
  if (stream_ != nullptr) carrier_->consumed(*stream_, moved);
  return {IoState::ok, moved, CloseReason::none, 0};
}

IoResult Tunnel::writev(const iovec* parts, int count) {
  if (stream_ == nullptr || localEnded_) {
    return {IoState::failed, 0, failReason_, static_cast<int>(failCode_)};
  }
  size_t taken = 0;
  for (int i = 0; i < count; ++i) {
    const size_t room = kWriteBytesMax - (written_.size() - writtenHead_);
    const size_t bytes = std::min(parts[i].iov_len, room);
    const auto* from = static_cast<const uint8_t*>(parts[i].iov_base);
    written_.insert(written_.end(), from, from + bytes);
    taken += bytes;
    if (bytes < parts[i].iov_len) wantsWrite_ = true;
  }
  if (taken > 0) carrier_->sourceReady(*stream_);
  return {wantsWrite_ ? IoState::wouldBlock : IoState::ok, taken, CloseReason::none, 0};
}

void Tunnel::closeWrite() {
  if (std::exchange(localEnded_, true) || stream_ == nullptr) return;
  carrier_->sourceReady(*stream_);
}

void Tunnel::reset(CloseReason reason) {
  TunnelCarrier* carrier = carrier_;
  h2::Stream* stream = stream_;
  unlink();
  failReason_ = reason;
  if (stream != nullptr && !inPull_) carrier->resetTunnel(*stream, h2::ErrorCode::cancel);
}

void Tunnel::onReadable() {
  if (stream_ != nullptr) carrier_->sourceReady(*stream_);
}

void Tunnel::onWritable() {
  if (pushKept() && remoteEnded_) passEnd();
}

void Tunnel::onStreamFailed(CloseReason reason, int code) { localFailed(reason, code); }

}  // namespace onehop::hbone
