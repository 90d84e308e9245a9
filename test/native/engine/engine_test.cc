#include "engine/engine.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/record_size.h"
#include "engine/support/mesh.h"

namespace onehop::engine {
namespace {

std::string pattern(size_t bytes) {
  std::string text(bytes, 0);
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 2654435761u) >> 13);
  return text;
}

TEST(Engine, RefusesOptionsOutOfBounds) {
  struct Silent final : EngineObserver {
    void onBatchReady() override {}
  } silent;
  EngineOptions options;
  options.shards = 0;
  auto started = Engine::start(options, silent);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().detail.find("shards"), std::string::npos);
}

TEST(Engine, ForwardsBothWaysAndCounts) {
  EchoServer echo;
  TestEngine engine;
  engine.decide([&](const Upcall&) { return allowTcp(echo.address()); });
  const std::string at = engine.listen(listenOn(ListenerKind::forward));
  TestSocket client = TestSocket::connect(at);
  ASSERT_TRUE(client.ok());
  const std::string sent = pattern(300'000);
  std::thread sender([&] { EXPECT_TRUE(client.send(sent)); });
  EXPECT_EQ(client.receive(sent.size()), sent);
  sender.join();
  EXPECT_EQ(engine.counter(1, CounterCell::active), 1u);
  client.shutdownWrite();
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.lastErrno, 0);
  const FlowSummary summary = engine.summary(0);
  EXPECT_EQ(summary.reason, CloseReason::complete);
  EXPECT_EQ(summary.bytesUp, sent.size());
  EXPECT_EQ(summary.bytesDown, sent.size());
  EXPECT_EQ(summary.dialled, echo.address());
  EXPECT_EQ(summary.events.front().event, FlowEventName::accepted);
  EXPECT_EQ(summary.events.back().event, FlowEventName::closed);
  EXPECT_EQ(engine.counter(1, CounterCell::opened), 1u);
  EXPECT_EQ(engine.counter(1, CounterCell::closed), 1u);
  EXPECT_EQ(engine.counter(1, CounterCell::active), 0u);
  EXPECT_EQ(engine.counter(1, CounterCell::bytesUp), sent.size());
}

TEST(Engine, TurnsLongPlainTransfersToSplice) {
  EchoServer echo;
  TestEngine engine;
  engine.decide([&](const Upcall&) { return allowTcp(echo.address()); });
  TestSocket client = TestSocket::connect(engine.listen(listenOn(ListenerKind::forward)));
  const std::string sent = pattern(4 << 20);
  // A pause of the sender ends a streak, so that one round may not be enough.
  for (int i = 0; i < 50 && engine.cell(EngineCell::spliceBytes) == 0; ++i) {
    std::thread sender([&] { EXPECT_TRUE(client.send(sent)); });
    EXPECT_TRUE(client.receive(sent.size()) == sent);
    sender.join();
  }
  EXPECT_GT(engine.cell(EngineCell::spliceBytes), 0u);
}

TEST(Engine, AsksOncePerKeyAndAnswersFromTheCache) {
  EchoServer echo;
  TestEngine engine;
  engine.decide([&](const Upcall&) { return allowTcp(echo.address()); });
  const std::string at = engine.listen(listenOn(ListenerKind::forward));
  for (int i = 0; i < 20; ++i) {
    TestSocket client = TestSocket::connect(at);
    ASSERT_TRUE(client.send("x"));
    ASSERT_EQ(client.receive(1), "x");
  }
  EXPECT_EQ(engine.cell(EngineCell::upcallsSent), 1u);
  EXPECT_EQ(engine.cell(EngineCell::cacheHits), 19u);
}

TEST(Engine, DeniesWithReset) {
  TestEngine engine;
  engine.decide([](const Upcall&) { return deny(); });
  TestSocket client = TestSocket::connect(engine.listen(listenOn(ListenerKind::forward)));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.lastErrno, ECONNRESET);
  EXPECT_EQ(engine.summary(0).reason, CloseReason::denied);
  EXPECT_EQ(engine.counter(2, CounterCell::closedDenied), 1u);
}

