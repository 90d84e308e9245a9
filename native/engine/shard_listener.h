#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>

#include "base/address.h"
#include "engine/contract.h"
#include "h2/flood_guard.h"
#include "hbone/server.h"
#include "io/listener.h"
#include "io/socket.h"

namespace onehop::engine {

class Flow;
class Shard;

struct ListenerSpec {
  HandleValue handle = 0;
  ListenerKind kind = ListenerKind::forward;
  SocketAddress bound;
  io::NetContext context;
  HandleValue credential = 0;
  bool transparent = false;
};

// One listening socket of one shard, and what came in by it: plain connections become flows at once,
// HBONE connections bring a flow with each CONNECT.
class ShardListener final : public io::Retirable,
                            private io::ListenerEvents,
                            private hbone::ConnectHandler {
 public:
  // Handshakes begun and not over, of one source address and of all. Beyond, the oldest one (of that
  // address) is cut: an honest one takes milliseconds and is not the oldest for long.
  static constexpr size_t kHandshakesPerSourceMax = 128;
  static constexpr size_t kHandshakesMax = 1024;
  // Notices beyond are dropped and counted: failed handshakes cost a peer next to nothing.
  static constexpr uint32_t kNoticeBurst = 256;
  static constexpr uint32_t kNoticesPerSecond = 64;

  // Owns the socket, and the descriptor of the namespace in `spec.context`.
  ShardListener(Shard& shard, const ListenerSpec& spec, io::Fd socket, io::Fd netns);
  ShardListener(const ShardListener&) = delete;
  ShardListener& operator=(const ShardListener&) = delete;
  ~ShardListener() override;

  Status start();
  // Accepts no more. With `connections`, tunnels go as well: their streams end with `removed`.
  void close(bool connections);
  // GOAWAY to every tunnel.
  void drain();
  bool closed() const { return closed_; }
  // Nothing came by it that is still there.
  bool idle() const { return flows_ == 0 && connections_.empty(); }
  const ListenerSpec& spec() const { return spec_; }
  size_t connections() const { return connections_.size(); }

  void addFlow() { ++flows_; }
  void removeFlow();
  // The flow behind this request is over, or has taken it.
  void forgetRequest(hbone::ServerConnection& connection, Handle ticket);

 private:
  using Requests = std::unordered_map<uint64_t, Flow*>;

  void onAccepted(io::Fd fd, const SocketAddress& peer) override;
  void onAcceptPaused(int error) override;
  void acceptTunnel(io::Fd fd, const SocketAddress& peer);
  void acceptPlain(io::Fd fd, const SocketAddress& peer);
  void onServerReady(hbone::ServerConnection& connection) override;
  void onConnect(hbone::ServerConnection& connection,
                 const hbone::IncomingConnect& request) override;
  void onConnectGone(hbone::ServerConnection& connection, Handle ticket,
                     CloseReason reason) override;
  void onServerClosed(hbone::ServerConnection& connection, bool established,
                      const Error& error) override;
  void tell(const SocketAddress& peer, const Error& error);
  void maybeForget();

  struct Half {
    hbone::ServerConnection* connection;
    IpAddress source;
  };
  struct Incoming {
    SocketAddress peer;
    Requests requests;
    std::list<Half>::iterator half;  // while `handshaking`
    bool handshaking = true;
  };
  void boundHandshakes(const IpAddress& source);
  void handshakeOver(Incoming& incoming);

  Shard& shard_;
  ListenerSpec spec_;
  io::Fd netns_;
  io::Listener listener_;
  std::unordered_map<hbone::ServerConnection*, Incoming> connections_;
  std::list<Half> halves_;  // oldest first
  h2::TokenBucket notices_{kNoticeBurst, kNoticesPerSecond};
  size_t flows_ = 0;
  bool closed_ = false;
};

}  // namespace onehop::engine
