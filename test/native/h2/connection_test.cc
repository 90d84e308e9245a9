#include "h2/connection.h"

#include <gtest/gtest.h>

#include <string>

#include "support/endpoint.h"

namespace onehop::h2 {
namespace {

using Flow = Endpoint::Flow;

std::string pattern(size_t bytes, unsigned seed = 0) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 7 + i / 251 + seed) & 0xff);
  return text;
}

TEST(ConnectionTest, ExchangesPrefaceAndSettings) {
  Pair pair;
  EXPECT_TRUE(pair.client.connection.canOpen());  // before the peer's SETTINGS
  EXPECT_GT(pair.run(), 0u);
  EXPECT_EQ(pair.client.settings, 1);
  EXPECT_EQ(pair.server.settings, 1);
  EXPECT_EQ(pair.client.connection.streamsAllowed(), 200u);
  EXPECT_EQ(pair.client.connection.peerSettings().initialWindow, 256u * 1024);
  EXPECT_EQ(pair.client.connection.nextDeadline(), 0);
  EXPECT_EQ(pair.server.connection.nextDeadline(), 0);
  EXPECT_FALSE(pair.client.connection.wantsProduce());
  EXPECT_FALSE(pair.server.connection.wantsProduce());
}

TEST(ConnectionTest, CarriesConnectAndDataBothWays) {
  Pair pair;
  Flow* up = pair.client.open("10.1.2.3:8080");
  ASSERT_NE(up, nullptr);
  pair.run();
  Flow& down = pair.other(*up);
  const std::vector<std::pair<std::string, std::string>> request = {
      {":method", "CONNECT"}, {":authority", "10.1.2.3:8080"}};
  ASSERT_EQ(down.heads.size(), 1u);
  EXPECT_EQ(down.heads[0], request);
  ASSERT_EQ(up->heads.size(), 1u);
  EXPECT_EQ(up->heads[0][0].second, "200");
  pair.client.send(*up, "question");
  pair.run();
  EXPECT_EQ(down.in, "question");
  pair.server.send(down, "answer");
  pair.run();
  EXPECT_EQ(up->in, "answer");
  EXPECT_EQ(up->closes + down.closes, 0);
}

TEST(ConnectionTest, EndsEachDirectionAlone) {
  for (const bool clientFirst : {true, false}) {
    Pair pair;
    Flow* up = pair.client.open();
    pair.run();
    Flow& down = pair.other(*up);
    Endpoint& first = clientFirst ? pair.client : pair.server;
    Endpoint& second = clientFirst ? pair.server : pair.client;
    Flow& firstFlow = clientFirst ? *up : down;
    Flow& secondFlow = clientFirst ? down : *up;
    first.send(firstFlow, "last words", true);
    pair.run();
    EXPECT_TRUE(secondFlow.inEnd);
    EXPECT_EQ(secondFlow.in, "last words");
    EXPECT_EQ(up->closes + down.closes, 0);
    second.send(secondFlow, "still here");
    pair.run();
    EXPECT_EQ(firstFlow.in, "still here");
    second.send(secondFlow, "", true);
    pair.run();
    EXPECT_EQ(up->closes, 1);
    EXPECT_EQ(down.closes, 1);
    EXPECT_EQ(up->close.reason, CloseReason::complete);
    EXPECT_EQ(down.close.reason, CloseReason::complete);
    EXPECT_EQ(pair.client.connection.streamsActive(), 0u);
    EXPECT_EQ(pair.server.connection.streamsActive(), 0u);
  }
}

TEST(ConnectionTest, ResetsEachWay) {
  Pair pair;
  Flow* a = pair.client.open();
  Flow* b = pair.client.open();
  pair.run();
  Flow& serverA = pair.other(*a);
  Flow& serverB = pair.other(*b);
  pair.client.reset(*a, ErrorCode::cancel);
  pair.server.reset(serverB, ErrorCode::connectError);
  pair.run();
  EXPECT_EQ(serverA.closes, 1);
  EXPECT_EQ(serverA.close.reason, CloseReason::downstreamReset);
  EXPECT_EQ(serverA.close.code, ErrorCode::cancel);
  EXPECT_TRUE(serverA.close.byPeer);
  EXPECT_EQ(b->closes, 1);
  EXPECT_EQ(b->close.reason, CloseReason::upstreamReset);
  EXPECT_EQ(b->close.code, ErrorCode::connectError);
  EXPECT_EQ(a->closes + serverB.closes, 0);  // the caller knows
  EXPECT_FALSE(pair.client.connection.dead() || pair.server.connection.dead());
}

TEST(ConnectionTest, FailedPullResetsTheStream) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  up->failCode = 0xa;
  pair.client.connection.sourceReady(*up->stream);
  pair.run();
  EXPECT_EQ(pair.other(*up).close.code, ErrorCode::connectError);
  EXPECT_EQ(up->closes, 0);
  EXPECT_EQ(pair.client.connection.streamsActive(), 0u);
}

