#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hbone/pool.h"
#include "hbone/server.h"
#include "io/event_loop.h"
#include "io/listener.h"
#include "io/socket.h"
#include "io/tcp_stream.h"
#include "support/certificates.h"

namespace onehop::hbone {

// The byte that stands at `at` of every transfer.
inline uint8_t patternByte(uint64_t at) {
  return static_cast<uint8_t>((at * 0x9e3779b97f4a7c15ull) >> 56);
}

// An application behind one end of a tunnel: sends a pattern, checks the pattern it gets, or echoes.
class App final : public io::StreamObserver {
 public:
  App(io::EventLoop& loop, io::Fd fd);
  void send(uint64_t bytes, bool thenEnd = true);
  void echo() { echo_ = true; }
  void pause() { paused_ = true; }
  void resume();
  void reset() { stream_->reset(CloseReason::localClosed); }
  void pump();

  uint64_t received = 0;
  bool good = true;  // every byte as expected, in order
  bool ended = false;
  bool failed = false;
  uint64_t sent = 0;

 private:
  void onReadable() override { pump(); }
  void onWritable() override { pump(); }
  void onStreamFailed(CloseReason, int) override { failed = true; }
  bool read();
  bool write();

  std::unique_ptr<io::TcpStream> stream_;
  std::string pending_;  // echo: read, not written
  uint64_t toSend_ = 0;
  bool endAfter_ = false;
  bool endSent_ = false;
  bool echo_ = false;
  bool paused_ = false;
};

// A tunnel joined to one end of a socket pair whose other end is an App.
class Flow final : public io::DriverEvents {
 public:
  explicit Flow(io::EventLoop& loop);
  ~Flow() { tunnel.reset(); }
  void join(std::unique_ptr<Tunnel> tunnel);
  std::unique_ptr<App> app;
  bool done = false;
  CloseReason reason = CloseReason::none;
  int code = 0;
  std::unique_ptr<Tunnel> tunnel;

 private:
  void onMoved(bool, size_t) override {}
  void onDirectionEnd(bool) override {}
  void onDriverDone(CloseReason r, int c, bool) override;

  std::unique_ptr<io::TcpStream> local_;
};

// One acquire and its outcome.
class Request final : public TunnelWaiter {
 public:
  explicit Request(io::EventLoop& loop) : flow(loop) {}
  void onTunnel(std::unique_ptr<Tunnel> tunnel, const TunnelInfo& facts,
                const h2::HeaderList& response) override;
  void onTunnelFailed(const Error& error) override;
  void onEarlyRoom() override;
  bool answered() const { return opened || failed; }

  Flow flow;
  Handle ticket;
  bool opened = false;
  bool failed = false;
  bool reused = false;
  Pool* pool = nullptr;
  uint32_t early = 0;  // so many bytes of the pattern are sent ahead of the answer, where that is possible
  int earlyRooms = 0;
  bool earlyKept = false;
  std::string baggage;
  std::string peerIdentity;
  Error error;
};

// A server whose answer is named by the authority: "echo:1", "sink:1" (reads nothing), "end:1" (ends at
// once), "send:N" (sends N bytes), "503:1" (refuses so), "never:1" (does not answer).
class Server final : public ConnectHandler, public io::ListenerEvents {
 public:
  Server(io::EventLoop& loop, const std::string& identity);
  ~Server();
  void onServerReady(ServerConnection&) override { ++ready; }
  void onConnect(ServerConnection& connection, const IncomingConnect& request) override;
  void onConnectGone(ServerConnection& connection, Handle ticket, CloseReason reason) override;
  void onServerClosed(ServerConnection& connection, bool established, const Error& error) override;
  void onAccepted(io::Fd fd, const SocketAddress& peer) override;
  void onAcceptPaused(int) override {}

  io::EventLoop& loop;
  std::shared_ptr<const tls::Credentials> credentials;
  ServerLimits limits;
  SocketAddress address;
  std::vector<ServerConnection*> connections;
  std::vector<std::unique_ptr<Flow>> flows;
  std::vector<Error> closed;
  std::vector<IncomingConnect> requests;
  int accepted = 0;
  int ready = 0;
  int gone = 0;
  bool established = false;

 private:
  std::unique_ptr<io::Listener> listener_;
};

struct HboneTest : testing::Test {
  void SetUp() override;
  void TearDown() override;
  Request& open(const std::string& authority, const std::string& expected = test::kServerId);
  PoolKey keyFor(const std::string& expected) const;
  template <typename F>
  bool runUntil(F&& done, Nanos most = 10 * kSecond) {
    const Nanos until = monotonicNow() + most;
    while (!done() && monotonicNow() < until) loop.runOnce(10 * kMillisecond);
    return done();
  }
  // Nothing is lent when all is quiet.
  void expectNoBuffers();

  io::EventLoop loop;
  h2::WindowLedger ledger{64 << 20};
  std::unique_ptr<Server> server;
  std::unique_ptr<Pool> pool;
  PoolLimits poolLimits;
  DialParams params;
  std::vector<std::unique_ptr<Request>> requests;
};

}  // namespace onehop::hbone
