#include "io/relay.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace onehop::io {

Relay::Relay(EventLoop& loop, std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b,
             RelayEvents& events)
    : loop_(loop),
      events_(events),
      a_(std::move(a)),
      b_(std::move(b)),
      endA_(*this, true),
      endB_(*this, false) {
  CHECK(a_ && b_);
}

Relay::~Relay() {
  if (driver_ != nullptr && !done_) driver_->detach();
  a_->setObserver(nullptr);
  b_->setObserver(nullptr);
}

void Relay::start() {
  driverIsB_ = b_->driver() != nullptr;
  driver_ = driverIsB_ ? b_->driver() : a_->driver();
  if (driver_ != nullptr) return driver_->attach(driverIsB_ ? *a_ : *b_, *this);
  a_->setObserver(&endA_);
  b_->setObserver(&endB_);
  pump(true);
  if (!done_) pump(false);
}

void Relay::abort(CloseReason reason) {
  if (done_) return;
  done_ = true;
  unschedule();
  if (driver_ != nullptr) driver_->detach();
  a_->setObserver(nullptr);
  b_->setObserver(nullptr);
  a_->reset(reason);
  b_->reset(reason);
}

void Relay::onDriverDone(CloseReason reason, int code, bool localFailed) {
  done_ = true;
  // The driver's stream is b: its local one is a.
  const RelayEnd end = reason == CloseReason::complete ? RelayEnd::none
                       : localFailed == driverIsB_     ? RelayEnd::a
                                                       : RelayEnd::b;
  events_.onRelayDone(reason, end, code);
}

void Relay::finish(CloseReason reason, RelayEnd end, int code) {
  if (std::exchange(done_, true)) return;
  unschedule();
  a_->setObserver(nullptr);
  b_->setObserver(nullptr);
  if (end != RelayEnd::none) {
    a_->reset(reason);
    b_->reset(reason);
  }
  events_.onRelayDone(reason, end, code);
}

void Relay::onPassEnd() {
  for (const bool up : {true, false}) {
    if (!done_ && std::exchange(direction(up).again, false)) pump(up);
  }
}

// Moves what it can in one direction, within its turn.
void Relay::pump(bool up) {
  if (done_ || direction(up).ended) return;
  size_t moved = 0;
  Step result = Step::moved;
  while (result == Step::moved && moved < kBytesPerTurn) result = step(up, &moved);
  if (done_) return;
  Direction& way = direction(up);
  if (result == Step::blocked && moved < kStuckReadBytes) pause(up);
  if (result == Step::moved) {
    way.again = true;
    schedule(loop_);
  }
}

// The transfer became small steps: give back what only large ones need.
void Relay::pause(bool up) {
  Direction& way = direction(up);
  way.streak = 0;
  if (!way.busy || !way.busy->rest.empty() || !way.busy->pipe.empty()) return;
  way.busy.reset();
}

Relay::Step Relay::flushRest(bool up) {
  Busy& busy = *direction(up).busy;
  const iovec part{busy.rest.data() + busy.head, busy.rest.size() - busy.head};
  const IoResult result = to(up).writev(&part, 1);
  if (result.bytes > 0) events_.onMoved(up, result.bytes);
  if (result.state == IoState::failed) {
    finish(result.reason, up ? RelayEnd::b : RelayEnd::a, result.code);
    return Step::stop;
  }
  busy.head += result.bytes;
  if (busy.head < busy.rest.size()) return Step::stop;
  std::vector<uint8_t>().swap(busy.rest);
  busy.head = 0;
  return Step::moved;
}

Relay::Step Relay::endDirection(bool up) {
  Direction& way = direction(up);
  way.ended = true;
  if (way.busy) way.busy->pipe.close();
  to(up).closeWrite();
  events_.onDirectionEnd(up);
  if (!done_ && up_.ended && down_.ended) finish(CloseReason::complete, RelayEnd::none, 0);
  return Step::stop;
}

