// Each attack of the HTTP/2 family as raw bytes: the connection ends with ENHANCE_YOUR_CALM (or the
// RFC's own code), memory stays bounded, and the honest use that looks like it goes on.
#include <gtest/gtest.h>

#include "support/raw.h"

namespace onehop::h2 {
namespace {

constexpr int kCalm = 0xb;

struct FloodTest : testing::Test {
  void expectCalmEnd(Attacked& attacked) {
    EXPECT_TRUE(attacked.endpoint.connection.dead());
    EXPECT_EQ(attacked.endpoint.error.reason, CloseReason::h2Flood);
    EXPECT_EQ(attacked.goawayCode(), kCalm);
    EXPECT_EQ(attacked.endpoint.connection.streamsActive(), 0u);
    EXPECT_FALSE(attacked.feed(frame(6, 0, 0, "12345678")));
    EXPECT_FALSE(attacked.endpoint.connection.wantsProduce());
    EXPECT_LT(attacked.endpoint.connection.memoryBytes(), 128u * 1024);
  }
  // Between a burst and what has refilled meanwhile.
  void expectAbout(int count, int burst) {
    EXPECT_GE(count, burst);
    EXPECT_LE(count, burst + burst / 10 + 2);
  }
};

TEST_F(FloodTest, RapidReset) {
  Attacked server(Role::server);
  server.endpoint.autoAccept = false;
  int count = 0;
  for (uint32_t id = 1; count < 5000; id += 2, ++count) {
    if (!server.feed(headersFrame(id, connectBlock()) + resetFrame(id))) break;
    server.endpoint.now += kMillisecond;
    server.endpoint.produce();
  }
  expectAbout(count, 1000);
  expectCalmEnd(server);
}

// An application that opens and resets thousands of tunnels a second is no attack.
TEST_F(FloodTest, ResetsOfAnsweredTunnelsAreFree) {
  Attacked server(Role::server);
  for (uint32_t id = 1; id < 40000; id += 2) {
    ASSERT_TRUE(server.feed(headersFrame(id, connectBlock())));
    server.endpoint.produce();
    ASSERT_TRUE(server.feed(dataFrame(id, "hello") + resetFrame(id)));
    ASSERT_EQ(server.endpoint.connection.streamsActive(), 0u);
  }
  EXPECT_LT(server.endpoint.connection.memoryBytes(), 16u * 1024);
}

// Our side resets thousands of bulk tunnels while their DATA is under way, and the peer's
// WINDOW_UPDATE and RST_STREAM cross ours.
TEST_F(FloodTest, FramesUnderWayToStreamsWeResetAreFree) {
  Attacked server(Role::server);
  const std::string part(8192, 'x');
  for (uint32_t id = 1; id < 20000; id += 2) {
    ASSERT_TRUE(server.feed(headersFrame(id, connectBlock())));
    server.endpoint.reset(*server.endpoint.flows.at(id), ErrorCode::connectError);
    server.endpoint.produce();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(server.feed(dataFrame(id, part))) << id;
    ASSERT_TRUE(server.feed(windowFrame(id, 4096) + resetFrame(id))) << id;
    server.endpoint.flows.erase(id);
  }
}

// The server's own work in progress counts against the limit, not open streams.
TEST_F(FloodTest, HeldSlotsRefuseNewStreams) {
  Limits limits;
  limits.streamsMax = 2;
  Attacked server(Role::server, limits);
  server.endpoint.connection.holdSlot();
  server.endpoint.connection.holdSlot();
  ASSERT_TRUE(server.open(1));
  EXPECT_EQ(server.resetCode(1), 7);
  server.endpoint.connection.releaseSlot();
  ASSERT_TRUE(server.open(3));
  EXPECT_EQ(server.resetCode(3), -1);
}

TEST_F(FloodTest, StreamsOverTheLimit) {
  Attacked server(Role::server);
  int refused = 0;
  uint32_t id = 1;
  for (; refused < 5000 && server.open(id); id += 2) refused += server.resetCode(id) == 7;
  expectAbout(refused, 1000);
  expectCalmEnd(server);
}

// MadeYouReset: the peer's errors make us reset, in each of the known ways.
TEST_F(FloodTest, MadeYouReset) {
  const auto attack = [&](auto&& errorFor) {
    Attacked server(Role::server);
    int count = 0;
    for (uint32_t id = 1; count < 5000; id += 2, ++count) {
      if (!server.feed(headersFrame(id, connectBlock()) + errorFor(id))) break;
      server.endpoint.produce();
    }
    expectAbout(count, 1000);
    expectCalmEnd(server);
  };
  attack([](uint32_t id) { return windowFrame(id, 0); });
  attack([](uint32_t id) { return windowFrame(id, 0x7fffffff); });
  attack([](uint32_t id) { return frame(2, 0, id, number(id, 4) + "x"); });
  attack([](uint32_t id) { return frame(2, 0, id, "four"); });
  attack([](uint32_t id) { return dataFrame(id, "", 1) + dataFrame(id, "x"); });
  attack([](uint32_t id) { return dataFrame(id, "", 1) + headersFrame(id, connectBlock()); });
  attack([](uint32_t id) { return headersFrame(id, literal(":path", "/"), 5); });
}

TEST_F(FloodTest, MalformedRequests) {
  Attacked server(Role::server);
  int count = 0;
  for (uint32_t id = 1; count < 5000; id += 2, ++count) {
    if (!server.feed(headersFrame(id, literal(":method", "CONNECT")))) break;
    EXPECT_EQ(server.resetCode(id), 1);
  }
  expectAbout(count, 1000);
  expectCalmEnd(server);
}

TEST_F(FloodTest, Settings) {
  Attacked server(Role::server);
  expectAbout(server.repeat(settingsFrame({{3, 100}}), 5000), 998);
  expectCalmEnd(server);
  Attacked entries(Role::client);
  EXPECT_TRUE(entries.feed(settingsFrame(std::vector<std::pair<int, uint32_t>>(32, {99, 1}))));
  EXPECT_FALSE(entries.feed(settingsFrame(std::vector<std::pair<int, uint32_t>>(33, {99, 1}))));
  expectCalmEnd(entries);
}

TEST_F(FloodTest, SettingsAndPingAcks) {
  Attacked server(Role::server);
  expectAbout(server.repeat(frame(4, 1, 0), 50000), 10000);
  expectCalmEnd(server);
  Attacked pings(Role::server);
  expectAbout(pings.repeat(frame(6, 1, 0, "12345678"), 50000), 10000);
  expectCalmEnd(pings);
}

TEST_F(FloodTest, Ping) {
  Attacked server(Role::server);
  expectAbout(server.repeat(frame(6, 0, 0, "12345678"), 5000, kMillisecond), 999);
  expectCalmEnd(server);
  Attacked slow(Role::server);  // a keepalive never trips
  EXPECT_EQ(slow.repeat(frame(6, 0, 0, "12345678"), 5000, 100 * kMillisecond), 5000);
}

// A bandwidth probe per round trip beside bulk data earns its PINGs.
TEST_F(FloodTest, PingsBesideBulkDataAreFree) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open());
  const std::string part(16384, 'x');
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(server.feed(dataFrame(1, part)));
    if (i % 4 == 3) {
      ASSERT_TRUE(server.feed(frame(6, 0, 0, "12345678")));
    }
    server.endpoint.flows.at(1)->in.clear();
    server.endpoint.produce();
  }
}

