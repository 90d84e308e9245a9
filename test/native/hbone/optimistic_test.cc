// DATA ahead of the answer to CONNECT: only to a peer that says it keeps it, and never lost or doubled.
#include "hbone/support/rig.h"

namespace onehop::hbone {
namespace {

struct Optimistic : HboneTest {
  // A connection whose peer's SETTINGS have arrived.
  void warmUp() {
    Request& first = open("echo:1");
    first.flow.app->send(1);
    ASSERT_TRUE(runUntil([&] { return first.flow.done; }));
  }
  Request& openEarly(const std::string& authority, uint32_t bytes) {
    Request& request = open(authority);
    request.early = bytes;
    return request;
  }
};

TEST_F(Optimistic, BytesGoWithTheConnectAndArriveOnce) {
  warmUp();
  for (const uint32_t bytes : {1u, 100u, 4096u, 65536u}) {
    Request& request = openEarly("echo:1", bytes);
    ASSERT_TRUE(runUntil([&] { return request.flow.app->received >= bytes || request.failed; }));
    EXPECT_EQ(request.earlyRooms, 1);
    EXPECT_TRUE(request.earlyKept);
    EXPECT_EQ(request.flow.app->received, bytes);
    EXPECT_TRUE(request.flow.app->good);
    request.flow.app->send(0);
    ASSERT_TRUE(runUntil([&] { return request.flow.done; }));
  }
  expectNoBuffers();
}

TEST_F(Optimistic, TheFirstTunnelWaitsForThePeersSettings) {
  Request& request = openEarly("echo:1", 10);
  ASSERT_TRUE(runUntil([&] { return request.answered(); }));
  EXPECT_TRUE(request.opened);
  EXPECT_EQ(request.earlyRooms, 0);
  EXPECT_FALSE(request.earlyKept);
}

TEST_F(Optimistic, NothingGoesAheadToAPeerThatDoesNotSayItKeepsIt) {
  server->limits.optimisticConnect = false;
  warmUp();
  Request& request = openEarly("echo:1", 10);
  ASSERT_TRUE(runUntil([&] { return request.answered(); }));
  EXPECT_TRUE(request.opened);
  EXPECT_EQ(request.earlyRooms, 0);
}

TEST_F(Optimistic, ARefusalDropsTheBytesAndTheConnectionGoesOn) {
  warmUp();
  for (int i = 0; i < 300; ++i) {  // more than the connection's window in all
    Request& request = openEarly("503:1", 16384);
    ASSERT_TRUE(runUntil([&] { return request.failed; })) << i;
    EXPECT_EQ(request.error.code, 503);
  }
  warmUp();
  EXPECT_EQ(server->accepted, 1);
  EXPECT_EQ(ledger.bytes(), 0u);
  expectNoBuffers();
}

TEST_F(Optimistic, AnUnansweredConnectIsGivenUpWithItsBytes) {
  warmUp();
  Request& request = openEarly("never:1", 4096);
  ASSERT_TRUE(runUntil([&] { return request.earlyRooms == 1; }));
  for (int i = 0; i < 20; ++i) loop.runOnce(kMillisecond);
  pool->cancel(request.ticket);
  ASSERT_TRUE(runUntil([&] { return server->gone == 1; }));
  EXPECT_FALSE(request.answered());
  warmUp();
}

}  // namespace
}  // namespace onehop::hbone
