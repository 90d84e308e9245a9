#include "hbone/support/rig.h"

namespace onehop::hbone {
namespace {

TEST_F(HboneTest, EchoesEverySizeBothWaysAndEndsInOrder) {
  for (const uint64_t bytes : {1ull, 2ull, 100ull, 16375ull, 16376ull, 65536ull, 1ull << 20}) {
    Request& request = open("echo:1");
    request.flow.app->send(bytes);
    ASSERT_TRUE(runUntil([&] { return request.flow.done || request.failed; })) << bytes;
    ASSERT_FALSE(request.failed) << request.error.detail;
    ASSERT_TRUE(runUntil([&] { return request.flow.app->ended; }));
    EXPECT_EQ(request.flow.app->received, bytes);
    EXPECT_TRUE(request.flow.app->good);
    EXPECT_EQ(request.flow.reason, CloseReason::complete);
  }
  EXPECT_EQ(server->accepted, 1);
  EXPECT_EQ(pool->stats().dialled, 1u);
  EXPECT_TRUE(requests.back()->reused);
  EXPECT_EQ(requests.back()->peerIdentity, test::kServerId);
  EXPECT_EQ(requests.back()->baggage, "k8s.namespace.name=there");
  EXPECT_EQ(server->requests[0].peerIdentity, test::kClientId);
  EXPECT_EQ(server->requests[0].baggage, "x=y");
  expectNoBuffers();
}

TEST_F(HboneTest, EchoesSixtyFourMebibytes) {
  Request& request = open("echo:1");
  request.flow.app->send(64 << 20);
  ASSERT_TRUE(runUntil([&] { return request.flow.done && request.flow.app->ended; }, 60 * kSecond));
  EXPECT_EQ(request.flow.app->received, uint64_t{64} << 20);
  EXPECT_TRUE(request.flow.app->good);
  expectNoBuffers();
}

TEST_F(HboneTest, CarriesFiveHundredTunnelsOnFewConnections) {
  for (int i = 0; i < 500; ++i) open("echo:1").flow.app->send(3000 + i);
  ASSERT_TRUE(runUntil([&] {
    return std::all_of(requests.begin(), requests.end(),
                       [](const auto& r) { return r->failed || r->flow.app->ended; });
  }));
  for (int i = 0; i < 500; ++i) {
    ASSERT_FALSE(requests[i]->failed) << requests[i]->error.detail;
    EXPECT_EQ(requests[i]->flow.app->received, 3000u + i);
    EXPECT_TRUE(requests[i]->flow.app->good);
  }
  EXPECT_LE(server->accepted, 6);
  expectNoBuffers();
}

TEST_F(HboneTest, HalfClosesEachDirectionAlone) {
  Request& request = open("end:1");  // the far end has nothing to say, and says so
  ASSERT_TRUE(runUntil([&] { return request.flow.app->ended; }));
  EXPECT_FALSE(request.flow.done);
  request.flow.app->send(200000);
  ASSERT_TRUE(runUntil([&] { return request.flow.done; }));
  ASSERT_TRUE(runUntil([&] { return server->flows[0]->app->ended; }));
  EXPECT_EQ(server->flows[0]->app->received, 200000u);
  EXPECT_TRUE(server->flows[0]->app->good);
  EXPECT_EQ(request.flow.reason, CloseReason::complete);
}

TEST_F(HboneTest, PassesResetsOnBothWays) {
  Request& first = open("echo:1");
  Request& second = open("echo:1");
  Request& third = open("echo:1");
  for (Request* r : {&first, &second, &third}) r->flow.app->send(10, false);
  ASSERT_TRUE(runUntil([&] {
    return first.flow.app->received == 10 && second.flow.app->received == 10 &&
           third.flow.app->received == 10;
  }));
  // A socket pair cannot tell RST, so the tunnels are reset themselves.
  first.flow.tunnel->reset(CloseReason::localClosed);
  ASSERT_TRUE(runUntil([&] { return server->flows[0]->done; }));
  EXPECT_EQ(server->flows[0]->reason, CloseReason::downstreamReset);
  server->flows[1]->tunnel->reset(CloseReason::localClosed);
  ASSERT_TRUE(runUntil([&] { return second.flow.done; }));
  EXPECT_EQ(second.flow.reason, CloseReason::upstreamReset);
  EXPECT_EQ(second.flow.code, 8);
  EXPECT_FALSE(third.flow.done);  // neighbours go on
  third.flow.app->send(5, true);
  ASSERT_TRUE(runUntil([&] { return third.flow.done && third.flow.app->ended; }));
  EXPECT_EQ(third.flow.app->received, 15u);
}

TEST_F(HboneTest, AStalledReaderDoesNotStallItsNeighbour) {
  Request& slow = open("sink:1");
  slow.flow.app->send(32 << 20);
  ASSERT_TRUE(runUntil([&] { return slow.opened; }));
  for (int i = 0; i < 200; ++i) loop.runOnce(kMillisecond);
  Request& fast = open("echo:1");
  fast.flow.app->send(8 << 20);
  ASSERT_TRUE(runUntil([&] { return fast.flow.done && fast.flow.app->ended; }));
  EXPECT_EQ(fast.flow.app->received, uint64_t{8} << 20);
  EXPECT_TRUE(fast.reused);
  EXPECT_EQ(server->accepted, 1);
  EXPECT_LT(slow.flow.app->sent, uint64_t{24} << 20);
  server->flows[0]->app->resume();
  ASSERT_TRUE(runUntil([&] { return server->flows[0]->app->ended; }));
  EXPECT_EQ(server->flows[0]->app->received, uint64_t{32} << 20);
  EXPECT_TRUE(server->flows[0]->app->good);
}

TEST_F(HboneTest, TellsTheStatusOfARefusedConnect) {
  Request& denied = open("401:1");
  Request& gone = open("503:1");
  ASSERT_TRUE(runUntil([&] { return denied.failed && gone.failed; }));
  EXPECT_EQ(denied.error.reason, CloseReason::connectRefused);
  EXPECT_EQ(denied.error.code, 401);
  EXPECT_EQ(gone.error.code, 503);
  Request& good = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return good.opened; }));
  EXPECT_EQ(server->accepted, 1);
}

TEST_F(HboneTest, SendsEarlyBytesOnlyAfterTheAnswerAndKeepsThem) {
  Request& request = open("send:5000000");
  ASSERT_TRUE(runUntil([&] { return request.flow.app->ended; }));
  EXPECT_EQ(request.flow.app->received, 5000000u);
  EXPECT_TRUE(request.flow.app->good);
  request.flow.app->send(0);
  ASSERT_TRUE(runUntil([&] { return request.flow.done; }));
}

}  // namespace
}  // namespace onehop::hbone
