#include "transport/tls_stream.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace onehop::transport {
namespace {

// Receives in one turn; then the other connections of the loop have theirs.
constexpr int kReceivesPerTurn = 2;
// And so long, looked at every few records: tiny ones, and tiny frames, cost far more than their bytes.
constexpr Nanos kTurnMax = kMillisecond;
constexpr uint32_t kRecordsPerLook = 4;
static_assert(kRecordReceiveMax <= io::EventLoop::kReceiveAt);
constexpr size_t kOutputLeast = 64;  // see tls::Session::takeOutput

}  // namespace

using io::IoResult;
using io::IoState;

// One step of the handshake, by the loop's helper.
class TlsStream::Step final : public io::Errand {
 public:
  Step(TlsStream& stream, std::unique_ptr<tls::Session> session, ByteSpan bytes)
      : stream_(&stream), session_(std::move(session)), bytes_(bytes.begin(), bytes.end()) {}

  // A flood may abandon more of them than a helper could compute.
  void work() override {
    if (!abandoned_.load(std::memory_order_relaxed)) {
      status_ = session_->advance(bytes_, &consumed_);
    }
  }
  void finish() override {
    if (stream_ != nullptr) stream_->onStepDone(std::move(session_), status_, consumed_);
  }
  // On the loop's thread, as finish().
  void abandon() {
    stream_ = nullptr;
    abandoned_.store(true, std::memory_order_relaxed);
  }

 private:
  TlsStream* stream_;
  std::atomic<bool> abandoned_{false};
  std::unique_ptr<tls::Session> session_;
  std::vector<uint8_t> bytes_;
  Status status_;
  size_t consumed_ = 0;
};

std::unique_ptr<TlsStream> TlsStream::server(std::unique_ptr<io::TcpStream> socket,
                                             std::shared_ptr<const tls::Credentials> credentials,
                                             TlsEvents& events, TlsCounters* counters) {
  return std::make_unique<TlsStream>(
      std::move(socket), tls::Session::server(std::move(credentials)), events, counters);
}

std::unique_ptr<TlsStream> TlsStream::client(std::unique_ptr<io::TcpStream> socket,
                                             std::shared_ptr<const tls::Credentials> credentials,
                                             std::vector<std::string> expectedPeers,
                                             TlsEvents& events, TlsCounters* counters) {
  auto session = tls::Session::client(std::move(credentials), std::move(expectedPeers));
  return std::make_unique<TlsStream>(std::move(socket), std::move(session), events, counters);
}

TlsStream::TlsStream(std::unique_ptr<io::TcpStream> socket, std::unique_ptr<tls::Session> session,
                     TlsEvents& events, TlsCounters* counters)
    : socket_(std::move(socket)),
      session_(std::move(session)),
      events_(events),
      counters_(counters) {
  socket_->setObserver(this);
}

TlsStream::~TlsStream() {
  dropStep();
  leaveHandshake(nullptr);
  socket_->setObserver(nullptr);
}

const std::string& TlsStream::peerIdentity() const {
  static const std::string none;
  return session_ != nullptr ? session_->peerIdentity() : none;
}

void TlsStream::start(Nanos deadline) {
  Timer::arm(loop(), deadline);
  readAgain_ = true;
  PassHook::schedule(loop());
  handshaking_ = !session_->established();
  if (handshaking_ && counters_ != nullptr) ++counters_->handshakesActive;
}

// The handshake is over; `outcome` is null when it was we who gave it up.
void TlsStream::leaveHandshake(uint64_t TlsCounters::*outcome) {
  if (!std::exchange(handshaking_, false) || counters_ == nullptr) return;
  --counters_->handshakesActive;
  if (outcome != nullptr) ++(counters_->*outcome);
}

void TlsStream::countKeyUpdates() {
  const uint64_t all = session_->keyUpdates();
  if (all == keyUpdatesCounted_) return;
  if (counters_ != nullptr) counters_->keyUpdates += all - keyUpdatesCounted_;
  keyUpdatesCounted_ = all;
}

// Receiving.

