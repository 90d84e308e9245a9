// A verdict that changes while flows are on their way.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/support/mesh.h"

namespace onehop::engine {
namespace {

// Listens and accepts nothing; its queue is full, so that a connect to it gets no answer.
struct FullListener {
  FullListener() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof raw;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&raw), size), 0);
    EXPECT_EQ(listen(listener_, 0), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&raw), &size);
    address = "127.0.0.1:" + std::to_string(ntohs(raw.sin_port));
    for (int i = 0; i < 4; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      ::connect(fd, reinterpret_cast<sockaddr*>(&raw), size);
      fillers_.push_back(fd);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ~FullListener() {
    for (const int fd : fillers_) ::close(fd);
    ::close(listener_);
  }
  std::string address;

 private:
  int listener_;
  std::vector<int> fillers_;
};

struct VerdictChange : testing::Test {
  VerdictChange() : engine(quickDials()) {
    engine.decide([&](const Upcall&) {
      Verdict verdict = allowTcp(full.address);
      verdict.endpoints.push_back(verdict.endpoints[0]);
      verdict.generation = 5;
      return verdict;
    });
    at = engine.listen(listenOn(ListenerKind::forward));
  }
  static EngineOptions quickDials() {
    EngineOptions options;
    options.dialTimeoutMs = 300;
    return options;
  }
  void answer(Verdict verdict) {
    verdict.shard = shard;
    verdict.key = key;
    const Status answered = engine.with(
        [&](Engine& e) { return e.answer({std::move(verdict)}); });
    EXPECT_TRUE(answered.ok());
  }
  // A flow that dials.
  TestSocket dialling() {
    TestSocket client = TestSocket::connect(at);
    EXPECT_TRUE(engine.until([&](const Batch& batch) {
      if (batch.events.upcalls.empty()) return false;
      shard = batch.events.upcalls[0].shard;
      key = batch.events.upcalls[0].key;
      return true;
    }));
    EXPECT_TRUE(engine.untilCell(EngineCell::socketsOpen, 3));
    return client;
  }
  FullListener full;
  TestEngine engine;
  std::string at;
  uint32_t shard = 0;
  HandleValue key = 0;
};

// As when its certificate went away: what lives is kept, and what is not there yet finds no way.
TEST_F(VerdictChange, ADenialThatKeepsLiveFlowsEndsTheNextTry) {
  TestSocket client = dialling();
  Verdict denied = deny(CloseReason::noCredential);
  denied.live = LiveFlows::keep;
  denied.generation = 6;
  answer(std::move(denied));
  EXPECT_EQ(client.receive(1), "");
  const FlowSummary summary = engine.summary(0);
  EXPECT_EQ(summary.reason, CloseReason::noCredential);
  EXPECT_EQ(summary.generation, 6u);
}

TEST_F(VerdictChange, ADenialThatClosesEndsADiallingFlowAtOnce) {
  TestSocket client = dialling();
  Verdict denied = deny();
  denied.live = LiveFlows::close;
  denied.generation = 6;
  answer(std::move(denied));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(engine.summary(0).reason, CloseReason::policyChanged);
}

TEST_F(VerdictChange, AnOlderVerdictThatComesLateIsNotTaken) {
  TestSocket client = dialling();
  Verdict denied = deny();
  denied.live = LiveFlows::close;
  denied.generation = 4;
  answer(std::move(denied));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(engine.summary(0).reason, CloseReason::dialTimeout);
}

TEST_F(VerdictChange, ANewerVerdictLeadsTheNextTryElsewhere) {
  EchoServer echo;
  TestSocket client = dialling();
  Verdict moved = allowTcp(echo.address());
  moved.generation = 6;
  answer(std::move(moved));
  ASSERT_TRUE(client.send("x"));
  EXPECT_EQ(client.receive(1), "x");
}

}  // namespace
}  // namespace onehop::engine