TEST(Engine, CutsLiveFlowsByANewerVerdictOnly) {
  EchoServer echo;
  TestEngine engine;
  engine.decide([&](const Upcall&) {
    Verdict verdict = allowTcp(echo.address());
    verdict.generation = 5;
    return verdict;
  });
  const std::string at = engine.listen(listenOn(ListenerKind::forward));
  TestSocket client = TestSocket::connect(at);
  ASSERT_TRUE(client.send("x"));
  ASSERT_EQ(client.receive(1), "x");
  HandleValue key = 0;
  ASSERT_TRUE(engine.until([&](const Batch& batch) {
    if (batch.events.upcalls.empty()) return false;
    key = batch.events.upcalls[0].key;
    return true;
  }));
  const auto revalidate = [&](uint64_t generation) {
    Verdict verdict = deny();
    verdict.key = key;
    verdict.generation = generation;
    verdict.live = LiveFlows::close;
    std::vector<Verdict> verdicts;
    verdicts.push_back(std::move(verdict));
    return engine.with([&](Engine& e) { return e.answer(std::move(verdicts)).ok(); });
  };
  EXPECT_TRUE(revalidate(4));
  ASSERT_TRUE(client.send("y"));
  ASSERT_EQ(client.receive(1), "y");
  EXPECT_TRUE(revalidate(6));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.lastErrno, ECONNRESET);
  EXPECT_EQ(engine.summary(0).reason, CloseReason::policyChanged);
  TestSocket next = TestSocket::connect(at);
  EXPECT_EQ(next.receive(1), "");
  EXPECT_EQ(engine.summary(1).reason, CloseReason::denied);
}

TEST(Engine, TellsWhyADialFailedAndTriesTheOtherEndpoint) {
  EchoServer echo;
  TestEngine engine;
  engine.decide([&](const Upcall&) {
    Verdict verdict = allowTcp("127.0.0.1:1");
    verdict.endpoints.push_back(allowTcp(echo.address()).endpoints[0]);
    verdict.endpoints[0].weight = 1000;
    return verdict;
  });
  const std::string at = engine.listen(listenOn(ListenerKind::forward));
  TestSocket client = TestSocket::connect(at);
  ASSERT_TRUE(client.send("x"));
  EXPECT_EQ(client.receive(1), "x");
  engine.decide([](const Upcall&) { return allowTcp("127.0.0.1:1"); });
  TestSocket refused = TestSocket::connect(engine.listen(listenOn(ListenerKind::forward)));
  EXPECT_EQ(refused.receive(1), "");
  const FlowSummary summary = engine.summary(0);
  EXPECT_EQ(summary.reason, CloseReason::dialRefused);
  EXPECT_EQ(summary.code, ECONNREFUSED);
  EXPECT_EQ(summary.side, Side::upstream);
}

TEST(Engine, GivesUpOnAVerdictThatNeverComes) {
  EngineOptions options;
  options.upcallTimeoutMs = 60;
  TestEngine engine(options);
  TestSocket client = TestSocket::connect(engine.listen(listenOn(ListenerKind::forward)));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(engine.summary(0).reason, CloseReason::upcallTimeout);
  EXPECT_TRUE(engine.until([](const Batch& batch) { return batch.events.evicted.size() == 1; }));
}

TEST(Engine, EvictsTheLeastRecentlyUsedKey) {
  EchoServer echo;
  EngineOptions options;
  options.flowCacheMax = 16;
  TestEngine engine(options);
  engine.decide([&](const Upcall&) { return allowTcp(echo.address()); });
  for (int i = 0; i < 20; ++i) {
    TestSocket client = TestSocket::connect(engine.listen(listenOn(ListenerKind::forward)));
    ASSERT_TRUE(client.send("x"));
    ASSERT_EQ(client.receive(1), "x");
    client.close();
    engine.summary(static_cast<size_t>(i));
  }
  EXPECT_EQ(engine.cell(EngineCell::cacheEvictions), 4u);
}

TEST(Engine, RefusesFlowsOverTheBound) {
  EchoServer echo;
  EngineOptions options;
  options.flowsMax = 2;
  TestEngine engine(options);
  engine.decide([&](const Upcall&) { return allowTcp(echo.address()); });
  const std::string at = engine.listen(listenOn(ListenerKind::forward));
  std::vector<TestSocket> held;
  for (int i = 0; i < 2; ++i) {
    held.push_back(TestSocket::connect(at));
    ASSERT_TRUE(held.back().send("x"));
    ASSERT_EQ(held.back().receive(1), "x");
  }
  TestSocket third = TestSocket::connect(at);
  EXPECT_EQ(third.receive(1), "");
  EXPECT_TRUE(engine.until([](const Batch& batch) {
    return batch.events.notices.size() == 1 &&
           batch.events.notices[0].reason == CloseReason::overload;
  }));
}

