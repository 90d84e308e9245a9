// RFC 9113: which error ends the connection, which the stream, and what is no error.
#include <gtest/gtest.h>

#include "support/raw.h"

namespace onehop::h2 {
namespace {

constexpr int kProtocol = 1, kFlow = 3, kClosed = 5, kSize = 6, kCompression = 9;

// What becomes of `bytes` after the greeting and `before`.
struct Outcome {
  int goaway = -1;
  int reset = -1;  // of stream 1
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << "goaway " << outcome.goaway << " reset " << outcome.reset;
}
Outcome outcomeOf(Attacked& attacked, std::string_view bytes) {
  const bool good = attacked.feed(bytes);
  Outcome outcome;
  for (const Frame& f : attacked.written()) {
    if (f.type == 7) outcome.goaway = static_cast<int>(f.word(4));
    if (f.type == 3 && f.stream == 1) outcome.reset = static_cast<int>(f.word());
  }
  EXPECT_EQ(good, outcome.goaway == -1);
  EXPECT_EQ(good, !attacked.endpoint.connection.dead());
  return outcome;
}
Outcome server(std::string_view bytes, std::string_view before = {}) {
  Attacked attacked(Role::server);
  EXPECT_TRUE(attacked.feed(before));
  attacked.endpoint.produce();
  return outcomeOf(attacked, bytes);
}
// A client that sent CONNECT on stream 1.
Outcome client(std::string_view bytes, bool end = false) {
  Attacked attacked(Role::client);
  attacked.endpoint.open("10.0.0.1:80", end);
  attacked.endpoint.produce();
  return outcomeOf(attacked, bytes);
}
Outcome goaway(int code) { return {code, -1}; }
Outcome reset(int code) { return {-1, code}; }
const Outcome kFine;
const std::string kOpen = headersFrame(1, connectBlock());
const std::string kHalfClosed = headersFrame(1, connectBlock(), 5);

TEST(ProtocolTest, FirstBytes) {
  const std::string starts[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
                                kPreface + frame(6, 0, 0, "12345678"), kPreface + frame(4, 1, 0),
                                kPreface + kOpen, kPreface + windowFrame(0, 5)};
  for (const std::string& start : starts) {
    Endpoint endpoint(Role::server);
    endpoint.connection.start(endpoint.now);
    endpoint.produce();
    EXPECT_FALSE(endpoint.feed(start).ok());
    const auto frames = parseFrames(endpoint.produce());
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].word(4), 1u);
    EXPECT_EQ(endpoint.error.reason, CloseReason::h2Protocol);
  }
}

TEST(ProtocolTest, FrameSizes) {
  EXPECT_EQ(server(dataFrame(1, std::string(16385, 'x')), kOpen), goaway(kSize));
  EXPECT_EQ(server(dataFrame(1, std::string(16384, 'x')), kOpen), kFine);
  EXPECT_EQ(server(frame(6, 0, 0, "1234567")), goaway(kSize));
  EXPECT_EQ(server(frame(6, 0, 0, "123456789")), goaway(kSize));
  EXPECT_EQ(server(frame(3, 0, 1, "123"), kOpen), goaway(kSize));
  EXPECT_EQ(server(frame(8, 0, 1, "12345"), kOpen), goaway(kSize));
  EXPECT_EQ(server(frame(7, 0, 0, "1234567")), goaway(kSize));
  EXPECT_EQ(server(frame(4, 0, 0, "12345")), goaway(kSize));
  EXPECT_EQ(server(frame(4, 1, 0, "123456")), goaway(kSize));
  EXPECT_EQ(server(frame(2, 0, 1, "1234"), kOpen), reset(kSize));
  EXPECT_EQ(server(frame(77, 0, 1, std::string(16385, 'x'))), goaway(kSize));
}

TEST(ProtocolTest, FramesOnTheWrongStream) {
  for (const int type : {0, 1, 2, 3, 9}) {
    EXPECT_EQ(server(frame(type, 4, 0, type == 3 ? "1234" : "12345"), kOpen), goaway(kProtocol))
        << type;
  }
  EXPECT_EQ(server(frame(4, 0, 1), kOpen), goaway(kProtocol));
  EXPECT_EQ(server(frame(6, 0, 1, "12345678"), kOpen), goaway(kProtocol));
  EXPECT_EQ(server(frame(7, 0, 1, number(0, 8)), kOpen), goaway(kProtocol));
  EXPECT_EQ(server(frame(5, 4, 1, number(2, 4)), kOpen), goaway(kProtocol));
  EXPECT_EQ(client(frame(5, 4, 1, number(2, 4) + okBlock())), goaway(kProtocol));
}