Relay::Step Relay::step(bool up, size_t* moved) {
  Direction& way = direction(up);
  if (way.busy && !way.busy->rest.empty()) {
    const Step flushed = flushRest(up);
    if (flushed != Step::moved) return flushed;
  }
  if (way.busy && way.busy->pipe.isOpen()) return spliceStep(up, moved);

  const size_t most = way.wasStuck ? kStuckReadBytes : EventLoop::kScratchBytes;
  iovec part{loop_.scratch(), most};
  const IoResult read = from(up).readv(&part, 1);
  if (read.state == IoState::wouldBlock) return Step::blocked;
  if (read.state == IoState::end) return endDirection(up);
  if (read.state == IoState::failed) {
    finish(read.reason, up ? RelayEnd::a : RelayEnd::b, read.code);
    return Step::stop;
  }
  part.iov_len = read.bytes;
  const IoResult written = to(up).writev(&part, 1);
  if (written.bytes > 0) events_.onMoved(up, written.bytes);
  *moved += written.bytes;
  if (written.state == IoState::failed) {
    finish(written.reason, up ? RelayEnd::b : RelayEnd::a, written.code);
    return Step::stop;
  }
  way.wasStuck = written.bytes < read.bytes;
  if (way.wasStuck) {
    if (!way.busy) way.busy = std::make_unique<Busy>();
    const auto* rest = static_cast<const uint8_t*>(part.iov_base);
    way.busy->rest.assign(rest + written.bytes, rest + read.bytes);
    return Step::stop;  // onWritable goes on
  }
  const uint32_t spliceAfter = loop_.options().spliceAfterBytes;
  way.streak += static_cast<uint32_t>(std::min<size_t>(written.bytes, spliceAfter));
  if (spliceAfter > 0 && way.streak >= spliceAfter && fromFd(up) >= 0 && toFd(up) >= 0) {
    way.streak = 0;
    if (!way.busy) way.busy = std::make_unique<Busy>();
    way.busy->pipe.open();
  }
  return Step::moved;
}

Relay::Step Relay::spliceStep(bool up, size_t* moved) {
  Busy& busy = *direction(up).busy;
  if (fromFd(up) < 0 && busy.pipe.empty()) {  // urgent data came: go on by copying
    busy.pipe.close();
    return Step::moved;
  }
  const SpliceResult result = busy.pipe.move(fromFd(up), toFd(up), kBytesPerTurn - *moved);
  if (result.bytes > 0) {
    loop_.countSpliced(result.bytes);
    *moved += result.bytes;
    events_.onMoved(up, result.bytes);
  }
  switch (result.state) {
    case SpliceState::moved:
      return Step::moved;
    case SpliceState::wouldBlockIn:
      from(up).noteKernelBlocked(true);
      return Step::blocked;
    case SpliceState::wouldBlockOut:
      to(up).noteKernelBlocked(false);
      return Step::stop;
    case SpliceState::end: {
      // Let the stream itself see the end, so that it closes in order later.
      uint8_t byte;
      const iovec part{&byte, 1};
      const IoResult read = from(up).readv(&part, 1);
      if (read.state == IoState::end) return endDirection(up);
      // The end came after the stream's last short read, and before its event: that is on its way.
      if (read.state == IoState::wouldBlock) return Step::blocked;
      if (read.state == IoState::ok) {
        busy.rest.assign(1, byte);
        return Step::moved;
      }
      finish(read.reason, up ? RelayEnd::a : RelayEnd::b, read.code);
      return Step::stop;
    }
    case SpliceState::failed:
      break;
  }
  const bool aFailed = result.failedIn == up;
  finish(aFailed ? CloseReason::downstreamReset : CloseReason::upstreamReset,
         aFailed ? RelayEnd::a : RelayEnd::b, result.code);
  return Step::stop;
}

}  // namespace onehop::io
