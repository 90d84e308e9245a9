#include "transport/tls_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "io/socket.h"
#include "support/certificates.h"
#include "tls/credentials.h"

namespace onehop::transport {
namespace {

using test::kClientId;
using test::kServerId;
using test::testCredentials;

// One end: collects what comes and sends `toSend` as fast as the other end takes it.
struct End final : TlsEvents {
  explicit End(io::EventLoop& l) : loop(l) {}
  void begin(io::Fd fd, std::unique_ptr<tls::Session> session, Nanos deadline = kSecond) {
    auto socket = io::TcpStream::adopt(loop, std::move(fd));
    ASSERT_TRUE(socket.ok());
    stream = std::make_unique<TlsStream>(std::move(socket.value()), std::move(session), *this,
                                         &counters);
    stream->start(deadline);
  }
  void onEstablished() override {
    established = true;
    pump();
  }
  void onPlaintext(MutableByteSpan bytes) override {
    received.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    ++records;
    for (const Nanos until = monotonicNow() + workPerRecord; monotonicNow() < until;) {
    }
  }
  void onBatchEnd() override { ++batches; }
  void onRoom() override { pump(); }
  void onClosed(const Error& error) override {
    EXPECT_FALSE(closed);
    closed = true;
    reason = error.reason;
    code = error.code;
  }
  void onReleased() override {
    EXPECT_FALSE(released);
    released = true;
  }
  void pump() {
    while (!stream->closed()) {
      while (sent < toSend.size() && fill()) {
      }
      if (!stream->flush() || sent == toSend.size()) return;
    }
  }
  bool fill() {
    if (toSend.size() - sent < 20000) {
      const MutableByteSpan room = stream->room(1);
      if (room.empty()) return false;
      const size_t bytes = std::min({room.size(), toSend.size() - sent, size_t{1000}});
      std::memcpy(room.data(), toSend.data() + sent, bytes);
      stream->commit(bytes);
      sent += bytes;
      return true;
    }
    MutableByteSpan parts[16];
    const size_t count = stream->reserveRecords(parts, 16);
    if (count == 0) return false;
    size_t full = 0, last = 0;
    for (size_t i = 0; i < count && last == 0 && sent < toSend.size(); ++i) {
      const size_t bytes = std::min(parts[i].size(), toSend.size() - sent);
      std::memcpy(parts[i].data(), toSend.data() + sent, bytes);
      sent += bytes;
      bytes == kRecordPlaintextMax ? ++full : last = bytes;
    }
    stream->commitRecords(full, last);
    return true;
  }

