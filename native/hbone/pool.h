#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/handle_map.h"
#include "hbone/client.h"
#include "transport/tls_counters.h"

namespace onehop::hbone {

// Connections are shared only between equal keys (reference 2.7).
struct PoolKey {
  uint64_t credential = 0;         // packed handle
  uint32_t credentialVersion = 0;  // bumped by putCredential: new tunnels take the new certificate
  std::vector<std::string> expectedPeers;
  SocketAddress address;
  std::optional<SocketAddress> bind;
  int netnsIndex = 0;
  uint32_t mark = 0;
  auto operator<=>(const PoolKey&) const = default;
};

struct PoolLimits {
  uint32_t streamsMax = 100;          // per connection; the peer's SETTINGS can only lower it
  uint32_t waitersMax = 65536;        // beyond: onTunnelFailed(overload)
  Nanos negative = 500 * kMillisecond;  // a failed dial answers for its key this long
  size_t windowLedgerBytes = 256u << 20;
  transport::TlsCounters* tlsCounters = nullptr;  // of the loop; outlives the pool
};

struct PoolStats {
  uint64_t dialled = 0;
  uint64_t reused = 0;
  uint64_t dialFailures = 0;
  uint64_t active = 0;
};

struct PooledTunnelFacts {
  SocketAddress dial;
  std::string localIdentity;
  std::string peerIdentity;
  uint32_t streams = 0;
  uint64_t streamsServed = 0;
  uint32_t streamsMax = 0;
  Nanos age = 0;
  ClientState state = ClientState::dialling;
};

class PoolVisitor {
 public:
  virtual void onPooledTunnel(const PooledTunnelFacts& facts) = 0;

 protected:
  ~PoolVisitor() = default;
};

// Outbound connections of one shard. Dials are single-flight: all waiters of a key share the result or
// the error. A connection at its limit serves again when streams end.
class Pool {
 public:
  Pool(transport::EventLoop& loop, const PoolLimits& limits);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Never calls the waiter from inside. The waiter must live until its call or cancel().
  Handle acquire(const PoolKey& key, const DialParams& params, const ConnectRequest& request,
                 TunnelWaiter& waiter);
  // From onEarlyRoom() to the outcome: sends at most Tunnel::kWriteBytesMax bytes in all ahead of the
  // answer. False when they were not taken.
  bool sendEarly(Handle ticket, ByteSpan bytes);
  // No call follows. A CONNECT already sent is reset; a dial others wait for goes on. Stale: no effect.
  void cancel(Handle ticket);

  // GOAWAY to the connections of that address or credential; their streams go on.
  void purgeAddress(const SocketAddress& address);
  void purgeCredential(uint64_t credential);
  // GOAWAY to all; new acquires fail with `drained`.
  void drain();
  // Ends all now, waiters fail with `reason`.
  void closeAll(CloseReason reason);
  void visit(PoolVisitor& visitor) const;
  const PoolStats& stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace onehop::hbone
