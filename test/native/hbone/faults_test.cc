#include <sys/socket.h>

#include "hbone/support/raw_peer.h"
#include "hbone/support/rig.h"

namespace onehop::hbone {
namespace {

using h2::FrameType;

// The pool against a peer that does what the test says, and our server against such a client.
struct FaultsTest : HboneTest {
  void SetUp() override {
    HboneTest::SetUp();
    raw = std::make_unique<RawServer>(loop);
    params.address = raw->address;
  }
  void TearDown() override {
    raw.reset();
    client.reset();
    HboneTest::TearDown();
  }
  // Answers SETTINGS and accepts every CONNECT.
  void serveHonestly(RawPeer& peer) {
    peer.onFrame = [&peer, this](const RawFrame& f) {
      if (f.type == FrameType::settings && f.flags == 0) {
        peer.settings(streamsMax);
        peer.frame(FrameType::settings, 1, 0);
      }
      if (f.type == FrameType::headers) peer.accept(f.streamId);
      if (f.type == FrameType::ping && f.flags == 0) peer.frame(FrameType::ping, 1, 0, f.payload);
    };
  }
  void connectToServer() {
    auto begun = io::startConnect(server->address, {}, {}, {});
    CHECK(begun.ok());
    client = std::make_unique<RawPeer>(
        loop, std::move(begun.value().fd),
        tls::Session::client(test::testCredentials(test::kClientId), {test::kServerId}), false);
    ASSERT_TRUE(runUntil([&] { return client->established; }));
  }
  void greet() {
    client->bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client->settings();
    ASSERT_TRUE(runUntil([&] { return client->count(FrameType::settings) >= 2; }));
    client->frame(FrameType::settings, 1, 0);
  }
  void connect(uint32_t streamId, const std::string& authority, uint8_t flags = 4) {
    std::string block = "\x20\x02\x07" "CONNECT";
    block += '\x01';
    block += static_cast<char>(authority.size());
    client->frame(FrameType::headers, flags, streamId, block + authority);
  }
  std::unique_ptr<RawServer> raw;
  std::unique_ptr<RawPeer> client;
  uint32_t streamsMax = 0;
};

TEST_F(FaultsTest, RefusedDialIsSharedAndRemembered) {
  raw.reset();  // nobody listens there any more
  for (int i = 0; i < 50; ++i) open("echo:1");
  ASSERT_TRUE(runUntil([&] {
    return std::all_of(requests.begin(), requests.end(), [](const auto& r) { return r->failed; });
  }));
  for (const auto& r : requests) EXPECT_EQ(r->error.reason, CloseReason::dialRefused);
  EXPECT_TRUE(requests[0]->error.retrySafe);
  EXPECT_EQ(pool->stats().dialled, 1u);
  Request& again = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return again.failed; }));
  EXPECT_EQ(pool->stats().dialled, 1u);
  const Nanos until = monotonicNow() + 2 * poolLimits.negative;
  ASSERT_TRUE(runUntil([&] { return monotonicNow() > until; }));
  Request& later = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return later.failed; }));
  EXPECT_EQ(pool->stats().dialled, 2u);
  EXPECT_EQ(pool->stats().active, 0u);
}

TEST_F(FaultsTest, WrongPeerIdentityIsToldToAllWaiters) {
  params.address = server->address;
  Request& one = open("echo:1", "spiffe://cluster.local/ns/x/sa/y");
  Request& two = open("echo:1", "spiffe://cluster.local/ns/x/sa/y");
  ASSERT_TRUE(runUntil([&] { return one.failed && two.failed; }));
  EXPECT_EQ(one.error.reason, CloseReason::tlsIdentity);
  EXPECT_EQ(two.error.reason, CloseReason::tlsIdentity);
  EXPECT_EQ(pool->stats().dialled, 1u);
  ASSERT_TRUE(runUntil([&] { return !server->closed.empty(); }));
  EXPECT_EQ(server->closed[0].reason, CloseReason::tlsFailed);
  EXPECT_FALSE(server->established);
}

TEST_F(FaultsTest, SilentPeerMeetsTheHandshakeDeadline) {
  raw->silent = true;
  params.deadlines.handshake = 100 * kMillisecond;
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.failed; }, 5 * kSecond));
  EXPECT_EQ(request.error.reason, CloseReason::tlsTimeout);
}

