#include "hbone/client_connection.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace onehop::hbone {
namespace {

// What a client lets a server do; a CONNECT response is a few fields.
h2::Limits clientLimits(uint32_t streamsMax) {
  h2::Limits limits;
  limits.streamsMax = 0;
  limits.peerStreamsAssumed = streamsMax;
  limits.headerListBytesMax = 16384;
  return limits;
}

int statusOf(const h2::HeaderList& fields) {
  int status = 0;
  for (const char digit : fields.find(":status").value_or("")) status = status * 10 + (digit - '0');
  return status;
}

}  // namespace

ClientConnection::ClientConnection(transport::EventLoop& loop, const DialParams& params,
                                   uint32_t streamsMax, ClientEvents& events,
                                   h2::WindowLedger* ledger,
                                   transport::TlsCounters* tlsCounters)
    : ConnectionCarrier(loop, h2::Role::client, clientLimits(streamsMax), params.deadlines, ledger),
      events_(events),
      tlsCounters_(tlsCounters),
      credentials_(params.credentials),
      expectedPeers_(params.expectedPeers),
      streamsMax_(streamsMax),
      limit_(streamsMax),
      startedAt_(loop.now()) {
  CHECK(streamsMax > 0);
}

ClientConnection::~ClientConnection() {
  dispose(CloseReason::localClosed);
  CHECK(given_.empty() && sent_.empty());
}

void ClientConnection::dispose(CloseReason reason) {
  dial_.reset();
  ConnectionCarrier::dispose(reason);
  while (Opening* opening = given_.front()) giveBack(*opening, lossError(), false);
}

void ClientConnection::start(const DialParams& params) {
  transport::DialEvents& events = *this;
  dial_ = std::make_unique<transport::Dial>(loop_, events);
  dial_->start(params.address, params.bind, params.context, params.socket, deadlines_.dial);
}

void ClientConnection::onDialled(std::unique_ptr<transport::TcpStream> stream) {
  dial_.reset();
  startTls(transport::TlsStream::client(std::move(stream), std::move(credentials_),
                                        std::move(expectedPeers_), tlsEvents(), tlsCounters_),
           deadlines_.handshake);
}

void ClientConnection::onDialFailed(const Error& error) {
  const Error told = error;  // it lives in the dial
  ConnectionCarrier::dispose(told.reason);
  onLost(told);
  onGone();
}

ClientState ClientConnection::state() const {
  if (lost() || endedByUs()) return ClientState::closed;
  if (starting()) return ClientState::dialling;
  if (draining()) return ClientState::draining;
  return open() ? ClientState::open : ClientState::closed;
}

uint32_t ClientConnection::streamsMax() const { return std::min(limit_, h2_.streamsAllowed()); }

uint32_t ClientConnection::roomLeft() const {
  if (lost() || !open() || draining()) return 0;
  const uint32_t most = streamsMax();
  return load() < most ? most - load() : 0;
}

void ClientConnection::give(Opening& opening) {
  CHECK(roomLeft() > 0 && opening.client == nullptr);
  opening.client = this;
  opening.reused = streamsServed_ + given_.size() > 0;
  given_.pushBack(opening);
  schedule();
}

void ClientConnection::cancel(Opening& opening) {
  CHECK(opening.client == this);
  (given_.contains(opening) ? given_ : sent_).remove(opening);
  opening.client = nullptr;
  opening.tunnel.reset();
  schedule();
}

void ClientConnection::giveBack(Opening& opening, const Error& error, bool again) {
  (given_.contains(opening) ? given_ : sent_).remove(opening);
  opening.client = nullptr;
  opening.early = false;
  if (opening.tunnel) {
    opening.tunnel->opening = nullptr;
    opening.tunnel.reset();
  }
  events_.onOpeningFailed(*this, opening, error, again);
}

void ClientConnection::onReady() { events_.onClientRoom(*this); }

void ClientConnection::onTurn() {
  if (roomLeft() > roomTold_) events_.onClientRoom(*this);
  while (Opening* opening = given_.front()) {
    if (!send(*opening)) giveBack(*opening, makeError(CloseReason::goaway), true);
  }
  roomTold_ = roomLeft();
}

bool ClientConnection::send(Opening& opening) {
  if (!h2_.canOpen() || draining()) return false;
  h2::Stream* stream = h2_.openStream(opening.fields, nullptr, nullptr);
  CHECK(stream != nullptr);
  opening.tunnel = std::make_unique<Tunnel>(*this, *stream);
  opening.tunnel->opening = &opening;
  opening.deadline = loop_.now() + deadlines_.connect;
  stream->user = opening.tunnel.get();
  given_.remove(opening);
  sent_.pushBack(opening);
  ++streamsServed_;
  if (h2_.peerSettings().optimisticConnect) {
    h2_.setSource(*stream, opening.tunnel.get());
    opening.early = true;
    opening.waiter->onEarlyRoom();
  }
  return true;
}

void ClientConnection::onFields(h2::Stream& stream, const h2::HeaderList& fields, bool end) {
  auto* tunnel = static_cast<Tunnel*>(stream.user);
  const int status = statusOf(fields);
  if (tunnel == nullptr || status < 200) return;
  Opening& opening = *static_cast<Opening*>(tunnel->opening);
  if (status < 300) {
    sent_.remove(opening);
    opening.client = nullptr;
    tunnel->opening = nullptr;
    h2_.setSource(stream, tunnel);
    if (end) tunnel->onPayload({}, true);
    limit_ = std::min(limit_ + 1, streamsMax_);
    return events_.onOpened(*this, opening, fields);
  }
  // Destroying the tunnel resets the stream.
  Error error = makeError(CloseReason::connectRefused, "CONNECT refused", status, Side::upstream);
  error.retrySafe = true;
  giveBack(opening, error, false);
}

void ClientConnection::onOpeningClosed(h2::Stream&, Tunnel& tunnel, const h2::StreamClose& close) {
  Opening& opening = *static_cast<Opening*>(tunnel.opening);
  tunnel.onStreamComplete();
  const bool refused = close.code == h2::ErrorCode::refusedStream && close.byPeer;
  // The peer takes fewer than it promised.
  if (refused) limit_ = std::clamp<uint32_t>(static_cast<uint32_t>(streams()), 1, limit_);
  Error error = makeError(close.reason, "stream ended before the CONNECT was answered",
                          static_cast<int>(close.code), Side::upstream);
  if (lost()) error = lossError();
  // A pooled connection may have died unseen. No byte of the flow went out, so a new one may be asked.
  const bool stale = lost() && opening.reused && proven() && asked() == CloseReason::none;
  giveBack(opening, error, close.retrySafe || stale);
}

Nanos ClientConnection::openingDeadline() const {
  return sent_.empty() ? 0 : sent_.front()->deadline;
}

void ClientConnection::onOpeningDeadline(Nanos now) {
  while (!sent_.empty() && sent_.front()->deadline <= now) {
    Opening& opening = *sent_.front();
    giveBack(opening, makeError(CloseReason::connectTimeout, "no CONNECT response", 0, Side::upstream),
             false);
  }
}

void ClientConnection::onLost(const Error& error) {
  dial_.reset();
  const bool again = proven() && asked() == CloseReason::none;
  while (Opening* opening = given_.front()) giveBack(*opening, error, again);
  CHECK(sent_.empty());
  events_.onClientLost(*this, error);
}

void ClientConnection::onGone() { events_.onClientGone(*this); }

}  // namespace onehop::hbone
