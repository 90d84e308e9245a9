#include "io/relay.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "io/socket.h"
#include "io/tcp_stream.h"

namespace onehop::io {
namespace {

// A connected TCP pair on loopback: `near` blocks, `far` is for the loop.
struct TcpPair {
  TcpPair() {
    const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* raw = reinterpret_cast<sockaddr*>(&at);
    CHECK(bind(listener.get(), raw, size) == 0 && listen(listener.get(), 1) == 0);
    CHECK(getsockname(listener.get(), raw, &size) == 0);
    near = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(connect(near.get(), raw, size) == 0);
    far = Fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    CHECK(far);
    tune(far.get(), {});
    const timeval limit{5, 0};
    setsockopt(near.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  void send(std::string_view text, int flags = 0) {
    ASSERT_EQ(::send(near.get(), text.data(), text.size(), flags | MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  void finish() { shutdown(near.get(), SHUT_WR); }
  void reset() {
    const linger abort{1, 0};
    setsockopt(near.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    near = Fd();
  }
  Fd near, far;
};

struct RelayTest : testing::Test, RelayEvents {
  void SetUp() override { ASSERT_TRUE(loop.init().ok()); }
  void TearDown() override {
    if (relay && !done) relay->abort(CloseReason::localClosed);
  }
  void start() {
    auto one = TcpStream::adopt(loop, std::move(down.far));
    auto two = TcpStream::adopt(loop, std::move(up.far));
    CHECK(one.ok() && two.ok());
    relay = std::make_unique<Relay>(loop, std::move(one.value()), std::move(two.value()), *this);
    relay->start();
  }
  void onMoved(bool isUp, size_t bytes) override {
    (isUp ? movedUp : movedDown) += bytes;
    if (duringMove) std::exchange(duringMove, nullptr)();
  }
  void onDirectionEnd(bool) override { ++ends; }
  void onRelayDone(CloseReason r, RelayEnd e, int) override {
    done = true;
    reason = r;
    end = e;
  }
  template <typename F>
  bool runUntil(F&& ready, Nanos most = 5 * kSecond) {
    const Nanos until = monotonicNow() + most;
    bool now = ready();
    for (; !now && monotonicNow() < until; now = ready()) loop.runOnce(5 * kMillisecond);
    return now;
  }
  // Everything `from` gets until its end, or an error as text.
  std::string drain(const Fd& from) {
    std::string text;
    char bytes[65536];
    while (true) {
      const ssize_t n = recv(from.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (n > 0) {
        text.append(bytes, static_cast<size_t>(n));
      } else if (n == 0) {
        return text + "|end";
      } else if (errno == EAGAIN) {
        return text;
      } else {
        return text + "|reset";
      }
    }
  }
  // What arrives at `from` until `bytes` are there or it ends.
  std::string receive(const Fd& from, size_t bytes) {
    std::string text;
    runUntil([&] {
      text += drain(from);
      return text.size() >= bytes || text.ends_with("|end") || text.ends_with("|reset");
    });
    return text;
  }

  EventLoop loop{LoopOptions{16, 0, 1}};  // splice from the first byte on
  TcpPair down, up;
  std::unique_ptr<Relay> relay;
  std::function<void()> duringMove;
  size_t movedUp = 0, movedDown = 0;
  int ends = 0;
  bool done = false;
  CloseReason reason = CloseReason::none;
  RelayEnd end = RelayEnd::none;
};

TEST_F(RelayTest, SplicesBothWaysAndEndsEachDirectionAlone) {
  start();
  down.send("first");
  EXPECT_EQ(receive(up.near, 5), "first");
  const std::string big(200'000, 'b');
  down.send(big);
  EXPECT_EQ(receive(up.near, big.size()), big);
  EXPECT_GT(loop.stats().splicedBytes, 0u);
  down.finish();
  EXPECT_EQ(receive(up.near, 1), "|end");
  EXPECT_FALSE(done);
  up.send("answer");
  EXPECT_EQ(receive(down.near, 6), "answer");
  up.send(big);
  EXPECT_EQ(receive(down.near, big.size()), big);
  up.finish();
  EXPECT_EQ(receive(down.near, 1), "|end");
  ASSERT_TRUE(runUntil([&] { return done; }));
  EXPECT_EQ(reason, CloseReason::complete);
  EXPECT_EQ(movedUp, 5 + big.size());
  EXPECT_EQ(ends, 2);
}

// The end may come between the read that opens the pipe and the first splice, before epoll tells of it.
TEST_F(RelayTest, AnEndThatOvertakesItsEventIsNoFailure) {
  start();
  duringMove = [&] {
    down.send("second");
    down.finish();
    usleep(20'000);
  };
  down.send("first");
  EXPECT_EQ(receive(up.near, 16), "firstsecond|end");
  EXPECT_FALSE(done);
  up.send("answer");
  up.finish();
  EXPECT_EQ(receive(down.near, 11), "answer|end");
  ASSERT_TRUE(runUntil([&] { return done; }));
  EXPECT_EQ(reason, CloseReason::complete);
}

TEST_F(RelayTest, PassesResetsOnWhileSplicing) {
  start();
  down.send("first");
  EXPECT_EQ(receive(up.near, 5), "first");
  down.send("more");
  EXPECT_EQ(receive(up.near, 4), "more");
  down.reset();
  EXPECT_EQ(receive(up.near, 1), "|reset");
  ASSERT_TRUE(runUntil([&] { return done; }));
  EXPECT_EQ(reason, CloseReason::downstreamReset);
  EXPECT_EQ(end, RelayEnd::a);
}

TEST_F(RelayTest, AStuckReaderHoldsThePipeAndLosesNothing) {
  start();
  down.send("first");
  ASSERT_TRUE(runUntil([&] { return movedUp == 5; }));
  std::string sent = "first";
  const std::string part(64 * 1024, 'p');
  runUntil([&] {
    const ssize_t n = ::send(down.near.get(), part.data(), part.size(), MSG_DONTWAIT);
    if (n > 0) sent.append(part, 0, static_cast<size_t>(n));
    return n < 0;
  });
  for (int i = 0; i < 20; ++i) loop.runOnce(kMillisecond);
  EXPECT_LT(movedUp, sent.size());
  down.finish();
  EXPECT_EQ(receive(up.near, sent.size() + 4), sent + "|end");
}

// An urgent mark cuts a read short although more waits behind it, and no splice goes past it.
TEST_F(RelayTest, UrgentDataIsPassedOnInLine) {
  for (const bool spliced : {false, true}) {
    SCOPED_TRACE(spliced);
    if (spliced) {
      start();
      down.send("first");
      EXPECT_EQ(receive(up.near, 5), "first");
      down.send("more");
      EXPECT_EQ(receive(up.near, 4), "more");
    }
    down.send("abc");
    down.send("U", MSG_OOB);
    down.send("def");
    usleep(20'000);
    if (!spliced) start();
    EXPECT_EQ(receive(up.near, 7), "abcUdef");
    if (!spliced) {
      relay->abort(CloseReason::localClosed);
      relay.reset();
      down = TcpPair();
      up = TcpPair();
    }
  }
  down.finish();
  EXPECT_EQ(receive(up.near, 1), "|end");
}

}  // namespace
}  // namespace onehop::io