TEST(ConnectionTest, RefusesWithAStatusAndResetsTheUnfinishedRequest) {
  Pair pair;
  pair.server.autoAccept = false;
  Flow* up = pair.client.open();
  pair.run();
  pair.server.answer(pair.other(*up), "503", true);
  EXPECT_EQ(pair.server.connection.streamsActive(), 0u);
  pair.run();
  ASSERT_EQ(up->heads.size(), 1u);
  EXPECT_EQ(up->heads[0][0].second, "503");
  EXPECT_TRUE(up->inEnd);
  EXPECT_EQ(up->closes, 1);
  EXPECT_EQ(up->close.code, ErrorCode::noError);
}

TEST(ConnectionTest, InterimResponseThenFinal) {
  Pair pair;
  pair.server.autoAccept = false;
  Flow* up = pair.client.open();
  pair.run();
  Flow& down = pair.other(*up);
  pair.server.answer(down, "103", false);
  pair.server.answer(down, "200", false);
  pair.server.send(down, "x");
  pair.run();
  ASSERT_EQ(up->heads.size(), 2u);
  EXPECT_EQ(up->heads[1][0].second, "200");
  EXPECT_EQ(up->in, "x");
}

TEST(ConnectionTest, TrailersEndTheDirection) {
  Pair pair;
  Flow* up = pair.client.post();
  pair.run();
  Flow& down = pair.other(*up);
  HeaderList trailers;
  trailers.add("x-reason", "done");
  pair.server.connection.sendTrailers(*down.stream, trailers);
  pair.run();
  ASSERT_EQ(up->heads.size(), 2u);
  EXPECT_TRUE(up->inEnd);
  pair.client.send(*up, "", true);
  pair.run();
  EXPECT_EQ(up->closes, 1);
  EXPECT_EQ(down.closes, 1);
}

TEST(ConnectionTest, PingMeasuresTheRoundTrip) {
  Pair pair;
  pair.run();
  EXPECT_TRUE(pair.client.connection.ping(pair.client.now));
  EXPECT_FALSE(pair.client.connection.ping(pair.client.now));
  pair.advance(5 * kMillisecond);
  pair.run();
  ASSERT_EQ(pair.client.pingAcks.size(), 1u);
  EXPECT_EQ(pair.client.pingAcks[0], 5 * kMillisecond);
  EXPECT_TRUE(pair.server.connection.ping(pair.server.now));
  pair.run();
  EXPECT_EQ(pair.server.pingAcks.size(), 1u);
}

TEST(ConnectionTest, HardGoawayClosesAllStreams) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  Flow& down = pair.other(*up);
  pair.server.connection.goaway(ErrorCode::noError, CloseReason::drained);
  EXPECT_EQ(down.close.reason, CloseReason::drained);
  EXPECT_TRUE(pair.server.connection.wantsProduce());
  ASSERT_TRUE(pair.client.feed(pair.server.produce()).ok());
  ASSERT_EQ(pair.client.goaways.size(), 1u);
  EXPECT_EQ(pair.client.goaways[0].second, 1u);
  EXPECT_FALSE(pair.client.connection.canOpen());
  EXPECT_FALSE(pair.server.feed("anything").ok());
  EXPECT_FALSE(pair.server.connection.wantsProduce());
}

TEST(ConnectionTest, AbortClosesStreamsOnceAndWritesNothing) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  pair.client.send(*up, "unsent");
  pair.client.connection.abort(CloseReason::peerGone);
  pair.client.connection.abort(CloseReason::peerGone);
  EXPECT_EQ(up->closes, 1);
  EXPECT_EQ(up->close.reason, CloseReason::peerGone);
  EXPECT_EQ(pair.client.produce(), "");
}

TEST(ConnectionTest, ManyStreamsInterleaved) {
  Pair pair;
  pair.run();
  std::vector<Flow*> flows;
  for (unsigned i = 0; i < 200; ++i) {
    Flow* up = pair.client.open("10.0.0." + std::to_string(i) + ":1");
    ASSERT_NE(up, nullptr);
    flows.push_back(up);
    pair.client.send(*up, pattern(1000 + i * 37, i), true);
  }
  EXPECT_EQ(pair.client.open(), nullptr);  // at the peer's limit
  pair.run();
  for (unsigned i = 0; i < 200; ++i) {
    Flow& down = pair.other(*flows[i]);
    ASSERT_EQ(down.in, pattern(1000 + i * 37, i)) << i;
    pair.server.send(down, pattern(3000 - i, i), true);
  }
  pair.run();
  for (unsigned i = 0; i < 200; ++i) {
    EXPECT_EQ(flows[i]->in, pattern(3000 - i, i));
    EXPECT_EQ(flows[i]->closes, 1);
  }
  EXPECT_TRUE(pair.client.connection.canOpen());
}

