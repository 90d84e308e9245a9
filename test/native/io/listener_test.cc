#include "io/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <vector>

#include "io/dial.h"

namespace onehop::io {
namespace {

int option(const Fd& fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd.get(), level, name, &value, &length) == 0 ? value : -1;
}

struct ListenerTest : testing::Test, ListenerEvents {
  void SetUp() override { ASSERT_TRUE(loop.init().ok()); }
  void onAccepted(Fd fd, const SocketAddress&) override { accepted.push_back(std::move(fd)); }
  void onAcceptPaused(int error) override { paused = error; }
  Result<ListenSocket> tryOpen(const char* address, const SocketOptions& options) {
    ListenOptions how;
    how.address = *SocketAddress::parse(address);
    how.accepted = options;
    return openListener(how);
  }
  ListenSocket open(const char* address) {
    Result<ListenSocket> made = tryOpen(address, {});
    CHECK(made.ok());
    return std::move(made.value());
  }
  void connectTo(const SocketAddress& to, int count) {
    for (int i = 0; i < count; ++i) {
      Result<Connecting> begun = startConnect(to, {}, {}, {});
      CHECK(begun.ok());
      clients.push_back(std::move(begun.value().fd));
    }
  }
  void runUntil(size_t count) {
    const Nanos until = monotonicNow() + 5 * kSecond;
    while (accepted.size() < count && monotonicNow() < until) loop.runOnce(10 * kMillisecond);
  }
  EventLoop loop;
  std::vector<Fd> accepted;
  std::vector<Fd> clients;
  int paused = 0;
};

struct ListenerOptionsTest : ListenerTest, testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, ListenerOptionsTest, testing::Values("127.0.0.1:0", "[::1]:0"));

TEST_P(ListenerOptionsTest, EveryConnectionHasThem) {
  SocketOptions options;
  options.congestion = "reno";
  options.keepaliveIdleSeconds = 61;
  options.keepaliveIntervalSeconds = 21;
  options.keepaliveProbes = 6;
  options.userTimeoutMs = 60500;
  options.notSentLowat = 65537;
  Result<ListenSocket> socket = tryOpen(GetParam(), options);
  if (!socket.ok()) GTEST_SKIP() << GetParam() << ": " << socket.error().detail;
  const SocketAddress to = socket.value().bound;
  Listener listener(loop, std::move(socket.value().fd), *this);
  ASSERT_TRUE(listener.start().ok());
  connectTo(to, 1);
  runUntil(1);
  ASSERT_EQ(accepted.size(), 1u);
  const Fd& fd = accepted[0];
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_OOBINLINE), 1);
  EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 61);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 21);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 60500);
  EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65537);
  char name[16] = {};
  socklen_t length = sizeof name;
  ASSERT_EQ(getsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, name, &length), 0);
  EXPECT_STREQ(name, "reno");
}

TEST_F(ListenerTest, TakesAllThatWaitWhetherTheyCameTogetherOrOneByOne) {
  ListenSocket socket = open("127.0.0.1:0");
  const SocketAddress to = socket.bound;
  Listener listener(loop, std::move(socket.fd), *this);
  ASSERT_TRUE(listener.start().ok());
  connectTo(to, 3 * Listener::kBatch + 1);
  runUntil(clients.size());
  EXPECT_EQ(accepted.size(), clients.size());
  for (int i = 0; i < 5; ++i) {
    connectTo(to, 1);
    runUntil(clients.size());
    EXPECT_EQ(accepted.size(), clients.size());
  }
  EXPECT_EQ(paused, 0);
}

TEST_F(ListenerTest, KnowsHowManyWait) {
  ListenSocket socket = open("127.0.0.1:0");
  EXPECT_EQ(acceptQueue(socket.fd.get()), 0);
  connectTo(socket.bound, 3);
  const Nanos until = monotonicNow() + 5 * kSecond;
  while (acceptQueue(socket.fd.get()) < 3 && monotonicNow() < until) {
  }
  EXPECT_EQ(acceptQueue(socket.fd.get()), 3);
  EXPECT_EQ(acceptQueue(-1), -1);
}

}  // namespace
}  // namespace onehop::io