void TlsStream::receive() {
  readAgain_ = false;
  if (closing_) return discard();
  if (step_ != nullptr) return;  // onStepDone goes on here
  Received got = resume();
  turnRecords_ = 0;
  turnUntil_ = 0;
  // The block may be full of what the last turn left.
  if (std::exchange(turnOver_, false) && !takeBytes(got)) return;
  for (int turn = 0; turn < kReceivesPerTurn && !turnOver_; ++turn) {
    makeRoom(got);
    const iovec part{got.block.data() + got.end, got.block.size() - got.end};
    const IoResult result = socket_->readv(&part, 1);
    if (result.state == IoState::wouldBlock) return keep(std::move(got));
    if (result.state == IoState::failed) return fail(result.reason, result.code);
    if (result.state == IoState::end) {
      peerEnded_ = true;
      const Status status = session_->feedEnd();
      return close(status.ok() ? makeError(CloseReason::complete) : status.error());
    }
    got.end += result.bytes;
    bytesReceived_ += result.bytes;
    if (!takeBytes(got)) return;
  }
  keep(std::move(got));
  readAgain_ = true;
  PassHook::schedule(loop());
}

// Hands on the whole records; false when it is over for now.
bool TlsStream::takeBytes(Received& got) {
  const MutableByteSpan bytes{got.block.data() + got.begin, got.end - got.begin};
  if (!session_->established() && loop().offloads() && tls::Session::startsWithRecord(bytes)) {
    auto step = std::make_unique<Step>(*this, std::move(session_), bytes);
    step_ = step.get();
    keep(std::move(got));
    loop().offload(std::move(step));
    return false;
  }
  size_t used = 0;
  const Status fed = session_->feed(bytes, &used, *this);
  return handOn(got, fed, used);
}

// Whoever closes without the session's last word has none to send any more.
void TlsStream::dropStep() {
  if (step_ != nullptr) std::exchange(step_, nullptr)->abandon();
}

void TlsStream::onStepDone(std::unique_ptr<tls::Session> session, const Status& status,
                           size_t consumed) {
  CHECK(!closing_ && !released_);
  step_ = nullptr;
  session_ = std::move(session);
  Received got = resume();
  if (!handOn(got, status, consumed)) return;
  if (got.begin < got.end && !takeBytes(got)) return;
  keep(std::move(got));
  readAgain_ = true;
  PassHook::schedule(loop());
}

// What was fed came to `fed`; `used` bytes of it are done with.
bool TlsStream::handOn(Received& got, const Status& fed, size_t used) {
  if (fed.ok()) announce();
  countKeyUpdates();
  events_.onBatchEnd();
  if (closing_) return false;
  if (!fed.ok() || session_->peerClosed()) {
    close(fed.ok() ? makeError(CloseReason::complete) : fed.error());
    return false;
  }
  got.begin += used;
  if (session_->hasOutput() || (unsentBytes() > 0 && !blocked_)) PassHook::schedule(loop());
  return true;
}

// What was kept, in a receive block.
TlsStream::Received TlsStream::resume() {
  if (partial_.size() == io::EventLoop::kReceiveBlock) {
    return {std::move(partial_), partialBegin_, partialBegin_ + std::exchange(partialBytes_, 0)};
  }
  constexpr size_t kAt = io::EventLoop::kReceiveAt;
  Received got{loop().receivePool().take(), kAt - partialBytes_, kAt};
  if (partialBytes_ > 0) std::memcpy(got.block.data() + got.begin, partial_.data(), partialBytes_);
  forgetPartial();
  return got;
}

// Puts an unfinished record where the kernel's copy of what follows it is fast.
void TlsStream::makeRoom(Received& got) {
  if (got.end == io::EventLoop::kReceiveAt) return;  // where resume() put it
  const size_t rest = got.end - got.begin;
  CHECK(rest <= io::EventLoop::kReceiveAt);
  uint8_t* const at = got.block.data() + io::EventLoop::kReceiveAt - rest;
  std::memmove(at, got.block.data() + got.begin, rest);
  got.begin = io::EventLoop::kReceiveAt - rest;
  got.end = io::EventLoop::kReceiveAt;
}

// An unfinished record goes to a small block; more than that, which only a turn that was cut short
// leaves, stays where it is.
void TlsStream::keep(Received got) {
  forgetPartial();
  partialBytes_ = static_cast<uint32_t>(got.end - got.begin);
  if (partialBytes_ == 0) return;
  const uint8_t* const from = got.block.data() + got.begin;
  if (partialBytes_ > kRecordReceiveMax) {
    partialBegin_ = static_cast<uint32_t>(got.begin);
    partial_ = std::move(got.block);
    return;
  }
  partial_ = loop().recordPool().take();
  std::memcpy(partial_.data(), from, partialBytes_);
}