TEST_F(FaultsTest, MutePeerMeetsThePrefaceDeadline) {
  params.deadlines.preface = 100 * kMillisecond;
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.failed; }, 5 * kSecond));
  EXPECT_EQ(request.error.reason, CloseReason::h2Timeout);
  EXPECT_EQ(pool->stats().dialFailures, 1u);
}

TEST_F(FaultsTest, UnansweredConnectMeetsItsDeadlineAndIsReset) {
  params.deadlines.connect = 100 * kMillisecond;
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame](const RawFrame& f) {
      if (f.type != FrameType::headers) inner(f);
    };
  };
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.failed; }, 5 * kSecond));
  EXPECT_EQ(request.error.reason, CloseReason::connectTimeout);
  ASSERT_TRUE(runUntil([&] { return raw->peers[0]->count(FrameType::rstStream) == 1; }));
  EXPECT_EQ(raw->peers[0]->last(FrameType::rstStream)->payload, std::string("\0\0\0\x08", 4));
}

TEST_F(FaultsTest, PeerThatAnswersNoPingIsGone) {
  params.deadlines.liveness = 400 * kMillisecond;
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame](const RawFrame& f) {
      if (f.type != FrameType::ping) inner(f);
    };
  };
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.flow.done; }, 5 * kSecond));
  EXPECT_EQ(request.flow.reason, CloseReason::peerGone);
  EXPECT_GE(raw->peers[0]->count(FrameType::ping), 1u);
}

TEST_F(FaultsTest, QuietPeerThatAnswersPingsLives) {
  params.deadlines.liveness = 200 * kMillisecond;
  raw->onPeer = [this](RawPeer& peer) { serveHonestly(peer); };
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] {
    return request.opened && raw->peers[0]->count(FrameType::ping) >= 4;
  }, 5 * kSecond));
  EXPECT_FALSE(request.flow.done);
}

TEST_F(FaultsTest, PeerThatStopsReadingIsGone) {
  params.deadlines.liveness = 400 * kMillisecond;
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      inner(f);
      if (f.type != FrameType::headers) return;
      uint8_t credit[4];
      store32(credit, 64 << 20);
      const std::string text(reinterpret_cast<char*>(credit), 4);
      peer.frame(FrameType::windowUpdate, 0, 0, text);
      peer.frame(FrameType::windowUpdate, 0, f.streamId, text);
    };
  };
  Request& request = open("echo:1");
  request.flow.app->send(60 << 20);
  ASSERT_TRUE(runUntil([&] { return request.opened; }));
  raw->peers[0]->deafen();  // no FIN, no RST: it just does not read any more
  ASSERT_TRUE(runUntil([&] { return request.flow.done; }, 10 * kSecond));
  EXPECT_EQ(request.flow.reason, CloseReason::peerGone);
}

TEST_F(FaultsTest, GoawayRetriesWhatThePeerDidNotTakeAndKeepsTheRest) {
  int connections = 0;
  raw->onPeer = [&](RawPeer& peer) {
    serveHonestly(peer);
    if (connections++ > 0) return;
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      if (f.type == FrameType::headers && f.streamId > 1) return peer.goaway(1);
      inner(f);
    };
  };
  Request& first = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return first.opened; }));
  Request& second = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return second.opened; }));
  EXPECT_EQ(raw->peers.size(), 2u);
  EXPECT_FALSE(first.flow.done);
  first.flow.app->send(0);
  raw->peers[0]->frame(FrameType::data, 1, 1);
  ASSERT_TRUE(runUntil([&] { return first.flow.done && raw->peers[0]->closed; }));
  EXPECT_EQ(first.flow.reason, CloseReason::complete);
  EXPECT_EQ(raw->peers[0]->error.reason, CloseReason::complete);
  EXPECT_FALSE(second.flow.done);
}

TEST_F(FaultsTest, RefusedStreamsAreRetriedAFewTimesOnly) {
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      f.type == FrameType::headers ? peer.reset(f.streamId, 7) : inner(f);
    };
  };
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.failed; }));
  EXPECT_EQ(request.error.reason, CloseReason::upstreamReset);
  EXPECT_EQ(request.error.code, 7);
  EXPECT_EQ(raw->peers[0]->count(FrameType::headers), 3u);
}

