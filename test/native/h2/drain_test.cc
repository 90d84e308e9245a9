// GOAWAY: graceful in two steps, hard, and received.
#include <gtest/gtest.h>

#include "support/raw.h"

namespace onehop::h2 {
namespace {

using Flow = Endpoint::Flow;

std::vector<Frame> goaways(const std::vector<Frame>& frames) {
  std::vector<Frame> found;
  for (const Frame& f : frames) {
    if (f.type == 7) found.push_back(f);
  }
  return found;
}

TEST(DrainTest, AServerAnnouncesThenNamesTheLastStream) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open(1));
  server.endpoint.produce();
  server.endpoint.connection.shutdownGraceful();
  server.endpoint.connection.shutdownGraceful();
  const auto first = server.written();
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].word(0), 0x7fffffffu);
  EXPECT_EQ(first[0].word(4), 0u);
  EXPECT_EQ(first[1].type, 6);
  // A stream that crossed the announcement is served.
  ASSERT_TRUE(server.open(3));
  EXPECT_EQ(server.endpoint.flows.at(3)->closes, 0);
  ASSERT_TRUE(server.feed(frame(6, 1, 0, first[1].payload)));
  const auto second = goaways(server.written());
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].word(0), 3u);
  // One that comes later is not; it may be tried elsewhere.
  ASSERT_TRUE(server.open(5));
  EXPECT_EQ(server.resetCode(5), 7);
  EXPECT_FALSE(server.endpoint.connection.drained());
  ASSERT_TRUE(server.feed(resetFrame(1) + resetFrame(3)));
  EXPECT_TRUE(server.endpoint.connection.drained());
}

TEST(DrainTest, NamesTheLastStreamAlsoWithoutThePing) {
  Attacked server(Role::server);
  server.endpoint.connection.shutdownGraceful();
  server.endpoint.produce();
  const Nanos deadline = server.endpoint.connection.nextDeadline();
  EXPECT_EQ(deadline, server.endpoint.now + kSecond);
  EXPECT_FALSE(server.endpoint.connection.drained());
  server.endpoint.connection.onTimer(deadline);
  EXPECT_TRUE(server.endpoint.connection.drained());
  EXPECT_EQ(server.endpoint.connection.nextDeadline(), 0);
  EXPECT_EQ(goaways(server.written()).at(0).word(0), 0u);
}

TEST(DrainTest, TheDrainPingIsNotTheOwners) {
  Pair pair;
  pair.run();
  pair.server.connection.ping(pair.server.now);
  pair.server.connection.shutdownGraceful();
  pair.run();
  EXPECT_EQ(pair.server.pingAcks.size(), 1u);
  EXPECT_TRUE(pair.server.connection.drained());
  EXPECT_EQ(pair.client.goaways.size(), 2u);
}

TEST(DrainTest, AClientLetsItsStreamsEnd) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  pair.client.connection.shutdownGraceful();
  EXPECT_FALSE(pair.client.connection.canOpen());
  EXPECT_EQ(pair.client.open(), nullptr);
  pair.run();
  ASSERT_EQ(pair.server.goaways.size(), 1u);
  pair.client.send(*up, "last", true);
  pair.server.send(pair.other(*up), "words", true);
  pair.run();
  EXPECT_EQ(up->in, "words");
  EXPECT_TRUE(pair.client.connection.drained());
}

TEST(DrainTest, AReceivedGoawayClosesOnlyStreamsAboveItsLast) {
  Attacked client(Role::client);
  Flow* a = client.endpoint.open();
  Flow* b = client.endpoint.open();
  ASSERT_TRUE(client.feed(frame(7, 0, 0, number(0x7fffffff, 4) + number(0, 4))));
  EXPECT_EQ(a->closes + b->closes, 0);
  EXPECT_FALSE(client.endpoint.connection.canOpen());
  EXPECT_TRUE(client.endpoint.connection.goawayReceived());
  ASSERT_TRUE(client.feed(frame(7, 0, 0, number(1, 4) + number(0, 4))));
  EXPECT_EQ(a->closes, 0);
  EXPECT_EQ(b->closes, 1);
  EXPECT_EQ(b->close.reason, CloseReason::goaway);
  EXPECT_TRUE(b->close.retrySafe);
  ASSERT_TRUE(client.feed(headersFrame(1, okBlock())));
  EXPECT_EQ(a->heads.size(), 1u);
  EXPECT_EQ(client.endpoint.goaways.size(), 2u);
}

TEST(DrainTest, RefusedStreamsAreSafeToRetry) {
  Attacked client(Role::client);
  Flow* a = client.endpoint.open();
  Flow* b = client.endpoint.open();
  ASSERT_TRUE(client.feed(resetFrame(1, 7) + resetFrame(3, 8)));
  EXPECT_TRUE(a->close.retrySafe);
  EXPECT_FALSE(b->close.retrySafe);
}

TEST(DrainTest, AHardGoawayAfterAGracefulOneNeverRaisesTheLastStream) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open(1));
  server.endpoint.connection.shutdownGraceful();
  server.endpoint.produce();
  server.endpoint.connection.onTimer(server.endpoint.now + 2 * kSecond);
  ASSERT_TRUE(server.open(7));
  server.endpoint.connection.goaway(ErrorCode::internalError);
  const auto found = goaways(server.written());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].word(0), 1u);
  EXPECT_EQ(found[1].word(0), 1u);
  EXPECT_EQ(found[1].word(4), 2u);
}

}  // namespace
}  // namespace onehop::h2