TEST_F(FloodTest, APeerThatDoesNotRead) {
  Limits limits;
  limits.floods.answeredBurst = 1000000;
  Attacked server(Role::server, limits);
  int count = 0;
  while (count < 100000 && server.feed(frame(6, 0, 0, "12345678"))) ++count;
  EXPECT_LT(count, 256 * 1024 / 17 + 2);
  EXPECT_EQ(server.endpoint.error.reason, CloseReason::h2Flood);
}

TEST_F(FloodTest, Continuation) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.feed(headersFrame(1, "\x82", 0)));
  EXPECT_EQ(server.repeat(frame(9, 0, 1, "\x82"), 100), 8);
  expectCalmEnd(server);
  Attacked empty(Role::server);
  ASSERT_TRUE(empty.feed(headersFrame(1, "", 0)));
  EXPECT_EQ(empty.repeat(frame(9, 0, 1), 100), 8);
  expectCalmEnd(empty);
}

TEST_F(FloodTest, HeaderBlockBytesAreCappedBeforeTheyArrive) {
  Attacked server(Role::server);
  const std::string part(16000, 'x');
  ASSERT_TRUE(server.feed(headersFrame(1, part, 0)));
  ASSERT_TRUE(server.feed(frame(9, 0, 1, part)));
  EXPECT_FALSE(server.feed(frame(9, 0, 1, part).substr(0, 9)));  // its header alone
  expectCalmEnd(server);
}