TEST(ProtocolTest, IdleStreams) {
  EXPECT_EQ(server(dataFrame(1, "x")), goaway(kProtocol));
  EXPECT_EQ(server(resetFrame(1)), goaway(kProtocol));
  EXPECT_EQ(server(windowFrame(1, 1)), goaway(kProtocol));
  EXPECT_EQ(server(frame(2, 0, 1, number(0, 4) + "x")), kFine);
  EXPECT_EQ(server(headersFrame(2, connectBlock())), goaway(kProtocol));
  EXPECT_EQ(client(headersFrame(3, okBlock())), goaway(kProtocol));
  EXPECT_EQ(client(headersFrame(2, okBlock())), goaway(kProtocol));
  EXPECT_EQ(client(dataFrame(3, "x")), goaway(kProtocol));
}

TEST(ProtocolTest, StreamIdsGoUp) {
  EXPECT_EQ(server(headersFrame(3, connectBlock()), headersFrame(5, connectBlock())),
            goaway(kProtocol));
  EXPECT_EQ(server(headersFrame(7, connectBlock()), headersFrame(5, connectBlock())), kFine);
}

TEST(ProtocolTest, HalfClosedAndClosedStreams) {
  EXPECT_EQ(server(dataFrame(1, "x"), kHalfClosed), reset(kClosed));
  EXPECT_EQ(server(headersFrame(1, literal("a", "b"), 5), kHalfClosed), reset(kClosed));
  EXPECT_EQ(server(windowFrame(1, 5000), kHalfClosed), kFine);
  EXPECT_EQ(server(resetFrame(1), kHalfClosed), kFine);
  const std::string closed = kOpen + resetFrame(1);
  EXPECT_EQ(server(dataFrame(1, "x"), closed), reset(kClosed));
  EXPECT_EQ(server(headersFrame(1, connectBlock()), closed), goaway(kClosed));
  EXPECT_EQ(server(windowFrame(1, 1), closed), kFine);
  EXPECT_EQ(server(resetFrame(1), closed), kFine);
  EXPECT_EQ(server(frame(2, 0, 1, number(0, 4) + "x"), closed), kFine);
  EXPECT_EQ(client(headersFrame(1, okBlock()) + dataFrame(1, "", 1) + dataFrame(1, "x")),
            reset(kClosed));
}

TEST(ProtocolTest, FramesAfterOurReset) {
  Attacked attacked(Role::server);
  ASSERT_TRUE(attacked.open());
  attacked.endpoint.reset(*attacked.endpoint.flows.at(1), ErrorCode::cancel);
  attacked.endpoint.produce();
  EXPECT_TRUE(attacked.feed(dataFrame(1, "late") + windowFrame(1, 1) +
                            headersFrame(1, literal("a", "b"), 5) + resetFrame(1)));
  EXPECT_TRUE(attacked.written().empty());
}

TEST(ProtocolTest, HeaderBlocksAreWhole) {
  const std::string begin = headersFrame(1, connectBlock(), 0);
  EXPECT_EQ(server(frame(9, 4, 1), begin), kFine);
  EXPECT_EQ(server(frame(9, 4, 3), begin), goaway(kProtocol));
  EXPECT_EQ(server(frame(6, 0, 0, "12345678"), begin), goaway(kProtocol));
  EXPECT_EQ(server(frame(77, 0, 1), begin), goaway(kProtocol));
  EXPECT_EQ(server(headersFrame(1, ""), begin), goaway(kProtocol));
  EXPECT_EQ(server(frame(9, 4, 1), kOpen), goaway(kProtocol));
  EXPECT_EQ(server(headersFrame(1, "\xff")), goaway(kCompression));
  EXPECT_EQ(server(headersFrame(1, "\xff"), kHalfClosed), goaway(kCompression));
}