TEST(Engine, SpeaksSocks5) {
  EchoServer echo;
  TestEngine engine;
  std::string authority;
  engine.decide([&](const Upcall& upcall) {
    authority = upcall.authority;
    return upcall.destination == "192.0.2.1:80" ? deny() : allowTcp(echo.address());
  });
  const std::string at = engine.listen(listenOn(ListenerKind::socks5));
  TestSocket named = TestSocket::connect(at);
  ASSERT_TRUE(named.send(std::string("\x05\x01\x00", 3)));
  ASSERT_EQ(named.receive(2), std::string("\x05\x00", 2));
  ASSERT_TRUE(named.send(std::string("\x05\x01\x00\x03\x04", 5) + "Echo" +
                         std::string("\x00\x50", 2)));
  EXPECT_EQ(named.receive(10)[1], 0);
  EXPECT_EQ(authority, "echo:80");
  ASSERT_TRUE(named.send("ping"));
  EXPECT_EQ(named.receive(4), "ping");
  TestSocket denied = TestSocket::connect(at);
  ASSERT_TRUE(denied.send(std::string("\x05\x01\x00", 3)));
  ASSERT_EQ(denied.receive(2).size(), 2u);
  ASSERT_TRUE(denied.send(std::string("\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", 10)));
  EXPECT_EQ(denied.receive(10)[1], 2);  // not allowed by ruleset
}

TEST(Engine, RefusesToDialItself) {
  TestEngine engine;
  const std::string at = engine.listen(listenOn(ListenerKind::capture));
  TestSocket client = TestSocket::connect(at);
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(engine.summary(0).reason, CloseReason::recursion);
}

TEST(EngineTunnel, CarriesFlowsWithBothIdentities) {
  Mesh mesh;
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  const std::string sent = pattern(3'000'000);
  TestSocket client = TestSocket::connect(at);
  std::thread sender([&] { EXPECT_TRUE(client.send(sent)); });
  EXPECT_TRUE(client.receive(sent.size()) == sent);
  sender.join();
  client.shutdownWrite();
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.lastErrno, 0);
  const FlowSummary out = mesh.a.summary(0);
  const FlowSummary in = mesh.b.summary(0);
  EXPECT_EQ(out.reason, CloseReason::complete);
  EXPECT_EQ(in.reason, CloseReason::complete);
  EXPECT_EQ(in.peerIdentity, test::kClientId);
  EXPECT_EQ(in.authority, "10.0.0.9:8080");
  EXPECT_EQ(in.bytesUp, sent.size());
  EXPECT_EQ(out.traceId, in.traceId);
  EXPECT_EQ(mesh.lastInbound.forwardedHost, "echo.demo.svc");
  EXPECT_EQ(mesh.a.cell(EngineCell::tunnelsDialled), 1u);
  // Listener and tunnel; those of the flow are closed.
  for (TestEngine* engine : {&mesh.a, &mesh.b}) {
    EXPECT_TRUE(engine->untilCell(EngineCell::socketsOpen, 2));
    EXPECT_TRUE(engine->untilCell(EngineCell::handshakesOk, 1));
    EXPECT_TRUE(engine->untilCell(EngineCell::handshakesActive, 0));
    EXPECT_EQ(engine->cell(EngineCell::handshakesFailed), 0u);
    EXPECT_GE(engine->cell(EngineCell::bytesSealed), sent.size());
    EXPECT_GE(engine->cell(EngineCell::recordsSealed), sent.size() / kRecordPlaintextMax);
    EXPECT_EQ(engine->cell(EngineCell::keyUpdates), 0u);
  }
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::serverTunnelsActive, 1));
  EXPECT_EQ(mesh.a.cell(EngineCell::serverTunnelsActive), 0u);
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::recordsOpened, mesh.a.cell(EngineCell::recordsSealed)));
  EXPECT_TRUE(mesh.a.untilCell(EngineCell::bytesOpened, mesh.b.cell(EngineCell::bytesSealed)));
  mesh.a.stop();
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::serverTunnelsActive, 0));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::socketsOpen, 1));
}

