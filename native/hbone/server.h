#pragma once

#include <memory>
#include <string>

#include "base/handle_map.h"
#include "hbone/client.h"
#include "transport/tls_counters.h"

namespace onehop::hbone {

// One request that waits for its answer. Text is copied: it may be kept by value.
struct IncomingConnect {
  Handle ticket;  // names it in accept() and refuse()
  std::string method;
  std::string authority;
  std::string peerIdentity;  // from the verified certificate
  SocketAddress peer;
  std::string forwarded;
  std::string forwardedNetwork;
  std::string traceparent;
  std::string baggage;
};

class ServerConnection;

class ConnectHandler {
 public:
  // The handshake is done and the peer's identity proven. At most once, before anything else.
  virtual void onServerReady(ServerConnection& connection) = 0;
  // Answer now or later with accept() or refuse(). Methods other than CONNECT have been refused (400).
  virtual void onConnect(ServerConnection& connection, const IncomingConnect& request) = 0;
  // The peer gave up, or the connection is lost, before the answer: the ticket is stale. Its stream slot
  // stays taken until releaseSlot() (rapid reset counts work in progress).
  virtual void onConnectGone(ServerConnection& connection, Handle ticket, CloseReason reason) = 0;
  // Last call for this connection; it retires itself. `established` tells a failed handshake.
  virtual void onServerClosed(ServerConnection& connection, bool established, const Error& error) = 0;

 protected:
  ~ConnectHandler() = default;
};

struct ServerLimits {
  uint32_t streamsMax = 200;
  bool optimisticConnect = true;  // tell peers that DATA ahead of the answer is kept
  HboneDeadlines deadlines;
  transport::TlsCounters* tlsCounters = nullptr;  // of the loop; outlives the connections
};

// One accepted connection. Owns itself from start() until onServerClosed.
class ServerConnection {
 public:
  static ServerConnection& start(transport::EventLoop& loop, std::unique_ptr<transport::TcpStream> socket,
                                 const SocketAddress& peer,
                                 std::shared_ptr<const transport::Credentials> credentials,
                                 const ServerLimits& limits, ConnectHandler& handler,
                                 h2::WindowLedger* ledger);

  // 200 with `headers`. Null when the ticket is stale.
  virtual std::unique_ptr<Tunnel> accept(Handle ticket, const h2::HeaderList& headers) = 0;
  // Header-only response with END_STREAM (reference 2.5). Stale: no effect.
  virtual void refuse(Handle ticket, int status) = 0;
  virtual void releaseSlot() = 0;
  // GOAWAY(NO_ERROR); open streams go on, then the connection closes.
  virtual void drain() = 0;
  // Ends streams and connection. A second call does not wait for the peer to take the goodbye.
  virtual void close(CloseReason reason) = 0;
  virtual const std::string& peerIdentity() const = 0;
  virtual size_t streams() const = 0;

 protected:
  virtual ~ServerConnection() = default;
};

}  // namespace onehop::hbone