TEST(ProtocolTest, PaddingAndPriority) {
  const std::string block = connectBlock();
  EXPECT_EQ(server(headersFrame(1, "\x03" + block + "pad", 0xc)), kFine);
  EXPECT_EQ(server(headersFrame(1, number(block.size() + 1, 1) + block, 0xc)), goaway(kProtocol));
  EXPECT_EQ(server(headersFrame(1, "", 0xc)), goaway(kSize));
  EXPECT_EQ(server(headersFrame(1, number(3, 4) + "\x10" + block, 0x24)), kFine);
  EXPECT_EQ(server(headersFrame(1, number(1, 4) + "\x10" + block, 0x24)), reset(kProtocol));
  EXPECT_EQ(server(headersFrame(1, "1234", 0x24)), goaway(kSize));
  EXPECT_EQ(server(frame(2, 0, 1, number(1, 4) + "x"), kOpen), reset(kProtocol));
  EXPECT_EQ(server(dataFrame(1, "", 8), kOpen), goaway(kSize));
  EXPECT_EQ(server(dataFrame(1, "\x02xy", 8), kOpen), kFine);
  EXPECT_EQ(server(dataFrame(1, "\x03xy", 8), kOpen), goaway(kProtocol));
}

TEST(ProtocolTest, PaddedDataAtEverySplit) {
  const std::string bytes = dataFrame(1, "\x05hello, world12345", 8) +
                            dataFrame(1, hex("02 00 00"), 9);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Attacked attacked(Role::server);
    ASSERT_TRUE(attacked.open());
    ASSERT_TRUE(attacked.feed(std::string_view(bytes).substr(0, cut)));
    ASSERT_TRUE(attacked.feed(std::string_view(bytes).substr(cut)));
    EXPECT_EQ(attacked.endpoint.flows.at(1)->in, "hello, world");
    EXPECT_TRUE(attacked.endpoint.flows.at(1)->inEnd);
  }
}

TEST(ProtocolTest, Settings) {
  EXPECT_EQ(server(settingsFrame({{2, 2}})), goaway(kProtocol));
  EXPECT_EQ(server(settingsFrame({{2, 1}})), kFine);
  EXPECT_EQ(client(settingsFrame({{2, 1}})), goaway(kProtocol));
  EXPECT_EQ(server(settingsFrame({{4, 0x80000000}})), goaway(kFlow));
  EXPECT_EQ(server(settingsFrame({{5, 16383}})), goaway(kProtocol));
  EXPECT_EQ(server(settingsFrame({{5, 1 << 24}})), goaway(kProtocol));
  EXPECT_EQ(server(settingsFrame({{5, (1 << 24) - 1}, {99, 7}})), kFine);
  Attacked attacked(Role::server);
  ASSERT_TRUE(attacked.feed(settingsFrame()));
  const auto frames = attacked.written();
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].type, 4);
  EXPECT_EQ(frames[0].flags, 1);
}

TEST(ProtocolTest, SendWindows) {
  EXPECT_EQ(server(windowFrame(0, 0)), goaway(kProtocol));
  EXPECT_EQ(server(windowFrame(1, 0), kOpen), reset(kProtocol));
  EXPECT_EQ(server(windowFrame(0, 0x7fffffff - 65535)), kFine);
  EXPECT_EQ(server(windowFrame(0, 0x7fffffff - 65534)), goaway(kFlow));
  EXPECT_EQ(server(windowFrame(1, 0x7fffffff - 65535), kOpen), kFine);
  EXPECT_EQ(server(windowFrame(1, 0x7fffffff - 65534), kOpen), reset(kFlow));
  EXPECT_EQ(server(settingsFrame({{4, 65536}}), kOpen + windowFrame(1, 0x7fffffff - 65535)),
            goaway(kFlow));
}

TEST(ProtocolTest, SettingsMovesOpenWindowsAlsoBelowZero) {
  Attacked attacked(Role::server);
  ASSERT_TRUE(attacked.open());
  Endpoint::Flow& flow = *attacked.endpoint.flows.at(1);
  attacked.endpoint.send(flow, std::string(40000, 'x'));
  attacked.endpoint.produce();
  ASSERT_TRUE(attacked.feed(settingsFrame({{4, 1000}})));
  EXPECT_EQ(flow.stream->sendWindow(), 1000 - 40000);
  attacked.endpoint.send(flow, "y");
  EXPECT_EQ(attacked.written().size(), 1u);  // the ACK alone
  ASSERT_TRUE(attacked.feed(windowFrame(1, 39000)));
  EXPECT_TRUE(attacked.written().empty());  // zero is still shut
  ASSERT_TRUE(attacked.feed(windowFrame(1, 1)));
  EXPECT_EQ(attacked.written().size(), 1u);
}