  io::EventLoop& loop;
  TlsCounters counters;
  std::unique_ptr<TlsStream> stream;
  std::string received, toSend;
  size_t sent = 0;
  Nanos workPerRecord = 0;
  int records = 0, batches = 0, code = 0;
  bool established = false, closed = false, released = false;
  CloseReason reason = CloseReason::none;
};

// The parameter: whether handshakes are computed by the loop's helper.
struct TlsStreamTest : testing::TestWithParam<bool> {
  void SetUp() override { ASSERT_TRUE(loop.init().ok()); }
  template <typename F>
  bool runUntil(F&& done, Nanos most = 20 * kSecond) {
    const Nanos until = monotonicNow() + most;
    while (!done() && monotonicNow() < until) loop.runOnce(20 * kMillisecond);
    return done();
  }
  std::pair<io::Fd, io::Fd> pair() {
    auto made = io::makeSocketPair();
    CHECK(made.ok());
    return std::move(made.value());
  }
  void connect(const std::string& expected = kServerId) {
    auto [a, b] = pair();
    client.begin(std::move(a), tls::Session::client(testCredentials(kClientId), {expected}));
    server.begin(std::move(b), tls::Session::server(testCredentials(kServerId)));
  }
  io::EventLoop loop{io::LoopOptions{.helper = GetParam()}};
  End client{loop}, server{loop};
};

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint32_t x = 12345;
  for (char& c : text) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

TEST_P(TlsStreamTest, CarriesBytesBothWaysAndHoldsNoBufferWhenIdle) {
  client.toSend = pattern(8 << 20);
  server.toSend = pattern(3 << 20);
  connect();
  ASSERT_TRUE(runUntil([&] {
    return server.received.size() == client.toSend.size() &&
           client.received.size() == server.toSend.size();
  }));
  EXPECT_TRUE(server.received == client.toSend);
  EXPECT_TRUE(client.received == server.toSend);
  EXPECT_EQ(server.stream->peerIdentity(), kClientId);
  EXPECT_EQ(client.stream->peerIdentity(), kServerId);
  loop.runOnce(0);
  EXPECT_EQ(loop.receivePool().lent(), 0u);
  EXPECT_EQ(loop.sendPool().lent(), 0u);
  for (const End* end : {&client, &server}) {
    EXPECT_EQ(end->counters.handshakesOk, 1u);
    EXPECT_EQ(end->counters.handshakesActive + end->counters.handshakesFailed, 0u);
    EXPECT_EQ(end->counters.bytesSealed, end->toSend.size());
    EXPECT_EQ(end->counters.bytesOpened, end->received.size());
  }
  EXPECT_EQ(client.counters.recordsSealed, server.counters.recordsOpened);
  EXPECT_EQ(server.counters.recordsSealed, client.counters.recordsOpened);
}

TEST_P(TlsStreamTest, GivesBuffersBackAfterAQuietWhile) {
  client.toSend = pattern(1 << 20);
  connect();
  ASSERT_TRUE(runUntil([&] { return server.received.size() == client.toSend.size(); }));
  EXPECT_GT(loop.keptBytes(), 0u);
  for (int i = 0; i < 10 && loop.keptBytes() > 0; ++i) loop.runOnce(2 * kSecond);
  EXPECT_EQ(loop.keptBytes(), 0u);
}

TEST_P(TlsStreamTest, PacksSmallCommitsIntoOneRecord) {
  client.toSend = pattern(9000);
  connect();
  ASSERT_TRUE(runUntil([&] { return server.received.size() == 9000; }));
  EXPECT_TRUE(server.received == client.toSend);
  EXPECT_EQ(server.records, 1);
  EXPECT_EQ(client.counters.recordsSealed, 1u);
}

// Ten thousand records of a byte each in one receive: the others of the loop have their turn meanwhile.
TEST_P(TlsStreamTest, TinyRecordsDoNotKeepTheLoop) {
  connect();
  ASSERT_TRUE(runUntil([&] { return client.established && server.established; }));
  const std::string text = pattern(9000);  // about a send block
  server.workPerRecord = kMicrosecond;     // a turn has time for a thousand, however fast the processor
  for (const char c : text) {
    MutableByteSpan part;
    ASSERT_EQ(client.stream->reserveRecords(&part, 1), 1u);
    part[0] = static_cast<uint8_t>(c);
    client.stream->commitRecords(0, 1);
  }
  client.stream->flush();
  size_t most = 0;
  ASSERT_TRUE(runUntil([&] {
    const size_t before = server.received.size();
    loop.runOnce(0);
    most = std::max(most, server.received.size() - before);
    return server.received.size() == text.size();
  }));
  EXPECT_TRUE(server.received == text);
  EXPECT_LT(most, 2000u);
  loop.runOnce(0);
  EXPECT_EQ(loop.receivePool().lent(), 0u);
}

TEST_P(TlsStreamTest, ChangesKeysInMidStreamAndCountsIt) {
  tls::EstablishedState state;
  state.role = tls::Role::client;
  state.write.secret.fill(1);
  state.write.sequence = tls::kKeyUpdateRecords - 3;
  state.read.secret.fill(2);
  tls::EstablishedState mirror = state;
  mirror.role = tls::Role::server;
  std::swap(mirror.read, mirror.write);
  client.toSend = pattern(1 << 20);
  server.toSend = pattern(1 << 20);
  auto [a, b] = pair();
  client.begin(std::move(a), tls::Session::resume(state));
  server.begin(std::move(b), tls::Session::resume(mirror));
  ASSERT_TRUE(runUntil([&] {
    return server.received.size() == client.toSend.size() &&
           client.received.size() == server.toSend.size();
  }));
  EXPECT_TRUE(server.received == client.toSend);
  EXPECT_EQ(client.counters.keyUpdates, 1u);
  EXPECT_EQ(server.counters.keyUpdates, 1u);
  EXPECT_EQ(client.counters.handshakesOk, 0u) << "that was done elsewhere";
}

TEST_P(TlsStreamTest, ClosesInOrderAfterTheLastByte) {
  client.toSend = pattern(100000);
  connect();
  ASSERT_TRUE(runUntil([&] { return client.sent == client.toSend.size(); }));
  client.stream->closeInOrder();
  ASSERT_TRUE(runUntil([&] { return client.released && server.released; }));
  EXPECT_TRUE(server.received == client.toSend);
  EXPECT_EQ(server.reason, CloseReason::complete);
  EXPECT_FALSE(client.closed);
}

TEST_P(TlsStreamTest, TellsBothEndsOfAWrongPeerAndDeliversTheAlert) {
  connect("spiffe://cluster.local/ns/x/sa/other");
  ASSERT_TRUE(runUntil([&] { return client.released && server.released; }));
  EXPECT_EQ(client.reason, CloseReason::tlsIdentity);
  EXPECT_EQ(server.reason, CloseReason::tlsFailed);
  EXPECT_NE(server.code, 0);
  EXPECT_FALSE(client.established);
  for (const End* end : {&client, &server}) {
    EXPECT_EQ(end->counters.handshakesFailed, 1u);
    EXPECT_EQ(end->counters.handshakesActive + end->counters.handshakesOk, 0u);
  }
}

TEST_P(TlsStreamTest, GivesUpOnASilentPeer) {
  auto [a, b] = pair();
  server.begin(std::move(b), tls::Session::server(testCredentials(kServerId)), 50 * kMillisecond);
  ASSERT_TRUE(runUntil([&] { return server.released; }));
  EXPECT_EQ(server.reason, CloseReason::tlsTimeout);
  EXPECT_EQ(server.counters.handshakesFailed, 1u);
}

TEST_P(TlsStreamTest, ReportsATruncatedStream) {
  connect();
  ASSERT_TRUE(runUntil([&] { return server.established; }));
  client.stream->abort();
  client.stream.reset();
  ASSERT_TRUE(runUntil([&] { return server.released; }));
  EXPECT_TRUE(server.closed);
  EXPECT_NE(server.reason, CloseReason::complete);
}

TEST_P(TlsStreamTest, AnswersGarbageWithAnAlertAndKeepsNothing) {
  auto [a, b] = pair();
  server.begin(std::move(b), tls::Session::server(testCredentials(kServerId)));
  ASSERT_EQ(send(a.get(), "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
  ASSERT_TRUE(runUntil([&] { return server.closed; }));
  EXPECT_EQ(loop.receivePool().lent(), 0u);
  a = io::Fd();
  ASSERT_TRUE(runUntil([&] { return server.released; }));
  EXPECT_EQ(loop.sendPool().lent(), 0u);
}

TEST_P(TlsStreamTest, AnUnfinishedRecordPinsNoPoolBlock) {
  auto [a, b] = pair();
  server.begin(std::move(b), tls::Session::server(testCredentials(kServerId)));
  const uint8_t start[] = {22, 3, 1, 0x10, 0, 1, 0};
  ASSERT_EQ(send(a.get(), start, sizeof start, 0), static_cast<ssize_t>(sizeof start));
  ASSERT_TRUE(runUntil([&] { return server.stream->bytesReceived() == sizeof start; }));
  EXPECT_EQ(loop.receivePool().lent(), 0u);
  EXPECT_EQ(server.counters.handshakesActive, 1u);
  server.stream->abort();
  EXPECT_EQ(server.counters.handshakesActive, 0u);
  EXPECT_EQ(server.counters.handshakesFailed, 0u) << "given up by us";
}

// Whatever happens to a stream while a step of its handshake is computed elsewhere.
TEST_P(TlsStreamTest, MayEndAtAnyPointOfItsHandshake) {
  for (int passes = 0; passes < 12; ++passes) {
    for (const bool inOrder : {false, true}) {
      auto [a, b] = pair();
      End one(loop), other(loop);
      one.begin(std::move(a), tls::Session::client(testCredentials(kClientId), {kServerId}));
      other.begin(std::move(b), tls::Session::server(testCredentials(kServerId)));
      for (int i = 0; i < passes; ++i) loop.runOnce(kMillisecond);
      if (inOrder) {
        other.stream->closeInOrder();
        ASSERT_TRUE(runUntil([&] { return one.released && other.released; }));
        EXPECT_FALSE(other.closed);
      } else {
        other.stream->abort();
        other.stream.reset();
        ASSERT_TRUE(runUntil([&] { return one.released; }));
      }
      EXPECT_TRUE(one.closed);
    }
  }
}

// The client's first records come right behind its Finished: they are no part of the handshake.
TEST_P(TlsStreamTest, HandsOnWhatCameWithTheEndOfTheHandshake) {
  client.toSend = pattern(300);
  connect();
  ASSERT_TRUE(runUntil([&] { return server.received.size() == client.toSend.size(); }));
  EXPECT_TRUE(server.received == client.toSend);
  client.stream->closeInOrder();
  ASSERT_TRUE(runUntil([&] { return client.released && server.released; }));
  EXPECT_EQ(server.reason, CloseReason::complete);
}

INSTANTIATE_TEST_SUITE_P(Handshakes, TlsStreamTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "helper" : "here"; });

}  // namespace
}  // namespace onehop::transport
