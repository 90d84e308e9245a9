#include "hbone/connection_carrier.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/record_size.h"

namespace onehop::hbone {
namespace {

// A burst begins whole and shrinks while the socket does not take one at once, so that an interactive
// stream does not wait behind much of a bulk one.
constexpr uint32_t kBurstMax = kRecordsPerSendBlock * kRecordPlaintextMax;
constexpr uint32_t kBurstMin = kBurstMax / 4;
static_assert(h2::kUnitsPerPull == kRecordsPerSendBlock);  // a pull may fill a block
constexpr size_t kFarewellBytes = 4096;  // GOAWAY and the resets before it

Nanos earlier(Nanos a, Nanos b) {
  if (a == 0 || b == 0) return a + b;
  return std::min(a, b);
}

}  // namespace

ConnectionCarrier::ConnectionCarrier(transport::EventLoop& loop, h2::Role role, const h2::Limits& limits,
                                     const HboneDeadlines& deadlines, h2::WindowLedger* ledger)
    : loop_(loop),
      deadlines_(deadlines),
      limits_(limits),
      h2_(role, limits_, *this, ledger),
      burst_(kBurstMax) {
  limits_.settingsTimeout = deadlines.preface;
}

ConnectionCarrier::~ConnectionCarrier() { CHECK(phase_ == Phase::gone); }

const std::string& ConnectionCarrier::peerIdentity() const {
  static const std::string none;
  return tls_ ? tls_->peerIdentity() : none;
}

void ConnectionCarrier::startTls(std::unique_ptr<transport::TlsStream> stream, Nanos deadline) {
  CHECK(phase_ == Phase::starting && !tls_);
  tls_ = std::move(stream);
  tls_->start(deadline);
}

void ConnectionCarrier::drain(CloseReason reason) {
  if (drainAsked_ != CloseReason::none) return;
  drainAsked_ = reason;
  schedule();
}

void ConnectionCarrier::close(CloseReason reason) {
  hurry_ = asked_ != CloseReason::none;
  if (!hurry_) asked_ = reason;
  schedule();
}

void ConnectionCarrier::dispose(CloseReason reason) {
  if (phase_ == Phase::gone) return;
  phase_ = Phase::gone;
  lost_ = true;
  PassHook::unschedule();
  Timer::cancel();
  error_ = makeError(reason);
  h2_.abort(reason);
  if (tls_) tls_->abort();
}

// Tunnels.

void ConnectionCarrier::sourceReady(h2::Stream& stream) {
  h2_.sourceReady(stream);
  schedule();
}

void ConnectionCarrier::consumed(h2::Stream& stream, size_t bytes) {
  h2_.consumed(stream, bytes);
  if (h2_.wantsProduce()) schedule();
}

void ConnectionCarrier::resetTunnel(h2::Stream& stream, h2::ErrorCode code) {
  stream.user = nullptr;
  h2_.resetStream(stream, code);
  schedule();
}

ReceiveGather& ConnectionCarrier::gather() { return gather_; }

// What the peer did.

void ConnectionCarrier::onHeaders(h2::Stream& stream, const h2::HeaderList& fields, bool end) {
  auto* tunnel = static_cast<Tunnel*>(stream.user);
  if (tunnel == nullptr || tunnel->opening != nullptr) return onFields(stream, fields, end);
  if (end) tunnel->onPayload({}, true);  // trailers mean nothing to a tunnel
}

void ConnectionCarrier::onData(h2::Stream& stream, ByteSpan payload, bool end) {
  auto* tunnel = static_cast<Tunnel*>(stream.user);
  if (tunnel == nullptr) return h2_.consumed(stream, payload.size());
  tunnel->onPayload(payload, end);
}

void ConnectionCarrier::onStreamClosed(h2::Stream& stream, const h2::StreamClose& close) {
  auto* tunnel = static_cast<Tunnel*>(std::exchange(stream.user, nullptr));
  schedule();
  if (tunnel == nullptr) return;
  if (tunnel->opening != nullptr) return onOpeningClosed(stream, *tunnel, close);
  if (close.reason == CloseReason::complete) return tunnel->onStreamComplete();
  tunnel->onPeerReset(close.reason, static_cast<uint32_t>(close.code));
}

void ConnectionCarrier::onConnectionError(const Error& error) {
  error_ = error;
  schedule();
}

// The TLS stream.

void ConnectionCarrier::onEstablished() {
  CHECK(phase_ == Phase::starting);
  phase_ = Phase::open;
  heardAt_ = loop_.now();
  h2_.start(heardAt_);
  schedule();
  if (asked_ == CloseReason::none) onReady();
}

void ConnectionCarrier::onPlaintext(MutableByteSpan bytes) {
  heardAt_ = loop_.now();
  pingedAt_ = 0;
  // An error is told by onConnectionError; all that follows it is dropped.
  static_cast<void>(h2_.feed(bytes, heardAt_).ok());
  schedule();
}

void ConnectionCarrier::onBatchEnd() {
  if (gather_.owner != nullptr) gather_.owner->flushReceived();
}

void ConnectionCarrier::onClosed(const Error& error) {
  if (phase_ == Phase::gone) return;
  phase_ = Phase::ending;
  Timer::cancel();
  if (h2_.dead() && error_.reason != CloseReason::internal) return lose(error_);
  Error mapped = error;
  const bool client = h2_.role() == h2::Role::client;
  mapped.side = client ? Side::upstream : Side::downstream;
  const CloseReason reset = client ? CloseReason::upstreamReset : CloseReason::downstreamReset;
  if (error.reason == CloseReason::downstreamReset) mapped.reason = reset;
  // An end in order is none for the streams it cuts.
  if (error.reason == CloseReason::complete && (busy() || !proven())) mapped.reason = reset;
  lose(mapped);
}

void ConnectionCarrier::onReleased() {
  CHECK(phase_ == Phase::ending && lost_);
  phase_ = Phase::gone;
  PassHook::unschedule();
  onGone();
}

size_t ConnectionCarrier::reserveUnits(h2::OutputUnit* units, size_t count) {
  MutableByteSpan records[h2::kUnitsPerPull];
  const size_t got = tls_->reserveRecords(records, std::min(count, h2::kUnitsPerPull));
  for (size_t i = 0; i < got; ++i) {
    units[i].header = records[i].data();
    units[i].payload = records[i].data() + h2::kFrameHeaderBytes;
    units[i].payloadMax = h2::kUnitPayloadMax;
  }
  return got;
}

// The end of a pass.

void ConnectionCarrier::onPassEnd() {
  if (asked_ != CloseReason::none && (phase_ == Phase::starting || hurry_)) return cut();
  if (phase_ != Phase::open) return;
  if (asked_ != CloseReason::none && !h2_.dead()) {
    error_ = makeError(asked_);
    h2_.goaway(h2::ErrorCode::noError, asked_);
  }
  if (drainAsked_ != CloseReason::none) h2_.shutdownGraceful();
  if (!h2_.dead()) onTurn();
  write();
  settle();
}

void ConnectionCarrier::cut() {
  if (phase_ == Phase::gone) return;
  phase_ = Phase::gone;
  Timer::cancel();
  if (tls_) tls_->abort();
  lose(makeError(asked_));
  onGone();
}

void ConnectionCarrier::write() {
  if (tls_->blocked() || !h2_.wantsProduce()) return;  // onRoom goes on
  const size_t produced = h2_.produce(*this, burst_, loop_.now());
  if (!tls_->flush()) {
    takenAt_ = loop_.now();
    unsentSeen_ = tls_->unsentBytes();
    burst_ = std::max(burst_ / 2, kBurstMin);
    return;
  }
  if (produced >= burst_) burst_ = std::min(burst_ * 2, kBurstMax);
  if (phase_ == Phase::open && h2_.wantsProduce()) schedule();
}

void ConnectionCarrier::settle() {
  if (phase_ != Phase::open) return;
  if (h2_.dead()) return finish(error_);
  const bool used = streams() > 0 || hasOpenings();
  if (draining() && !used) {
    return finish(makeError(drainAsked_ == CloseReason::none ? CloseReason::goaway : drainAsked_));
  }
  if (!used && idleSince_ == 0) idleSince_ = loop_.now();
  if (used && idleSince_ != 0) {
    idleSince_ = 0;
    heardAt_ = loop_.now();
  }
  armTimer();
}

// Says goodbye, as far as the socket lets us, and lets go of the peer.
void ConnectionCarrier::finish(const Error& error) {
  phase_ = Phase::ending;
  Timer::cancel();
  if (h2_.wantsProduce()) h2_.produce(*this, kFarewellBytes, loop_.now());
  tls_->closeInOrder();
  lose(error);
}

void ConnectionCarrier::lose(const Error& error) {
  if (std::exchange(lost_, true)) return;
  const Error kept = error_ = error;
  h2_.abort(kept.reason);
  onLost(kept);
}

// Deadlines.

void ConnectionCarrier::onTimer() {
  armedFor_ = 0;
  if (phase_ != Phase::open) return;
  const Nanos now = loop_.now();
  h2_.onTimer(now);
  if (!h2_.dead()) onOpeningDeadline(now);
  if (deadlines_.idle != 0 && idleSince_ != 0 && now - idleSince_ >= deadlines_.idle) {
    drain(CloseReason::idleTimeout);
  }
  schedule();
  checkLiveness(now);
}

// A peer is alive while anything comes from it, PONGs included, and while it takes what we send.
void ConnectionCarrier::checkLiveness(Nanos now) {
  if (deadlines_.liveness == 0 || !busy() || h2_.dead()) return;
  const Nanos half = deadlines_.liveness / 2;
  const bool mute = pingedAt_ != 0 && now - pingedAt_ >= half;
  const size_t unsent = tls_->unsentBytes();
  if (unsent != std::exchange(unsentSeen_, unsent)) takenAt_ = now;
  const bool stuck = unsent > 0 && now - takenAt_ >= deadlines_.liveness;
  if (mute || stuck) {
    phase_ = Phase::gone;
    PassHook::unschedule();
    tls_->abort();
    lose(makeError(CloseReason::peerGone, mute ? "no PONG in time" : "peer does not read"));
    return onGone();
  }
  if (pingedAt_ == 0 && now - heardAt_ >= half) {
    pingedAt_ = now;
    h2_.ping(now);
  }
}

Nanos ConnectionCarrier::nextDeadline() const {
  Nanos next = earlier(h2_.nextDeadline(), openingDeadline());
  if (deadlines_.idle != 0 && idleSince_ != 0) next = earlier(next, idleSince_ + deadlines_.idle);
  if (deadlines_.liveness == 0 || !busy()) return next;
  next = earlier(next, (pingedAt_ != 0 ? pingedAt_ : heardAt_) + deadlines_.liveness / 2);
  if (tls_->unsentBytes() > 0) next = earlier(next, takenAt_ + deadlines_.liveness);
  return next;
}

// A deadline that moved away is found too early and armed anew: no work per message.
void ConnectionCarrier::armTimer() {
  const Nanos next = nextDeadline();
  if (next == 0 || (armedFor_ != 0 && armedFor_ <= next)) return;
  armedFor_ = next;
  Timer::arm(loop_, std::max<Nanos>(next - loop_.now(), 0));
}

}  // namespace onehop::hbone