void TlsStream::forgetPartial() {
  partial_.release();
  partialBytes_ = 0;
}

bool TlsStream::onPlaintext(MutableByteSpan bytes) {
  announce();
  if (counters_ != nullptr) {
    ++counters_->recordsOpened;
    counters_->bytesOpened += bytes.size();
  }
  if (!closing_) events_.onPlaintext(bytes);
  if (++turnRecords_ % kRecordsPerLook == 0) {
    const Nanos now = loop().refreshNow();
    if (turnUntil_ == 0) turnUntil_ = now + kTurnMax;
    turnOver_ = now >= turnUntil_;
  }
  return !closing_ && !turnOver_;
}

void TlsStream::announce() {
  if (established_ || !session_->established()) return;
  established_ = true;
  leaveHandshake(&TlsCounters::handshakesOk);
  Timer::cancel();
  drainOutput();  // our Finished goes before any record of the owner
  events_.onEstablished();
}

// The peer may still send while our end is on its way: reading it keeps the kernel from answering with
// a reset, which would overtake the alert.
void TlsStream::discard() {
  uint8_t* scratch = loop().scratch();
  for (int turn = 0; turn < kReceivesPerTurn && !peerEnded_ && !broken_; ++turn) {
    const iovec part{scratch, io::EventLoop::kScratchBytes};
    const IoResult result = socket_->readv(&part, 1);
    if (result.state == IoState::wouldBlock) return;
    peerEnded_ = result.state == IoState::end;
    broken_ = result.state == IoState::failed;
  }
  if (broken_ || lingerOver()) return release();
  if (peerEnded_) return;
  readAgain_ = true;
  PassHook::schedule(loop());
}

void TlsStream::onReadable() {
  if (!released_) receive();
}

void TlsStream::onWritable() {
  if (released_ || !flush() || closing_) return;
  events_.onRoom();
}

void TlsStream::onStreamFailed(CloseReason reason, int code) {
  if (!released_) fail(reason, code);
}

void TlsStream::onPassEnd() {
  if (released_) return;
  size_t used = 0;
  if (!established_ && !closing_ && step_ == nullptr) {
    const Status status = session_->feed({}, &used, *this);  // tells of a session dead from the start
    if (!status.ok()) return close(status.error());
    announce();  // a session that was resumed
  }
  if (closing_ && (broken_ || lingerOver())) return release();
  flush();
  if (!released_ && readAgain_) receive();
}

void TlsStream::onTimer() {
  if (closing_) {
    broken_ = true;
    return release();
  }
  fail(CloseReason::tlsTimeout, 0);
}

// Sending.

// Moves handshake, KeyUpdate and alert records into the block. They come between records, never into
// the one being filled.
void TlsStream::drainOutput() {
  if (session_ == nullptr || !session_->hasOutput()) return;
  if (fillBytes_ > 0) sealFill();
  if (!send_) send_ = loop().sendPool().take();
  while (session_->hasOutput() && send_.size() - sendEnd_ >= kOutputLeast) {
    const MutableByteSpan room{send_.data() + sendEnd_, send_.size() - sendEnd_};
    sendEnd_ += static_cast<uint32_t>(session_->takeOutput(room));
  }
  countKeyUpdates();
}

bool TlsStream::prepareBlock() {
  if (!established_ || closing_) return false;
  if (!send_) send_ = loop().sendPool().take();
  if (sendStart_ == sendEnd_ && fillBytes_ == 0) sendStart_ = sendEnd_ = 0;
  if (fillBytes_ > 0) return true;
  drainOutput();
  return !session_->hasOutput();
}

MutableByteSpan TlsStream::room(size_t least) {
  CHECK(least > 0 && least <= 4096);
  if (fillBytes_ + least > kRecordPlaintextMax) sealFill();
  if (!prepareBlock()) return {};
  const size_t used = sendEnd_ + kRecordHeader + fillBytes_ + kRecordTrailer;
  if (send_.size() < used + least) return {};
  const size_t bytes = std::min(kRecordPlaintextMax - fillBytes_, send_.size() - used);
  return {send_.data() + sendEnd_ + kRecordHeader + fillBytes_, bytes};
}

void TlsStream::commit(size_t bytes) {
  CHECK(send_ && fillBytes_ + bytes <= kRecordPlaintextMax);
  fillBytes_ += static_cast<uint32_t>(bytes);
}