TEST(ProtocolTest, ReceiveWindows) {
  Limits limits;
  limits.windows.streamInitial = 100000;
  Attacked stream(Role::server, limits);
  stream.endpoint.autoConsume = false;
  ASSERT_TRUE(stream.open());
  const std::string part(16000, 'x');
  // The share of a lone stream is the whole budget, so credit follows at once.
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(stream.feed(dataFrame(1, part)));
  EXPECT_EQ(stream.resetCode(1), kFlow);  // produce() had no chance to write it
  limits.windows.budgetInitial = 65535;
  limits.windows.budgetMax = 65535;
  Attacked connection(Role::server, limits);
  ASSERT_TRUE(connection.open());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(connection.feed(dataFrame(1, part)));
  EXPECT_FALSE(connection.feed(dataFrame(1, part)));
  EXPECT_EQ(connection.goawayCode(), kFlow);
}

TEST(ProtocolTest, Requests) {
  const std::string get = literal(":method", "GET") + literal(":scheme", "https") +
                          literal(":path", "/");
  const std::string connect = literal(":method", "CONNECT");
  const std::string authority = literal(":authority", "a:1");
  const auto ask = [](const std::string& block, int flags = 4) {
    return server(headersFrame(1, block, flags));
  };
  EXPECT_EQ(ask(get), kFine);
  EXPECT_EQ(ask(connect + authority), kFine);
  EXPECT_EQ(ask(connect), reset(kProtocol));
  EXPECT_EQ(ask(connect + literal(":authority", "")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal(":scheme", "https")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal(":path", "/")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal(":protocol", "x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + authority), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("A", "x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("", "x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("a b", "x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("a:", "x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("a", " x")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("a", "x\r\nb: y")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("a", std::string_view("x\0y", 3))), reset(kProtocol));
  EXPECT_EQ(ask(connect + literal("a", "b") + authority), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal(":status", "200")), reset(kProtocol));
  for (const char* name : {"connection", "proxy-connection", "keep-alive", "transfer-encoding",
                           "upgrade"}) {
    EXPECT_EQ(ask(connect + authority + literal(name, "x")), reset(kProtocol)) << name;
  }
  EXPECT_EQ(ask(connect + authority + literal("te", "gzip")), reset(kProtocol));
  EXPECT_EQ(ask(connect + authority + literal("te", "trailers")), kFine);
  EXPECT_EQ(ask(connect + authority + literal("content-length", "77"), 5), kFine);  // of no meaning
  EXPECT_EQ(ask(get + literal("content-length", "7"), 5), reset(kProtocol));
  EXPECT_EQ(ask(get + literal("content-length", "x"), 4), reset(kProtocol));
  EXPECT_EQ(ask(get + literal("content-length", "7") + literal("content-length", "8")),
            reset(kProtocol));
  EXPECT_EQ(ask(literal(":method", "GET") + literal(":scheme", "https") + literal(":path", "")),
            reset(kProtocol));
}

TEST(ProtocolTest, ContentLength) {
  const std::string post = headersFrame(1, literal(":method", "POST") + literal(":scheme", "https") +
                                               literal(":path", "/") +
                                               literal("content-length", "4"));
  EXPECT_EQ(server(dataFrame(1, "abcd", 1), post), kFine);
  EXPECT_EQ(server(dataFrame(1, "abc", 1), post), reset(kProtocol));
  EXPECT_EQ(server(dataFrame(1, "abcde"), post), reset(kProtocol));
  EXPECT_EQ(server(dataFrame(1, "abc") + headersFrame(1, literal("a", "b"), 5), post),
            reset(kProtocol));
  EXPECT_EQ(server(dataFrame(1, "abcd") + headersFrame(1, literal("a", "b"), 5), post), kFine);
}

TEST(ProtocolTest, Trailers) {
  const std::string post = headersFrame(
      1, literal(":method", "POST") + literal(":scheme", "https") + literal(":path", "/"));
  EXPECT_EQ(server(headersFrame(1, literal("a", "b"), 5), post), kFine);
  EXPECT_EQ(server(headersFrame(1, literal("a", "b"), 4), post), reset(kProtocol));
  EXPECT_EQ(server(headersFrame(1, literal(":path", "/"), 5), post), reset(kProtocol));
}

// RFC 9113 8.5: DATA and stream management only, once connected.
TEST(ProtocolTest, NothingButDataOnAConnectedStream) {
  EXPECT_EQ(server(headersFrame(1, literal("a", "b"), 5), kOpen), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, okBlock()) + headersFrame(1, literal("a", "b"), 5)),
            reset(kProtocol));
  EXPECT_EQ(server(dataFrame(1, "x") + windowFrame(1, 5) + frame(2, 0, 1, number(0, 5)), kOpen),
            kFine);
  // Refused, it is a response like any other.
  const std::string refused = headersFrame(1, literal(":status", "503"));
  EXPECT_EQ(client(refused + headersFrame(1, literal("a", "b"), 5)), kFine);
}

// The last entry of a SETTINGS frame counts, as all of them in order would.
TEST(ProtocolTest, SeveralInitialWindowsInOneSettings) {
  Attacked attacked(Role::server);
  ASSERT_TRUE(attacked.open());
  const Stream& stream = *attacked.endpoint.flows.at(1)->stream;
  ASSERT_TRUE(attacked.feed(settingsFrame({{4, 0}, {4, 1}, {4, 70000}, {4, 100}})));
  EXPECT_EQ(stream.sendWindow(), 100);
  ASSERT_TRUE(attacked.feed(settingsFrame({{4, 0}})));
  EXPECT_EQ(stream.sendWindow(), 0);
  EXPECT_EQ(outcomeOf(attacked, settingsFrame({{4, 5}, {4, 0x80000000u}})), goaway(kFlow));
}

TEST(ProtocolTest, Responses) {
  EXPECT_EQ(client(headersFrame(1, okBlock())), kFine);
  EXPECT_EQ(client(headersFrame(1, literal("a", "b"))), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "20"))), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "099"))), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "101"))), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, okBlock() + literal(":method", "GET"))), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "103"), 5)), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "103")) + headersFrame(1, okBlock())), kFine);
  EXPECT_EQ(client(dataFrame(1, "early")), reset(kProtocol));
  EXPECT_EQ(client(headersFrame(1, literal(":status", "103")) + dataFrame(1, "early")),
            reset(kProtocol));
  // RFC 9110 9.3.6: content-length in a CONNECT response has no meaning.
  EXPECT_EQ(client(headersFrame(1, okBlock() + literal("content-length", "3")) +
                   dataFrame(1, "longer")),
            kFine);
}

