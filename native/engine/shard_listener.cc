#include "engine/shard_listener.h"

#include <utility>
#include <vector>

#include "engine/shard.h"

namespace onehop::engine {

namespace {

// `host` of the Forwarded header (RFC 7239), as far as the reference reads it: telemetry only.
std::string forwardedHost(std::string_view forwarded) {
  while (!forwarded.empty()) {
    const size_t cut = forwarded.find(';');
    std::string_view part = forwarded.substr(0, cut);
    forwarded = cut == std::string_view::npos ? std::string_view() : forwarded.substr(cut + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    if (!part.starts_with("host=")) continue;
    part.remove_prefix(5);
    if (part.size() >= 2 && part.front() == '"' && part.back() == '"') {
      part = part.substr(1, part.size() - 2);
    }
    return std::string(part);
  }
  return {};
}

constexpr size_t kAuthorityMax = 512;
constexpr size_t kForwardedHostMax = 255;

}  // namespace

ShardListener::ShardListener(Shard& shard, const ListenerSpec& spec, io::Fd socket, io::Fd netns)
    : shard_(shard),
      spec_(spec),
      netns_(std::move(netns)),
      listener_(shard.loop(), std::move(socket), *this) {}

ShardListener::~ShardListener() { CHECK(idle()); }

Status ShardListener::start() { return listener_.start(); }

void ShardListener::close(bool connections) {
  closed_ = true;
  listener_.close();
  if (!connections) return;
  std::vector<hbone::ServerConnection*> open;
  for (const auto& [connection, incoming] : connections_) open.push_back(connection);
  for (hbone::ServerConnection* connection : open) connection->close(CloseReason::removed);
}

void ShardListener::drain() {
  std::vector<hbone::ServerConnection*> open;
  for (const auto& [connection, incoming] : connections_) open.push_back(connection);
  for (hbone::ServerConnection* connection : open) connection->drain();
}

void ShardListener::removeFlow() {
  CHECK(flows_ > 0);
  --flows_;
  maybeForget();
}

void ShardListener::maybeForget() {
  if (closed_ && idle()) shard_.forget(*this);
}

void ShardListener::forgetRequest(hbone::ServerConnection& connection, Handle ticket) {
  const auto found = connections_.find(&connection);
  if (found != connections_.end()) found->second.requests.erase(ticket.pack());
}

void ShardListener::tell(const SocketAddress& peer, const Error& error) {
  if (!notices_.take(1, shard_.loop().now())) {
    return shard_.counters().add(EngineCell::summariesDropped);
  }
  Notice notice;
  notice.shard = shard_.index();
  notice.listener = spec_.handle;
  notice.source = peer.format();
  notice.reason = error.reason;
  notice.code = error.code;
  notice.detail = error.detail;
  shard_.notice(std::move(notice));
}

// Plain connections.

void ShardListener::onAcceptPaused(int) { shard_.counters().add(EngineCell::acceptPauses); }

void ShardListener::onAccepted(io::Fd fd, const SocketAddress& peer) {
  shard_.counters().add(EngineCell::accepted);
  if (spec_.kind == ListenerKind::hbone) return acceptTunnel(std::move(fd), peer);
  acceptPlain(std::move(fd), peer);
}

void ShardListener::acceptPlain(io::Fd fd, const SocketAddress& peer) {
  SocketAddress destination = spec_.bound;
  if (spec_.kind == ListenerKind::capture || spec_.kind == ListenerKind::plaintext) {
    std::optional<SocketAddress> original = io::originalDestination(fd.get());
    if (!original) original = io::localAddress(fd.get());
    if (original) destination = *original;
  }
  Result<std::unique_ptr<io::TcpStream>> stream =
      io::TcpStream::adopt(shard_.loop(), std::move(fd));
  if (!stream.ok()) return tell(peer, stream.error());
  Flow* flow = shard_.newFlow(this, peer);
  if (flow == nullptr) {
    stream.value()->reset(CloseReason::overload);
    return tell(peer, makeError(CloseReason::overload, "too many live flows"));
  }
  if (spec_.kind == ListenerKind::socks5) return flow->startSocks(std::move(stream.value()));
  flow->startSocket(std::move(stream.value()), destination);
}

// Tunnels.

void ShardListener::acceptTunnel(io::Fd fd, const SocketAddress& peer) {
  const CredentialSlot* credential = shard_.credential(spec_.credential);
  if (credential == nullptr) {
    return tell(peer, makeError(CloseReason::noCredential, "no certificate to serve with"));
  }
  Result<std::unique_ptr<io::TcpStream>> stream =
      io::TcpStream::adopt(shard_.loop(), std::move(fd));
  if (!stream.ok()) return tell(peer, stream.error());
  hbone::ServerLimits limits;
  limits.streamsMax = shard_.options().streamsPerTunnelMax;
  limits.deadlines = shard_.deadlines();
  limits.tlsCounters = &shard_.tlsCounters();
  hbone::ServerConnection& connection =
      hbone::ServerConnection::start(shard_.loop(), std::move(stream.value()), peer,
                                     credential->credentials, limits, *this, &shard_.ledger());
  boundHandshakes(peer.ip);
  halves_.push_back({&connection, peer.ip});
  connections_.emplace(&connection, Incoming{peer, {}, std::prev(halves_.end())});
}

void ShardListener::boundHandshakes(const IpAddress& source) {
  size_t ofSource = 0;
  auto oldest = halves_.end();
  for (auto at = halves_.begin(); at != halves_.end(); ++at) {
    if (at->source != source) continue;
    if (ofSource++ == 0) oldest = at;
  }
  if (ofSource < kHandshakesPerSourceMax) oldest = halves_.end();
  if (halves_.size() >= kHandshakesMax) oldest = halves_.begin();
  if (oldest == halves_.end()) return;
  hbone::ServerConnection& victim = *oldest->connection;
  const auto found = connections_.find(&victim);
  CHECK(found != connections_.end());
  handshakeOver(found->second);
  victim.close(CloseReason::overload);
}

void ShardListener::handshakeOver(Incoming& incoming) {
  if (!std::exchange(incoming.handshaking, false)) return;
  halves_.erase(incoming.half);
}

void ShardListener::onServerReady(hbone::ServerConnection& connection) {
  const auto found = connections_.find(&connection);
  CHECK(found != connections_.end());
  handshakeOver(found->second);
  shard_.counters().add(EngineCell::serverTunnelsActive);
}

void ShardListener::onConnect(hbone::ServerConnection& connection,
                              const hbone::IncomingConnect& request) {
  const auto found = connections_.find(&connection);
  CHECK(found != connections_.end());
  if (request.authority.size() > kAuthorityMax) return connection.refuse(request.ticket, 400);
  hbone::IncomingConnect bounded = request;
  bounded.forwarded = forwardedHost(request.forwarded);
  if (bounded.forwarded.size() > kForwardedHostMax) bounded.forwarded.clear();
  if (bounded.forwardedNetwork.size() > kForwardedHostMax) bounded.forwardedNetwork.clear();
  Flow* flow = shard_.draining() ? nullptr : shard_.newFlow(this, found->second.peer);
  if (flow == nullptr) {
    connection.refuse(request.ticket, 503);
    return tell(found->second.peer, makeError(CloseReason::overload, "too many live flows"));
  }
  found->second.requests.emplace(request.ticket.pack(), flow);
  flow->startConnect(connection, bounded);
}

void ShardListener::onConnectGone(hbone::ServerConnection& connection, Handle ticket,
                                  CloseReason reason) {
  const auto found = connections_.find(&connection);
  if (found != connections_.end()) {
    const auto request = found->second.requests.find(ticket.pack());
    if (request != found->second.requests.end()) {
      Flow* flow = request->second;
      found->second.requests.erase(request);
      flow->onConnectGone(reason);
    }
  }
  // Dial and upcall are cancelled: the slot that kept a rapid reset from opening more is free.
  connection.releaseSlot();
}

void ShardListener::onServerClosed(hbone::ServerConnection& connection, bool established,
                                   const Error& error) {
  const auto found = connections_.find(&connection);
  CHECK(found != connections_.end() && found->second.requests.empty());
  const SocketAddress peer = found->second.peer;
  handshakeOver(found->second);
  connections_.erase(found);
  if (error.reason == CloseReason::h2Flood) shard_.counters().add(EngineCell::h2FloodCloses);
  if (!established || (error.reason != CloseReason::complete &&
                       error.reason != CloseReason::idleTimeout &&
                       error.reason != CloseReason::drained)) {
    tell(peer, error);
  }
  if (established) shard_.counters().add(EngineCell::serverTunnelsActive, -1);
  maybeForget();
}

}  // namespace onehop::engine
