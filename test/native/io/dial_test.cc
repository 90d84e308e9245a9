#include "io/dial.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace onehop::io {
namespace {

struct DialTest : testing::Test, DialEvents {
  void SetUp() override { ASSERT_TRUE(loop.init().ok()); }
  void onDialled(std::unique_ptr<TcpStream> made) override { stream = std::move(made); }
  void onDialFailed(const Error& error) override { failed = error.reason; }
  void run() {
    const Nanos until = monotonicNow() + 5 * kSecond;
    while (!stream && failed == CloseReason::none && monotonicNow() < until) {
      loop.runOnce(10 * kMillisecond);
    }
  }
  EventLoop loop;
  Dial dial{loop, *this};
  std::unique_ptr<TcpStream> stream;
  CloseReason failed = CloseReason::none;
};

// A port that was free a moment ago.
SocketAddress freePort() {
  ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  auto listener = openListener(options);
  CHECK(listener.ok());
  return listener.value().bound;
}

TEST_F(DialTest, Connects) {
  ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  auto listener = openListener(options);
  ASSERT_TRUE(listener.ok());
  dial.start(listener.value().bound, {}, {}, {}, kSecond);
  run();
  EXPECT_TRUE(stream);
}

// The kernel drops what a full queue cannot take, and asks again a second later.
TEST_F(DialTest, ConnectsToOneThatAnswersLater) {
  ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  options.backlog = 0;
  auto listener = openListener(options);
  ASSERT_TRUE(listener.ok());
  auto filling = startConnect(listener.value().bound, {}, {}, {});
  ASSERT_TRUE(filling.ok());
  dial.start(listener.value().bound, {}, {}, {}, 4 * kSecond);
  loop.runOnce(10 * kMillisecond);
  EXPECT_FALSE(stream);
  auto accepted = acceptOne(listener.value().fd.get());
  ASSERT_TRUE(accepted.ok() && accepted.value().fd);
  run();
  EXPECT_TRUE(stream);
}

TEST_F(DialTest, TellsNothingOnceCancelled) {
  ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  auto listener = openListener(options);
  ASSERT_TRUE(listener.ok());
  for (const SocketAddress& to : {listener.value().bound, freePort()}) {
    dial.start(to, {}, {}, {}, kSecond);
    dial.cancel();
    for (int i = 0; i < 3; ++i) loop.runOnce(5 * kMillisecond);
    EXPECT_FALSE(stream);
    EXPECT_EQ(failed, CloseReason::none);
    EXPECT_EQ(loop.stats().watched, 0u);
  }
}

TEST_F(DialTest, TellsRefusal) {
  dial.start(freePort(), {}, {}, {}, kSecond);
  run();
  EXPECT_EQ(failed, CloseReason::dialRefused);
}

// TCP lets a socket connect to itself where nobody listens and the kernel picks the same port.
TEST_F(DialTest, AConnectionToItselfIsARefusal) {
  const SocketAddress to = freePort();
  BindChoice bind;
  bind.address = to;
  dial.start(to, bind, {}, {}, kSecond);
  run();
  EXPECT_FALSE(stream);
  EXPECT_EQ(failed, CloseReason::dialRefused);
}

}  // namespace
}  // namespace onehop::io