TEST(EngineTunnel, CountsHandshakesThatComeToNothing) {
  Mesh mesh;
  TestSocket silent = TestSocket::connect(mesh.tunnelPort);
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesActive, 1));
  TestSocket garbage = TestSocket::connect(mesh.tunnelPort);
  ASSERT_TRUE(garbage.send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesFailed, 1));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesActive, 1));
  silent.close();
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesFailed, 2));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesActive, 0));
  EXPECT_EQ(mesh.b.cell(EngineCell::handshakesOk), 0u);
  EXPECT_EQ(mesh.b.cell(EngineCell::serverTunnelsActive), 0u);
}

TEST(EngineTunnel, CarriesAThousandFlowsOverOneDial) {
  Mesh mesh;
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  std::vector<TestSocket> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(TestSocket::connect(at));
    ASSERT_TRUE(clients.back().ok());
    ASSERT_TRUE(clients.back().send(std::to_string(i) + "\n"));
  }
  for (int i = 0; i < 1000; ++i) {
    const std::string expected = std::to_string(i) + "\n";
    ASSERT_EQ(clients[static_cast<size_t>(i)].receive(expected.size()), expected);
  }
  EXPECT_EQ(mesh.a.cell(EngineCell::flowsActive), 1000u);
  EXPECT_LE(mesh.a.cell(EngineCell::tunnelsDialled), 10u);
  clients.clear();
  mesh.a.summary(999);
  mesh.b.summary(999);
  EXPECT_EQ(mesh.b.counter(1, CounterCell::active), 0u);
}

TEST(EngineTunnel, TellsDenialAndResetThroughTheTunnel) {
  Mesh mesh;
  mesh.b.decide([](const Upcall&) {
    Verdict verdict = deny();
    verdict.status = 401;
    return verdict;
  });
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  TestSocket denied = TestSocket::connect(at);
  EXPECT_EQ(denied.receive(1), "");
  EXPECT_EQ(denied.lastErrno, ECONNRESET);
  const FlowSummary out = mesh.a.summary(0);
  EXPECT_EQ(out.reason, CloseReason::connectRefused);
  EXPECT_EQ(out.code, 401);
  EXPECT_EQ(mesh.b.summary(0).reason, CloseReason::denied);
}

TEST(EngineTunnel, PassesResetsOn) {
  Mesh mesh;
  TestSocket client = TestSocket::connect(mesh.a.listen(listenOn(ListenerKind::forward)));
  ASSERT_TRUE(client.send("x"));
  ASSERT_EQ(client.receive(1), "x");
  client.resetHard();
  EXPECT_EQ(mesh.a.summary(0).reason, CloseReason::downstreamReset);
  EXPECT_EQ(mesh.b.summary(0).reason, CloseReason::downstreamReset);
}

TEST(EngineTunnel, RefusesAPeerThatIsNotExpected) {
  Mesh mesh;
  mesh.a.decide([&](const Upcall&) {
    Verdict verdict = allowTcp("127.0.0.1:1");
    verdict.endpoints[0] = mesh.tunnel();
    verdict.endpoints[0].peers = {"spiffe://cluster.local/ns/default/sa/other"};
    return verdict;
  });
  TestSocket client = TestSocket::connect(mesh.a.listen(listenOn(ListenerKind::forward)));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(mesh.a.summary(0).reason, CloseReason::tlsIdentity);
  EXPECT_TRUE(mesh.a.untilCell(EngineCell::handshakesFailed, 1));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesFailed, 1));
}

