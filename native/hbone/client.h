#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"
#include "h2/connection.h"
#include "hbone/deadlines.h"
#include "hbone/tunnel.h"
#include "transport/credentials.h"
#include "transport/dialer.h"
#include "transport/loop.h"

namespace onehop::hbone {

// How to make a connection. Copied where it is kept; the descriptor in `context` stays its owner's, who
// keeps it open while it waits.
struct DialParams {
  SocketAddress address;
  transport::BindChoice bind;
  transport::NetContext context;
  transport::SocketOptions socket;
  std::shared_ptr<const transport::Credentials> credentials;
  std::vector<std::string> expectedPeers;  // SPIFFE ids; one must match exactly. Never empty
  HboneDeadlines deadlines;
};

struct ConnectRequest {
  std::string authority;
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names
};

struct TunnelInfo {
  bool reused = false;
  bool early = false;  // what Pool::sendEarly() took is part of this tunnel
  std::string peerIdentity;
  std::string localIdentity;
};

// Hears the outcome of one acquire: exactly one call, from the event loop, unless cancelled. CONNECT
// refused is Error{connectRefused, code = HTTP status}.
class TunnelWaiter {
 public:
  virtual void onTunnel(std::unique_ptr<Tunnel> tunnel, const TunnelInfo& facts,
                        const h2::HeaderList& response) = 0;
  virtual void onTunnelFailed(const Error& error) = 0;
  // The CONNECT was sent on a connection whose peer keeps DATA that comes before its answer: what is
  // there to send now may go by Pool::sendEarly(). Called again, to begin anew, when the CONNECT is
  // repeated on another connection. Comes before the outcome, or not at all.
  virtual void onEarlyRoom() {}

 protected:
  ~TunnelWaiter() = default;
};

enum class ClientState : uint8_t { dialling, open, draining, closed };

}  // namespace onehop::hbone