TEST_F(FloodTest, UnfinishedHeaderBlockHasADeadline) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.feed(headersFrame(1, "\x82", 0)));
  const Nanos deadline = server.endpoint.connection.nextDeadline();
  ASSERT_EQ(deadline, server.endpoint.now + 5 * kSecond);
  server.endpoint.now += 4 * kSecond;
  ASSERT_TRUE(server.feed(frame(9, 0, 1, "\x87")));  // a drop does not move it
  EXPECT_EQ(server.endpoint.connection.nextDeadline(), deadline);
  server.endpoint.connection.onTimer(deadline);
  expectCalmEnd(server);
}

TEST_F(FloodTest, MissingPrefaceSettingsOrAck) {
  for (const std::string& start : {std::string(), kPreface, kPreface + settingsFrame()}) {
    Endpoint server(Role::server);
    server.connection.start(server.now);
    ASSERT_TRUE(server.feed(start).ok());
    server.connection.onTimer(server.now + 9 * kSecond);
    EXPECT_FALSE(server.connection.dead());
    EXPECT_EQ(server.connection.nextDeadline(), server.now + 10 * kSecond);
    server.connection.onTimer(server.now + 10 * kSecond);
    EXPECT_TRUE(server.connection.dead());
    EXPECT_EQ(server.error.reason, CloseReason::h2Timeout);
    EXPECT_EQ(server.connection.nextDeadline(), 0);
  }
}

TEST_F(FloodTest, EmptyData) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open());
  expectAbout(server.repeat(dataFrame(1, ""), 5000), 1000);
  expectCalmEnd(server);
  Attacked padded(Role::server);
  ASSERT_TRUE(padded.open());
  expectAbout(padded.repeat(dataFrame(1, hex("03 00 00 00"), 8), 5000), 1000);
  expectCalmEnd(padded);
}

TEST_F(FloodTest, WindowUpdates) {
  for (const uint32_t stream : {0u, 1u}) {
    Attacked server(Role::server);
    ASSERT_TRUE(server.open());
    expectAbout(server.repeat(windowFrame(stream, 1), 50000), 10000);
    expectCalmEnd(server);
  }
  Attacked closed(Role::server);
  ASSERT_TRUE(closed.open());
  ASSERT_TRUE(closed.feed(resetFrame(1)));
  expectAbout(closed.repeat(windowFrame(1, 100000), 50000), 10000);
  expectCalmEnd(closed);
}

// A slow reader that gives its credit back byte by byte for what we send it.
TEST_F(FloodTest, WindowUpdatesForDataAreFree) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open());
  Endpoint::Flow& flow = *server.endpoint.flows.at(1);
  for (int i = 0; i < 30000; ++i) {
    server.endpoint.send(flow, "x");
    server.endpoint.produce();
    ASSERT_TRUE(server.feed(windowFrame(1, 1) + windowFrame(0, 1))) << i;
  }
}

TEST_F(FloodTest, PriorityUnknownAndStaleFrames) {
  const std::string frames[] = {frame(2, 0, 1, number(0, 4) + "x"), frame(77, 0, 1, "whatever"),
                                frame(16, 0, 0, ""), resetFrame(1)};
  for (const std::string& bytes : frames) {
    Attacked server(Role::server);
    ASSERT_TRUE(server.open());
    ASSERT_TRUE(server.feed(resetFrame(1)));
    expectAbout(server.repeat(bytes, 50000), 10000);
    expectCalmEnd(server);
  }
}

TEST_F(FloodTest, Goaways) {
  Attacked server(Role::server);
  expectAbout(server.repeat(frame(7, 0, 0, number(0, 8)), 5000), 998);
  expectCalmEnd(server);
}