TEST(EngineTunnel, DialsAndDeliversForTheProgramItself) {
  Mesh mesh;
  mesh.b.decide([](const Upcall&) {
    Verdict verdict;
    verdict.allow = true;
    verdict.reason = CloseReason::none;
    Endpoint local;
    local.protocol = EndpointProtocol::local;
    verdict.endpoints.push_back(local);
    return verdict;
  });
  DialSpec spec;
  spec.endpoint = mesh.tunnel();
  ASSERT_TRUE(mesh.a.with([&](Engine& e) { return e.dial(7, spec).ok(); }));
  ASSERT_TRUE(mesh.a.until([](const Batch& batch) { return batch.dials.size() == 1; }));
  ASSERT_TRUE(mesh.b.until([](const Batch& b) { return b.events.deliveries.size() == 1; }));
  const Batch out = mesh.a.seen();
  const Batch in = mesh.b.seen();
  ASSERT_FALSE(out.dials[0].error.has_value());
  EXPECT_EQ(out.dials[0].request, 7u);
  EXPECT_EQ(out.dials[0].peerIdentity, test::kServerId);
  EXPECT_EQ(in.events.deliveries[0].peerIdentity, test::kClientId);
  TestSocket near(out.dials[0].fd);
  TestSocket far(in.events.deliveries[0].fd);
  const pollfd both[] = {{near.fd(), POLLIN, 0}, {far.fd(), POLLIN, 0}};
  ASSERT_TRUE(near.send("to"));
  pollfd wait = both[1];
  ASSERT_EQ(poll(&wait, 1, 5000), 1);
  EXPECT_EQ(far.receive(2), "to");
  ASSERT_TRUE(far.send("fro"));
  wait = both[0];
  ASSERT_EQ(poll(&wait, 1, 5000), 1);
  EXPECT_EQ(near.receive(3), "fro");
}

TEST(EngineTunnel, ListsClosesAndDrains) {
  Mesh mesh;
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  TestSocket one = TestSocket::connect(at);
  TestSocket two = TestSocket::connect(at);
  for (TestSocket* client : {&one, &two}) {
    ASSERT_TRUE(client->send("x"));
    ASSERT_EQ(client->receive(1), "x");
  }
  ASSERT_TRUE(mesh.a.with([](Engine& e) { return e.flows(1).ok() && e.tunnels(2).ok(); }));
  ASSERT_TRUE(mesh.a.until([](const Batch& b) { return b.flows.size() + b.tunnels.size() == 2; }));
  const Batch lists = mesh.a.seen();
  ASSERT_EQ(lists.flows[0].flows.size(), 2u);
  ASSERT_EQ(lists.tunnels[0].tunnels.size(), 1u);
  EXPECT_EQ(lists.tunnels[0].tunnels[0].streams, 2u);
  EXPECT_EQ(lists.tunnels[0].tunnels[0].peerIdentity, test::kServerId);
  const FlowFacts& first = lists.flows[0].flows[0];
  mesh.a.with([&](Engine& e) { return e.closeFlow(first.shard, first.flow).ok(); });
  EXPECT_EQ(mesh.a.summary(0).reason, CloseReason::localClosed);
  ASSERT_TRUE(mesh.a.with([](Engine& e) { return e.drain(3, 50).ok(); }));
  EXPECT_TRUE(mesh.a.until([](const Batch& batch) { return batch.drained.size() == 1; }));
  EXPECT_EQ(mesh.a.summary(1).reason, CloseReason::drained);
  EXPECT_FALSE(TestSocket::connect(at).ok());
}

TEST(EngineTunnel, EndsFlowsOfAClosedListener) {
  Mesh mesh;
  const HandleValue inbound = mesh.b.lastListener;
  TestSocket client = TestSocket::connect(mesh.a.listen(listenOn(ListenerKind::forward)));
  ASSERT_TRUE(client.send("x"));
  ASSERT_EQ(client.receive(1), "x");
  ASSERT_TRUE(mesh.b.with([&](Engine& e) { return e.closeListener(inbound, true).ok(); }));
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(mesh.b.summary(0).reason, CloseReason::removed);
}

TEST(EngineTunnel, StopsUnderLoadOnTwoShards) {
  EngineOptions options;
  options.shards = 2;
  Mesh mesh(options);
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  std::vector<std::thread> users;
  std::atomic<uint64_t> echoed{0};
  for (int i = 0; i < 8; ++i) {
    users.emplace_back([&] {
      while (true) {
        TestSocket client = TestSocket::connect(at);
        if (!client.ok() || !client.send("payload") || client.receive(7).size() != 7) return;
        ++echoed;
      }
    });
  }
  while (echoed < 200) std::this_thread::yield();
  mesh.a.stop();
  for (std::thread& user : users) user.join();
  mesh.b.stop();
  EXPECT_EQ(mesh.b.cell(EngineCell::flowsActive), 0u);
}

}  // namespace
}  // namespace onehop::engine
