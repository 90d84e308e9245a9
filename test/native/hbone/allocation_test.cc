// In the steady state nothing is allocated: not per byte, not per frame, not per pass.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdio>
#include <string>

#include "hbone/support/rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// What <sanitizer/allocator_interface.h> declares, which GCC does not install.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
#define ONEHOP_COUNTS_ALLOCATIONS 1
#endif

namespace onehop::hbone {
namespace {

thread_local bool counting = false;
thread_local size_t allocations = 0;

#ifdef ONEHOP_COUNTS_ALLOCATIONS
void onMalloc(const volatile void*, size_t) { allocations += counting ? 1 : 0; }
void onFree(const volatile void*) {}
#endif

// A tunnel joined to one end of a socket pair; the test holds the other end.
struct Joined final : io::DriverEvents {
  void join(io::EventLoop& loop, std::unique_ptr<Tunnel> made) {
    auto pair = io::makeSocketPair();
    CHECK(pair.ok());
    fd = std::move(pair.value().first);
    auto adopted = io::TcpStream::adopt(loop, std::move(pair.value().second));
    CHECK(adopted.ok());
    local = std::move(adopted.value());
    tunnel = std::move(made);
    tunnel->attach(*local, *this);
  }
  void onMoved(bool, size_t) override {}
  void onDirectionEnd(bool) override {}
  void onDriverDone(CloseReason, int, bool) override { done = true; }
  size_t write(const char* bytes, size_t count) {
    const ssize_t n = ::send(fd.get(), bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  size_t read(char* bytes, size_t count) {
    const ssize_t n = ::recv(fd.get(), bytes, count, MSG_DONTWAIT);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  io::Fd fd;
  std::unique_ptr<io::TcpStream> local;
  std::unique_ptr<Tunnel> tunnel;
  bool done = false;
};

struct Acceptor final : ConnectHandler, io::ListenerEvents {
  explicit Acceptor(io::EventLoop& l) : loop(l) {
    io::ListenOptions options;
    options.address = *SocketAddress::parse("127.0.0.1:0");
    auto socket = io::openListener(options);
    CHECK(socket.ok());
    address = socket.value().bound;
    listener = std::make_unique<io::Listener>(loop, std::move(socket.value().fd), *this);
    CHECK(listener->start().ok());
  }
  ~Acceptor() {
    joined.clear();
    if (connection != nullptr) connection->close(CloseReason::localClosed);
    while (connection != nullptr) loop.runOnce(10 * kMillisecond);
  }
  void onAccepted(io::Fd fd, const SocketAddress& peer) override {
    auto stream = io::TcpStream::adopt(loop, std::move(fd));
    CHECK(stream.ok() && connection == nullptr);
    connection = &ServerConnection::start(loop, std::move(stream.value()), peer,
                                          test::testCredentials(test::kServerId), {}, *this, nullptr);
  }
  void onAcceptPaused(int) override {}
  void onServerReady(ServerConnection&) override {}
  void onConnect(ServerConnection& server, const IncomingConnect& request) override {
    joined.push_back(std::make_unique<Joined>());
    joined.back()->join(loop, server.accept(request.ticket, {}));
  }
  void onConnectGone(ServerConnection&, Handle, CloseReason) override {}
  void onServerClosed(ServerConnection&, bool, const Error&) override { connection = nullptr; }

  io::EventLoop& loop;
  SocketAddress address;
  std::unique_ptr<io::Listener> listener;
  ServerConnection* connection = nullptr;
  std::vector<std::unique_ptr<Joined>> joined;
};

struct AllocationTest : testing::Test {
  struct Dialled final : TunnelWaiter {
    explicit Dialled(io::EventLoop& l) : loop(l) {}
    void onTunnel(std::unique_ptr<Tunnel> tunnel, const TunnelInfo&,
                  const h2::HeaderList&) override {
      joined.join(loop, std::move(tunnel));
    }
    void onTunnelFailed(const Error& error) override { ADD_FAILURE() << error.detail; }
    io::EventLoop& loop;
    Joined joined;
  };

  void SetUp() override {
#ifdef ONEHOP_COUNTS_ALLOCATIONS
    static const int hooked = __sanitizer_install_malloc_and_free_hooks(onMalloc, onFree);
    ASSERT_NE(hooked, 0);
#else
    GTEST_SKIP() << "allocations are counted under a sanitizer";
#endif
    ASSERT_TRUE(loop.init().ok());
    acceptor = std::make_unique<Acceptor>(loop);
    pool = std::make_unique<Pool>(loop, PoolLimits{});
  }
  void TearDown() override {
    dialled.clear();
    pool.reset();
    acceptor.reset();
  }
  // One more tunnel on the same connection.
  void open() {
    DialParams params;
    params.address = acceptor->address;
    params.credentials = test::testCredentials(test::kClientId);
    params.expectedPeers = {test::kServerId};
    PoolKey key;
    key.credential = 1;
    key.address = params.address;
    key.expectedPeers = params.expectedPeers;
    dialled.push_back(std::make_unique<Dialled>(loop));
    pool->acquire(key, params, {"10.0.0.1:80", {}}, *dialled.back());
    const Nanos until = monotonicNow() + 10 * kSecond;
    while (!dialled.back()->joined.tunnel && monotonicNow() < until) loop.runOnce(kMillisecond);
    ASSERT_TRUE(dialled.back()->joined.tunnel);
  }
  // A pass of the loop, counted.
  void pass() {
    counting = true;
    loop.runOnce(10 * kMillisecond);
    counting = false;
  }
  // `bytes` from one end of the tunnel to the other.
  void carry(Joined& from, Joined& to, size_t bytes) {
    size_t sent = 0, received = 0;
    const Nanos until = monotonicNow() + 10 * kSecond;
    while (received < bytes && monotonicNow() < until) {
      if (sent < bytes) sent += from.write(text.data(), std::min(text.size(), bytes - sent));
      pass();
      while (const size_t n = to.read(text.data(), text.size())) received += n;
    }
    ASSERT_EQ(received, bytes);
  }
  void pingPong(size_t bytes, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      for (size_t flow = 0; flow < dialled.size(); ++flow) {
        carry(dialled[flow]->joined, *acceptor->joined[flow], bytes);
        carry(*acceptor->joined[flow], dialled[flow]->joined, bytes);
      }
    }
  }
  // What a transfer allocates once it has been done before.
  template <typename F>
  size_t steady(F&& transfer) {
    transfer();
    allocations = 0;
    transfer();
    return allocations;
  }

  io::EventLoop loop;
  std::string text = std::string(256 * 1024, 't');
  std::unique_ptr<Acceptor> acceptor;
  std::unique_ptr<Pool> pool;
  std::vector<std::unique_ptr<Dialled>> dialled;
};

TEST_F(AllocationTest, OfPingPong) {
  open();
  EXPECT_EQ(steady([&] { pingPong(1, 200); }), 0u);
  EXPECT_EQ(steady([&] { pingPong(5000, 200); }), 0u);
}

TEST_F(AllocationTest, OfManyTunnelsOnOneConnection) {
  for (int i = 0; i < 8; ++i) open();
  EXPECT_EQ(steady([&] { pingPong(100, 50); }), 0u);
}

TEST_F(AllocationTest, OfBulk) {
  open();
  constexpr size_t kBytes = 64 << 20;
  const size_t allocated =
      steady([&] { carry(dialled[0]->joined, *acceptor->joined[0], kBytes); });
  std::printf("%zu allocations for %zu MiB of bulk\n", allocated, kBytes >> 20);
  EXPECT_LE(allocated, 64u);  // unfinished records and full sockets may cost some, bytes none
}

}  // namespace
}  // namespace onehop::hbone