TEST_F(FloodTest, HpackBomb) {
  Attacked server(Role::server);
  std::string block = connectBlock() + hex("4001 617f 8119") + std::string(127 + 0xc81, 'x');
  ASSERT_TRUE(server.feed(headersFrame(1, block + std::string(2, '\xbe'))));
  EXPECT_EQ(server.resetCode(1), -1);
  ASSERT_TRUE(server.feed(headersFrame(3, connectBlock() + std::string(20, '\xbe'))));
  EXPECT_EQ(server.resetCode(3), kCalm);  // above the cap: this stream
  EXPECT_FALSE(server.feed(headersFrame(5, connectBlock() + std::string(8000, '\xbe'))));
  expectCalmEnd(server);  // far above: the connection
}

// The "HTTP/2 bomb": small fields by the thousand, cookie crumbs among them.
TEST_F(FloodTest, FieldCount) {
  Attacked server(Role::server);
  std::string crumbs;
  for (int i = 0; i < 126; ++i) crumbs += literal("cookie", "");
  ASSERT_TRUE(server.feed(headersFrame(1, connectBlock() + crumbs)));
  EXPECT_EQ(server.resetCode(1), -1);
  ASSERT_TRUE(server.feed(headersFrame(3, connectBlock() + crumbs + literal("a", ""))));
  EXPECT_EQ(server.resetCode(3), kCalm);
  EXPECT_EQ(server.endpoint.flows.count(3), 0u);
  EXPECT_FALSE(server.feed(headersFrame(5, connectBlock() + crumbs + crumbs + crumbs + crumbs +
                                               crumbs)));
  expectCalmEnd(server);
}

TEST_F(FloodTest, HeaderListBytes) {
  Limits limits;
  limits.headerListBytesMax = 1000;
  Attacked server(Role::server, limits);
  const auto block = [](int fields) {
    std::string text = connectBlock();
    for (int i = 0; i < fields; ++i) text += literal("name", std::string(64, 'v'));
    return text;
  };
  ASSERT_TRUE(server.feed(headersFrame(1, block(8))));
  EXPECT_EQ(server.resetCode(1), -1);
  ASSERT_TRUE(server.feed(headersFrame(3, block(10))));
  EXPECT_EQ(server.resetCode(3), kCalm);
  EXPECT_FALSE(server.feed(headersFrame(5, block(41))));
  expectCalmEnd(server);
}

TEST_F(FloodTest, TableSizeUpdates) {
  Attacked server(Role::server);
  EXPECT_FALSE(server.feed(headersFrame(1, std::string(100, '\x20') + connectBlock())));
  expectCalmEnd(server);
  Attacked huge(Role::server);
  EXPECT_FALSE(huge.feed(headersFrame(1, hex("3f ff ff ff 7f") + connectBlock())));
  EXPECT_EQ(huge.goawayCode(), 9);
}

TEST_F(FloodTest, InterimResponses) {
  Attacked client(Role::client);
  ASSERT_NE(client.endpoint.open(), nullptr);
  const std::string interim = headersFrame(1, literal(":status", "103"));
  int count = 0;
  while (count < 5000 && client.feed(interim)) ++count;
  expectAbout(count, 1000);
  expectCalmEnd(client);
}

TEST_F(FloodTest, GoawayDebugText) {
  Attacked client(Role::client);
  EXPECT_FALSE(client.feed(frame(7, 0, 0, number(0, 8) + std::string(2000, 'x'))));
  expectCalmEnd(client);
}

TEST_F(FloodTest, ConnectionWindowThatStaysShut) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open());
  ASSERT_TRUE(server.feed(windowFrame(1, 1 << 20)));
  server.endpoint.send(*server.endpoint.flows.at(1), std::string(200000, 'x'));
  server.endpoint.produce();
  EXPECT_EQ(server.endpoint.connection.nextDeadline(), server.endpoint.now + 60 * kSecond);
  for (int i = 0; i < 11 && !server.endpoint.connection.dead(); ++i) {
    server.endpoint.now += 10 * kSecond;
    ASSERT_TRUE(server.feed(windowFrame(0, 1)));  // a crumb now and then does not help
    server.endpoint.produce();
    server.endpoint.connection.onTimer(server.endpoint.now);
  }
  EXPECT_FALSE(server.endpoint.connection.dead());
  server.endpoint.now += 10 * kSecond;
  server.endpoint.connection.onTimer(server.endpoint.now);
  EXPECT_TRUE(server.endpoint.connection.dead());
  EXPECT_EQ(server.endpoint.error.reason, CloseReason::peerGone);
}

