#include "hbone/server.h"

#include <utility>

#include "base/check.h"
#include "hbone/connection_carrier.h"

namespace onehop::hbone {
namespace {

h2::Limits serverLimits(const ServerLimits& limits) {
  h2::Limits h2;
  h2.streamsMax = limits.streamsMax;
  h2.optimisticConnect = limits.optimisticConnect;
  return h2;
}

std::string fieldOf(const h2::HeaderList& fields, std::string_view name) {
  return std::string(fields.find(name).value_or(""));
}

// A CONNECT that waits for its answer. Its tunnel already keeps what the peer sends before that, within
// the stream's window.
struct Asking {
  Handle ticket;
  h2::Stream* stream = nullptr;
  std::unique_ptr<Tunnel> tunnel;
};

class AcceptedConnection final : public ServerConnection, public ConnectionCarrier {
 public:
  AcceptedConnection(transport::EventLoop& loop, const SocketAddress& peer, const ServerLimits& limits,
                     ConnectHandler& handler, h2::WindowLedger* ledger)
      : ConnectionCarrier(loop, h2::Role::server, serverLimits(limits), limits.deadlines, ledger),
        handler_(handler),
        peer_(peer),
        tlsCounters_(limits.tlsCounters) {}
  ~AcceptedConnection() override {
    dispose(CloseReason::localClosed);
    CHECK(asking_.size() == 0);
  }

  void begin(std::unique_ptr<transport::TcpStream> socket,
             std::shared_ptr<const transport::Credentials> credentials) {
    startTls(transport::TlsStream::server(std::move(socket), std::move(credentials), tlsEvents(),
                                          tlsCounters_),
             deadlines_.handshake);
  }

  std::unique_ptr<Tunnel> accept(Handle ticket, const h2::HeaderList& headers) override {
    std::unique_ptr<Asking> asking = take(ticket);
    if (!asking) return nullptr;
    h2::HeaderList fields;
    fields.add(":status", "200");
    for (size_t i = 0; i < headers.size(); ++i) fields.add(headers[i].name, headers[i].value);
    h2_.setSource(*asking->stream, asking->tunnel.get());
    h2_.respond(*asking->stream, fields, false);
    schedule();
    return std::move(asking->tunnel);
  }

  void refuse(Handle ticket, int status) override {
    CHECK(status >= 300 && status <= 599);
    std::unique_ptr<Asking> asking = take(ticket);
    if (!asking) return;
    asking->tunnel->onStreamComplete();
    respondEnd(*asking->stream, status);
  }

  void releaseSlot() override {
    if (!h2_.dead()) h2_.releaseSlot();
  }
  void drain() override { ConnectionCarrier::drain(); }
  void close(CloseReason reason) override { ConnectionCarrier::close(reason); }
  const std::string& peerIdentity() const override { return ConnectionCarrier::peerIdentity(); }
  size_t streams() const override { return ConnectionCarrier::streams(); }

 private:
  std::unique_ptr<Asking> take(Handle ticket) {
    std::unique_ptr<Asking>* found = asking_.find(ticket);
    if (found == nullptr) return nullptr;
    std::unique_ptr<Asking> asking = std::move(*found);
    asking_.erase(ticket);
    asking->tunnel->opening = nullptr;
    return asking;
  }

  void respondEnd(h2::Stream& stream, int status) {
    stream.user = nullptr;
    h2::HeaderList fields;
    fields.add(":status", std::to_string(status));
    h2_.respond(stream, fields, true);
    schedule();
  }

  void onReady() override {
    established_ = true;
    handler_.onServerReady(*this);
  }

  void onFields(h2::Stream& stream, const h2::HeaderList& fields, bool end) override {
    if (stream.user != nullptr) {  // trailers before the answer
      if (end) static_cast<Tunnel*>(stream.user)->onPayload({}, true);
      return;
    }
    if (!stream.isConnect()) return respondEnd(stream, 400);
    auto asking = std::make_unique<Asking>();
    Asking& kept = *asking;
    kept.stream = &stream;
    kept.tunnel = std::make_unique<Tunnel>(*this, stream);
    kept.tunnel->opening = &kept;
    stream.user = kept.tunnel.get();
    if (end) kept.tunnel->onPayload({}, true);
    kept.ticket = asking_.insert(std::move(asking));
    IncomingConnect request;
    request.ticket = kept.ticket;
    request.method = fieldOf(fields, ":method");
    request.authority = fieldOf(fields, ":authority");
    request.peerIdentity = ConnectionCarrier::peerIdentity();
    request.peer = peer_;
    request.forwarded = fieldOf(fields, "forwarded");
    request.forwardedNetwork = fieldOf(fields, "x-forwarded-network");
    request.traceparent = fieldOf(fields, "traceparent");
    request.baggage = fieldOf(fields, "baggage");
    handler_.onConnect(*this, request);
  }

  void onOpeningClosed(h2::Stream&, Tunnel& tunnel, const h2::StreamClose& close) override {
    const Handle ticket = static_cast<Asking*>(tunnel.opening)->ticket;
    tunnel.onStreamComplete();
    const std::unique_ptr<Asking> asking = take(ticket);
    CHECK(asking);
    if (!h2_.dead()) h2_.holdSlot();
    handler_.onConnectGone(*this, ticket, close.reason);
  }

  void onTurn() override {}
  void onLost(const Error& error) override { error_ = error; }
  void onGone() override {
    loop_.retire(std::unique_ptr<transport::Retirable>(this));
    handler_.onServerClosed(*this, established_, error_);
  }

  ConnectHandler& handler_;
  SocketAddress peer_;
  transport::TlsCounters* tlsCounters_;
  HandleMap<std::unique_ptr<Asking>> asking_;
  Error error_;
  bool established_ = false;
};

}  // namespace

ServerConnection& ServerConnection::start(transport::EventLoop& loop,
                                          std::unique_ptr<transport::TcpStream> socket,
                                          const SocketAddress& peer,
                                          std::shared_ptr<const transport::Credentials> credentials,
                                          const ServerLimits& limits, ConnectHandler& handler,
                                          h2::WindowLedger* ledger) {
  auto connection = std::make_unique<AcceptedConnection>(loop, peer, limits, handler, ledger);
  AcceptedConnection& started = *connection.release();  // onGone hands it to the loop
  started.begin(std::move(socket), std::move(credentials));
  return started;
}

}  // namespace onehop::hbone