TEST(ConnectionTest, BulkBothWaysFillsWholeRecords) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  Flow& down = pair.other(*up);
  const std::string there = pattern(20 << 20, 1);
  const std::string back = pattern(11 << 20, 2);
  pair.client.send(*up, there, true);
  pair.server.send(down, back, true);
  pair.run();
  EXPECT_TRUE(down.in == there);
  EXPECT_TRUE(up->in == back);
  EXPECT_EQ(up->closes + down.closes, 2);
}

TEST(ConnectionTest, WindowsRunOutAndAreRefilledByTheReader) {
  Pair pair;
  pair.server.autoConsume = false;
  Flow* up = pair.client.open();
  pair.run();
  Flow& down = pair.other(*up);
  const std::string text = pattern(5 << 20);
  pair.client.send(*up, text, true);
  pair.run();
  const size_t first = down.in.size();
  EXPECT_GE(first, 256u * 1024);
  EXPECT_LE(first, 2u << 20);
  EXPECT_EQ(up->stream->sendWindow(), 0);
  EXPECT_FALSE(pair.client.connection.wantsProduce());
  while (down.stream != nullptr && !down.inEnd) {
    pair.server.consume(down);
    ASSERT_GT(pair.run(), 0u);
  }
  EXPECT_TRUE(down.in == text);
}

TEST(ConnectionTest, AStalledReaderDoesNotStopItsNeighbours) {
  Pair pair;
  pair.server.autoConsume = false;
  Flow* stalled = pair.client.open();
  Flow* live = pair.client.open();
  pair.run();
  Flow& liveDown = pair.other(*live);
  pair.client.send(*stalled, pattern(32 << 20));
  const std::string text = pattern(16 << 20);
  pair.client.send(*live, text, true);
  pair.run();
  while (!liveDown.inEnd) {
    pair.server.consume(liveDown);
    ASSERT_GT(pair.run(), 0u);
  }
  EXPECT_TRUE(liveDown.in == text);
  EXPECT_LE(pair.other(*stalled).in.size(), 2u << 20);
}

// Every split of the whole conversation, both directions.
TEST(ConnectionTest, FedAtEveryByteAndInOddChunks) {
  for (const size_t chunk : {1, 2, 3, 7, 8, 9, 10, 13, 16383, 16384, 16385}) {
    Pair pair;
    Flow* up = pair.client.open();
    Flow* other = pair.client.open();
    pair.run(chunk);
    Flow& down = pair.other(*up);
    pair.client.send(*up, pattern(70000), true);
    pair.server.send(down, pattern(40000, 3), true);
    pair.client.reset(*other, ErrorCode::cancel);
    pair.client.connection.ping(pair.client.now);
    pair.run(chunk);
    EXPECT_TRUE(down.in == pattern(70000));
    EXPECT_TRUE(up->in == pattern(40000, 3));
    EXPECT_EQ(up->closes, 1) << chunk;
    EXPECT_EQ(down.closes, 1) << chunk;
    EXPECT_EQ(pair.client.pingAcks.size(), 1u);
    EXPECT_EQ(pair.server.flows.at(3)->closes, 1);
  }
}

TEST(ConnectionTest, SplitInTwoAtEveryByte) {
  Endpoint client(Role::client);
  client.connection.start(client.now);
  Flow* up = client.open();
  client.send(*up, "hello, tunnel", true);
  const std::string bytes = client.produce();
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Endpoint server(Role::server);
    server.connection.start(server.now);
    ASSERT_TRUE(server.feed(std::string_view(bytes).substr(0, cut)).ok());
    ASSERT_TRUE(server.feed(std::string_view(bytes).substr(cut)).ok());
    EXPECT_EQ(server.flows.at(1)->in, "hello, tunnel");
    EXPECT_TRUE(server.flows.at(1)->inEnd);
  }
}

TEST(ConnectionTest, AFullOutputStopsAndResumes) {
  Pair pair;
  Flow* up = pair.client.open();
  pair.run();
  const std::string text = pattern(1 << 20);
  pair.client.send(*up, text, true);
  pair.client.records.bytesMax = 20000;
  pair.client.records.unitsMax = 3;
  pair.run();
  EXPECT_TRUE(pair.other(*up).in == text);
  EXPECT_TRUE(pair.other(*up).inEnd);
}

TEST(ConnectionTest, SmallFramesOfManyStreamsShareARecord) {
  Pair pair;
  std::vector<Flow*> flows;
  for (int i = 0; i < 50; ++i) flows.push_back(pair.client.open());
  pair.run();
  for (Flow* f : flows) pair.client.send(*f, "ping");
  pair.client.connection.produce(pair.client.records, 1 << 20, pair.client.now);
  EXPECT_EQ(pair.client.records.closedRecords().size(), 1u);
  EXPECT_EQ(pair.client.records.take().size(), 50u * (9 + 4));
}

}  // namespace
}  // namespace onehop::h2