TEST_F(FloodTest, ConnectionWindowThatOpensEndsTheDeadline) {
  Attacked server(Role::server);
  ASSERT_TRUE(server.open());
  ASSERT_TRUE(server.feed(windowFrame(1, 1 << 20)));
  server.endpoint.send(*server.endpoint.flows.at(1), std::string(200000, 'x'));
  server.endpoint.produce();
  server.endpoint.now += 60 * kSecond;
  server.endpoint.connection.onTimer(server.endpoint.now);
  ASSERT_TRUE(server.feed(windowFrame(0, 1 << 20)));
  server.endpoint.produce();
  EXPECT_EQ(server.endpoint.connection.nextDeadline(), 0);
}

// A response pinned by a shut stream window ends; a tunnel in the same state may wait for ever.
TEST_F(FloodTest, StreamWindowThatStaysShut) {
  Attacked server(Role::server);
  const std::string get = literal(":method", "GET") + literal(":scheme", "https") +
                          literal(":path", "/") + literal(":authority", "a");
  ASSERT_TRUE(server.feed(settingsFrame({{4, 100}})));
  ASSERT_TRUE(server.feed(headersFrame(1, get, 5)));
  ASSERT_TRUE(server.open(3));
  ASSERT_TRUE(server.feed(headersFrame(5, get, 5)));
  for (const uint32_t id : {1u, 3u}) {
    server.endpoint.send(*server.endpoint.flows.at(id), std::string(1000, 'x'));
  }
  server.endpoint.send(*server.endpoint.flows.at(5), std::string(100, 'x'));
  server.endpoint.produce();
  for (int i = 0; i < 2; ++i) {
    server.endpoint.now += 60 * kSecond;
    ASSERT_TRUE(server.feed(windowFrame(1, 1)));
    server.endpoint.produce();
    EXPECT_EQ(server.endpoint.flows.at(1)->closes, 0);
    server.endpoint.connection.onTimer(server.endpoint.now);
  }
  EXPECT_EQ(server.endpoint.flows.at(1)->close.reason, CloseReason::peerGone);
  EXPECT_EQ(server.endpoint.flows.at(3)->closes, 0);
  EXPECT_EQ(server.endpoint.flows.at(5)->closes, 0);  // nothing of it waits
  EXPECT_EQ(server.resetCode(1), 8);
  EXPECT_EQ(server.endpoint.connection.nextDeadline(), 0);
}

// Buffers of the whole shard: who delivers when twice the cap is held loses the stream, and that is
// not held against the peer.
TEST_F(FloodTest, LedgerOverTwiceTheCapResetsTheDeliverer) {
  WindowLedger ledger(50000);
  Attacked server(Role::server, {}, &ledger);
  server.endpoint.autoConsume = false;
  const std::string part(16000, 'x');
  for (uint32_t id = 1; id <= 15; id += 2) {
    ASSERT_TRUE(server.open(id));
    ASSERT_TRUE(server.feed(dataFrame(id, part)));
  }
  EXPECT_EQ(server.endpoint.flows.at(15)->close.reason, CloseReason::overload);
  EXPECT_LE(ledger.bytes(), 2 * 50000u + 16000);
  server.endpoint.connection.abort(CloseReason::peerGone);
  EXPECT_EQ(ledger.bytes(), 0u);
}

TEST_F(FloodTest, AnIdleConnectionIsSmall) {
  Attacked server(Role::server);
  EXPECT_LT(server.endpoint.connection.memoryBytes(), 2048u);
  ASSERT_TRUE(server.open());
  server.endpoint.produce();
  const size_t before = server.endpoint.connection.memoryBytes();
  ASSERT_TRUE(server.feed(dataFrame(1, std::string(16384, 'x'))));
  server.endpoint.produce();
  EXPECT_EQ(server.endpoint.connection.memoryBytes(), before);
}

}  // namespace
}  // namespace onehop::h2