TEST_F(FaultsTest, HonoursThePeersStreamLimitAndUsesASaturatedConnectionAgain) {
  streamsMax = 2;
  raw->onPeer = [this](RawPeer& peer) { serveHonestly(peer); };
  Request& first = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return first.opened; }));
  ASSERT_TRUE(runUntil([&] { return raw->peers[0]->count(FrameType::settings) == 2; }));
  Request& second = open("echo:1");
  Request& third = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return second.opened && third.opened; }));
  EXPECT_EQ(raw->peers.size(), 2u);
  EXPECT_EQ(raw->peers[0]->count(FrameType::headers), 2u);
  first.flow.tunnel.reset();
  Request& fourth = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return fourth.opened; }));
  EXPECT_EQ(raw->peers.size(), 2u);
}

// A listener that comes again for a workload has another descriptor of the same namespace; that of the
// first is closed by then, and its number may be any other file.
TEST_F(FaultsTest, DialsInTheNamespaceOfWhoWaits) {
  raw->onPeer = [this](RawPeer& peer) { serveHonestly(peer); };
  streamsMax = 1;
  auto first = io::NetContext::open("/proc/self/ns/net", 1, 0);
  auto second = io::NetContext::open("/proc/self/ns/net", 1, 0);
  ASSERT_TRUE(first.ok() && second.ok());
  io::Fd one(first.value().netnsFd), two(second.value().netnsFd);
  params.context = first.value();
  Request& before = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return before.answered(); }));
  if (before.failed && before.error.code == EPERM) GTEST_SKIP() << "may not enter a namespace";
  ASSERT_TRUE(before.opened);
  one = io::Fd();
  params.context = second.value();
  Request& after = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return after.answered(); }));
  EXPECT_TRUE(after.opened) << after.error.detail;
  EXPECT_EQ(raw->peers.size(), 2u);
}

TEST_F(FaultsTest, AStaleConnectionIsReplacedOnce) {
  int connections = 0;
  raw->onPeer = [&](RawPeer& peer) {
    serveHonestly(peer);
    if (connections++ > 0) return;
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      if (f.type == FrameType::headers && f.streamId == 3) return peer.stream->abort();
      inner(f);
    };
  };
  Request& first = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return first.opened; }));
  Request& second = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return second.answered(); }));
  EXPECT_TRUE(second.opened);
  EXPECT_TRUE(first.flow.done);
  EXPECT_EQ(first.flow.reason, CloseReason::upstreamReset);
}

TEST_F(FaultsTest, AnyNumberOfStaleConnectionsIsReplaced) {
  constexpr size_t kStale = 6;
  streamsMax = 1;
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    if (raw->peers.size() > kStale) return;
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      if (f.type == FrameType::headers && f.streamId == 3) return peer.stream->abort();
      inner(f);
    };
  };
  std::vector<Request*> first;
  for (size_t i = 0; i < kStale; ++i) {
    Request& request = *first.emplace_back(&open("echo:1"));
    // Its limit is known when its SETTINGS are acknowledged.
    ASSERT_TRUE(runUntil([&] {
      return request.opened && raw->peers.size() == i + 1 &&
             raw->peers[i]->count(FrameType::settings) == 2;
    }));
  }
  for (Request* request : first) request->flow.tunnel.reset();
  Request& next = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return next.answered(); }));
  EXPECT_TRUE(next.opened);
  EXPECT_EQ(raw->peers.size(), kStale + 1);
}

// Connections made for the opening itself are not: a peer could go on for ever.
TEST_F(FaultsTest, NewConnectionsThatDieAreTriedAFewTimesOnly) {
  streamsMax = 2;
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      if (f.type == FrameType::headers && f.streamId == 3) return peer.stream->abort();
      inner(f);
    };
  };
  Request& first = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return first.opened; }));
  std::vector<Request*> next;
  for (int i = 0; i < 12; ++i) next.push_back(&open("echo:1"));
  for (Request* request : next) ASSERT_TRUE(runUntil([&] { return request->answered(); }));
  EXPECT_LT(raw->peers.size(), 40u);
}