size_t TlsStream::reserveRecords(MutableByteSpan* records, size_t count) {
  if (fillBytes_ > 0) sealFill();
  if (!prepareBlock()) return 0;
  const size_t most = std::min(count, (send_.size() - sendEnd_) / kRecordMax);
  for (size_t i = 0; i < most; ++i) {
    uint8_t* record = send_.data() + sendEnd_ + i * kRecordMax;
    records[i] = {record + kRecordHeader, kRecordPlaintextMax};
  }
  return most;
}

void TlsStream::commitRecords(size_t full, size_t lastBytes) {
  CHECK(fillBytes_ == 0 && lastBytes <= kRecordPlaintextMax);
  for (size_t i = 0; i < full; ++i) {
    fillBytes_ = kRecordPlaintextMax;
    sealFill();
  }
  fillBytes_ = static_cast<uint32_t>(lastBytes);
}

void TlsStream::sealFill() {
  if (fillBytes_ == 0) return;
  CHECK(send_ && sendEnd_ + kRecordHeader + fillBytes_ + kRecordTrailer <= send_.size());
  if (counters_ != nullptr) {
    ++counters_->recordsSealed;
    counters_->bytesSealed += fillBytes_;
  }
  sendEnd_ += static_cast<uint32_t>(session_->seal(send_.data() + sendEnd_, fillBytes_));
  fillBytes_ = 0;
}

bool TlsStream::flush() {
  if (released_ || broken_) return false;
  if (fillBytes_ > 0) sealFill();
  if (!writeOut()) return false;
  if (closing_ && !finSent_) {
    finSent_ = true;
    socket_->closeWrite();
    if (peerEnded_) PassHook::schedule(loop());  // releases
  }
  return true;
}

bool TlsStream::writeOut() {
  while (true) {
    drainOutput();
    if (sendStart_ == sendEnd_) break;
    const iovec part{send_.data() + sendStart_, unsentBytes()};
    const IoResult result = socket_->writev(&part, 1);
    sendStart_ += static_cast<uint32_t>(result.bytes);
    if (result.state == IoState::failed) {
      fail(result.reason, result.code);
      return false;
    }
    blocked_ = sendStart_ < sendEnd_;
    if (blocked_) return false;
    sendStart_ = sendEnd_ = 0;
  }
  send_.release();
  sendStart_ = sendEnd_ = 0;
  return true;
}

// Ending.

void TlsStream::beginLinger() {
  closing_ = true;
  dropStep();
  leaveHandshake(nullptr);
  forgetPartial();
  if (session_ != nullptr) session_->close();
  Timer::arm(loop(), kLinger);
  readAgain_ = true;  // what waits unread would turn our close into a reset
  PassHook::schedule(loop());
}

void TlsStream::closeInOrder() {
  if (closing_) return;
  if (fillBytes_ > 0) sealFill();
  beginLinger();
}

// The peer's end, its error or ours: says why and sends our alert or close_notify.
void TlsStream::close(const Error& error) {
  if (closing_) return;
  closed_ = true;
  fillBytes_ = 0;
  leaveHandshake(&TlsCounters::handshakesFailed);
  beginLinger();
  events_.onClosed(error);
}

// Nothing can be sent any more.
void TlsStream::fail(CloseReason reason, int code) {
  if (broken_) return;
  broken_ = true;
  if (closing_) {
    PassHook::schedule(loop());  // releases
    return;
  }
  closing_ = closed_ = true;
  dropStep();
  leaveHandshake(&TlsCounters::handshakesFailed);
  Timer::cancel();
  PassHook::schedule(loop());
  const bool early = !established_ && reason != CloseReason::tlsTimeout;
  const char* detail = code != 0 ? std::strerror(code) : "no handshake in time";
  events_.onClosed(makeError(early ? CloseReason::tlsFailed : reason, detail, code));
}

void TlsStream::release() {
  if (std::exchange(released_, true)) return;
  abort();
  events_.onReleased();
}

void TlsStream::abort() {
  closing_ = closed_ = released_ = true;
  dropStep();
  leaveHandshake(nullptr);
  Timer::cancel();
  PassHook::unschedule();
  forgetPartial();
  send_.release();
  sendStart_ = sendEnd_ = fillBytes_ = 0;
  if (lingerOver() && !broken_) {
    socket_->closeInOrder();
  } else {
    socket_->reset(CloseReason::localClosed);
  }
}

}  // namespace onehop::transport