TEST(ProtocolTest, BlocksOfRefusedStreamsStillFeedTheTable) {
  Limits limits;
  limits.streamsMax = 1;
  Attacked attacked(Role::server, limits);
  ASSERT_TRUE(attacked.open(1));
  // Stream 3 is refused, but its block put a field into the table.
  ASSERT_TRUE(attacked.feed(headersFrame(3, connectBlock() + hex("4001 6101 62"))));
  EXPECT_EQ(attacked.resetCode(3), 7);
  ASSERT_TRUE(attacked.feed(resetFrame(1) + headersFrame(5, connectBlock() + "\xbe")));
  EXPECT_EQ(attacked.endpoint.flows.at(5)->heads[0][2].first, "a");
}

TEST(ProtocolTest, NothingIsTakenOrWrittenAfterTheEnd) {
  Attacked attacked(Role::server);
  ASSERT_TRUE(attacked.open());
  EXPECT_FALSE(attacked.feed(windowFrame(0, 0) + headersFrame(3, connectBlock())));
  EXPECT_EQ(attacked.endpoint.flows.count(3), 0u);
  EXPECT_FALSE(attacked.feed(headersFrame(5, connectBlock())));
  EXPECT_EQ(attacked.goawayCode(), kProtocol);
  attacked.endpoint.connection.shutdownGraceful();
  EXPECT_FALSE(attacked.endpoint.connection.ping(1));
  attacked.endpoint.connection.goaway(ErrorCode::noError);
  EXPECT_FALSE(attacked.endpoint.connection.wantsProduce());
}

}  // namespace
}  // namespace onehop::h2