TEST_F(FaultsTest, NoErrorResetAfterTheEndDeliversWhatCame) {
  raw->onPeer = [this](RawPeer& peer) {
    serveHonestly(peer);
    peer.onFrame = [inner = peer.onFrame, &peer](const RawFrame& f) {
      inner(f);
      if (f.type != FrameType::headers) return;
      std::string bytes(1000, 0);
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(patternByte(i));
      peer.frame(FrameType::data, 1, f.streamId, bytes);
      peer.reset(f.streamId, f.streamId == 1 ? 0 : 8);
    };
  };
  for (int i = 0; i < 2; ++i) {
    Request& request = open("echo:1");
    ASSERT_TRUE(runUntil([&] { return request.flow.done && request.flow.app->ended; }));
    EXPECT_EQ(request.flow.app->received, 1000u);
    EXPECT_TRUE(request.flow.app->good);
    EXPECT_FALSE(request.flow.app->failed);
  }
}

TEST_F(FaultsTest, ServerMeetsItsDeadlines) {
  server->limits.deadlines.handshake = 100 * kMillisecond;
  auto begun = io::startConnect(server->address, {}, {}, {});
  ASSERT_TRUE(begun.ok());
  ASSERT_TRUE(runUntil([&] { return server->closed.size() == 1; }, 5 * kSecond));
  EXPECT_EQ(server->closed[0].reason, CloseReason::tlsTimeout);
  server->limits.deadlines.handshake = 5 * kSecond;
  server->limits.deadlines.preface = 100 * kMillisecond;
  connectToServer();
  ASSERT_TRUE(runUntil([&] { return server->closed.size() == 2; }, 5 * kSecond));
  EXPECT_EQ(server->closed[1].reason, CloseReason::h2Timeout);
  EXPECT_TRUE(client->closed);
}

TEST_F(FaultsTest, ServerRefusesWhatIsNotConnect) {
  connectToServer();
  greet();
  client->frame(FrameType::headers, 5, 1, std::string("\x20\x82\x84\x87\x01\x01x"));  // GET / https x
  ASSERT_TRUE(runUntil([&] { return client->count(FrameType::headers) == 1; }));
  EXPECT_EQ(client->frames.back().payload.find('\x8c') != std::string::npos, true);  // :status 400
  EXPECT_TRUE(server->requests.empty());
}

TEST_F(FaultsTest, AResetBeforeTheAnswerIsToldAndHoldsItsSlot) {
  connectToServer();
  greet();
  connect(1, "never:1");
  ASSERT_TRUE(runUntil([&] { return server->requests.size() == 1; }));
  client->reset(1, 8);
  ASSERT_TRUE(runUntil([&] { return server->gone == 1; }));
  EXPECT_EQ(server->connections[0]->accept(server->requests[0].ticket, {}), nullptr);
  server->connections[0]->refuse(server->requests[0].ticket, 503);
  connect(3, "echo:1");
  ASSERT_TRUE(runUntil([&] { return client->count(FrameType::headers) == 1; }));
}

TEST_F(FaultsTest, EarlyDataIsKeptForTheTunnelAndBounded) {
  connectToServer();
  greet();
  connect(1, "never:1");
  std::string bytes(16000, 0);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(patternByte(i));
  client->frame(FrameType::data, 1, 1, bytes);
  ASSERT_TRUE(runUntil([&] { return server->requests.size() == 1; }));
  for (int i = 0; i < 5; ++i) loop.runOnce(kMillisecond);
  auto tunnel = server->connections[0]->accept(server->requests[0].ticket, {});
  ASSERT_NE(tunnel, nullptr);
  Flow flow(loop);
  flow.join(std::move(tunnel));
  ASSERT_TRUE(runUntil([&] { return flow.app->ended; }));
  EXPECT_EQ(flow.app->received, 16000u);
  EXPECT_TRUE(flow.app->good);
}

TEST_F(FaultsTest, DrainLetsStreamsFinish) {
  params.address = server->address;
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.opened; }));
  server->connections[0]->drain();
  for (int i = 0; i < 20; ++i) loop.runOnce(kMillisecond);
  EXPECT_FALSE(request.flow.done);
  Request& next = open("echo:1");  // goes to a new connection
  ASSERT_TRUE(runUntil([&] { return next.opened; }));
  EXPECT_EQ(server->accepted, 2);
  request.flow.app->send(100000);
  ASSERT_TRUE(runUntil([&] { return request.flow.done && request.flow.app->ended; }));
  EXPECT_EQ(request.flow.app->received, 100000u);
  ASSERT_TRUE(runUntil([&] { return server->closed.size() == 1; }));
  EXPECT_FALSE(next.flow.done);
}

TEST_F(FaultsTest, PoolDrainAndPurgeLetStreamsFinish) {
  params.address = server->address;
  Request& request = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return request.opened; }));
  pool->purgeAddress(server->address);
  Request& next = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return next.opened; }));
  EXPECT_EQ(server->accepted, 2);
  pool->purgeCredential(1);
  pool->drain();
  Request& late = open("echo:1");
  ASSERT_TRUE(runUntil([&] { return late.failed; }));
  EXPECT_EQ(late.error.reason, CloseReason::drained);
  for (Request* r : {&request, &next}) {
    EXPECT_FALSE(r->flow.done);
    r->flow.app->send(1000);
    ASSERT_TRUE(runUntil([&] { return r->flow.done && r->flow.app->ended; }));
  }
  ASSERT_TRUE(runUntil([&] { return server->closed.size() == 2; }));
  EXPECT_EQ(pool->stats().active, 0u);
}

TEST_F(FaultsTest, CloseAllCutsEverything) {
  params.address = server->address;
  Request& request = open("echo:1");
  Request& unanswered = open("never:1");
  ASSERT_TRUE(runUntil([&] { return request.opened && server->requests.size() == 2; }));
  pool->closeAll(CloseReason::removed);
  ASSERT_TRUE(runUntil([&] { return request.flow.done && unanswered.failed; }));
  EXPECT_EQ(request.flow.reason, CloseReason::removed);
  EXPECT_EQ(unanswered.error.reason, CloseReason::removed);
}

TEST_F(FaultsTest, IdleConnectionsCloseInOrder) {
  params.address = server->address;
  params.deadlines.idle = 100 * kMillisecond;
  Request& request = open("end:1");
  request.flow.app->send(0);
  ASSERT_TRUE(runUntil([&] { return request.flow.done; }));
  ASSERT_TRUE(runUntil([&] { return server->closed.size() == 1; }, 5 * kSecond));
  EXPECT_EQ(pool->stats().active, 0u);
  EXPECT_EQ(loop.receivePool().lent(), 0u);
}

TEST_F(FaultsTest, CancelAtEveryStage) {
  params.address = server->address;
  // Before the dial is over: nobody else waits, so the dial ends as well.
  Request& early = open("echo:1");
  pool->cancel(early.ticket);
  pool->cancel(early.ticket);  // stale
  for (int i = 0; i < 5; ++i) loop.runOnce(kMillisecond);
  EXPECT_EQ(pool->stats().active, 0u);
  // While others wait the dial goes on.
  Request& one = open("echo:1");
  Request& two = open("echo:1");
  pool->cancel(one.ticket);
  ASSERT_TRUE(runUntil([&] { return two.opened; }));
  // Given to a connection, not yet sent.
  Request& given = open("echo:1");
  pool->cancel(given.ticket);
  for (int i = 0; i < 5; ++i) loop.runOnce(kMillisecond);
  // Sent: reset.
  Request& sent = open("never:1");
  ASSERT_TRUE(runUntil([&] { return server->requests.size() == 2; }));
  pool->cancel(sent.ticket);
  ASSERT_TRUE(runUntil([&] { return server->gone == 1; }));
  // A failure that is about to be told.
  pool->drain();
  Request& failing = open("echo:1");
  pool->cancel(failing.ticket);
  for (int i = 0; i < 5; ++i) loop.runOnce(kMillisecond);
  for (Request* r : {&early, &one, &given, &sent, &failing}) EXPECT_FALSE(r->answered());
}

TEST_F(FaultsTest, PoolMayGoAtAnyMoment) {
  params.address = server->address;
  Request& request = open("echo:1");
  open("never:1");
  ASSERT_TRUE(runUntil([&] { return request.opened && server->requests.size() == 2; }));
  open("echo:1", "spiffe://cluster.local/ns/x/sa/y");
  pool.reset();
  EXPECT_TRUE(request.flow.done);
  ASSERT_TRUE(runUntil([&] { return server->connections.empty(); }));
}

}  // namespace
}  // namespace onehop::hbone
