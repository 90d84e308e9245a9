// Whose DATA is written when: by what a connection with many ready streams puts out.
#include <gtest/gtest.h>

#include <map>

#include "support/raw.h"

namespace onehop::h2 {
namespace {

using Flow = Endpoint::Flow;

// A client with open tunnels whose peer never holds it back.
struct SchedulerTest : testing::Test {
  SchedulerTest() : client(Role::client) {
    EXPECT_TRUE(client.feed(settingsFrame({{3, 1000}, {4, 0x7fffffff}}) +
                            windowFrame(0, 0x7fffffff - 65535)));
    client.endpoint.produce();
  }
  Flow* open() {
    Flow* f = client.endpoint.open();
    client.endpoint.produce();
    return f;
  }
  void send(Flow* f, size_t bytes) { client.endpoint.send(*f, std::string(bytes, 'x')); }
  std::vector<Frame> produce(size_t budget) {
    client.endpoint.connection.produce(client.endpoint.records, budget, client.endpoint.now);
    std::vector<Frame> frames;
    for (Frame& f : parseFrames(client.endpoint.records.take())) {
      if (f.type == 0) frames.push_back(std::move(f));
    }
    return frames;
  }
  std::map<uint32_t, size_t> bytesByStream(size_t budget) {
    std::map<uint32_t, size_t> bytes;
    for (const Frame& f : produce(budget)) bytes[f.stream] += f.payload.size();
    return bytes;
  }

  Attacked client;
};

TEST_F(SchedulerTest, BulkIsWholeRecords) {
  Flow* f = open();
  send(f, 40 << 20);
  produce(1 << 20);
  int partial = 0;
  const auto frames = produce(10 << 20);
  for (const Frame& frame : frames) partial += frame.payload.size() != kUnitPayloadMax;
  EXPECT_EQ(partial, 0);
  EXPECT_GT(frames.size(), 600u);
}

TEST_F(SchedulerTest, ManyBulkStreamsAlsoSendWholeRecords) {
  for (int i = 0; i < 7; ++i) send(open(), 8 << 20);
  produce(4 << 20);
  int partial = 0;
  for (const Frame& frame : produce(10 << 20)) partial += frame.payload.size() != kUnitPayloadMax;
  EXPECT_EQ(partial, 0);
}

TEST_F(SchedulerTest, EqualStreamsGetEqualShares) {
  for (int i = 0; i < 16; ++i) send(open(), 8 << 20);
  produce(2 << 20);
  const auto bytes = bytesByStream(16 << 20);
  ASSERT_EQ(bytes.size(), 16u);
  for (const auto& [id, count] : bytes) {
    EXPECT_GE(count, (1u << 20) - 8 * kUnitPayloadMax) << id;
    EXPECT_LE(count, (1u << 20) + 8 * kUnitPayloadMax) << id;
  }
}

TEST_F(SchedulerTest, NoneIsServedTwiceBeforeAllOthersOnce) {
  for (int i = 0; i < 8; ++i) send(open(), 4 << 20);
  produce(4 << 20);
  std::map<uint32_t, size_t> turns;
  uint32_t last = 0;
  for (const Frame& f : produce(4 << 20)) {
    if (f.stream == last) continue;
    last = f.stream;
    ++turns[f.stream];
    size_t least = SIZE_MAX, most = 0;
    for (const auto& [id, count] : turns) {
      least = std::min(least, count);
      most = std::max(most, count);
    }
    if (turns.size() == 8) {
      ASSERT_LE(most - least, 1u);
    }
  }
}

// Lesson: a message of 64 bytes beside bulk uploads goes with the next record, not after them.
TEST_F(SchedulerTest, AMessageBesideBulkGoesFirst) {
  Flow* ping = open();
  for (int i = 0; i < 16; ++i) send(open(), 32 << 20);
  produce(8 << 20);
  for (int i = 0; i < 200; ++i) {
    send(ping, 64);
    const auto frames = produce(256 << 10);
    ASSERT_EQ(frames[0].payload.size(), 64u) << i;
  }
}

// Bulk in pieces that each fit a record, from a source that runs dry after each, is still bulk.
TEST_F(SchedulerTest, PiecesDoNotMakeBulkSparse) {
  Flow* ping = open();
  std::vector<Flow*> flows;
  for (int i = 0; i < 16; ++i) flows.push_back(open());
  size_t before = 0;
  int rounds = 0;
  for (int i = 0; i < 300; ++i) {
    for (Flow* f : flows) {
      if (f->out.empty()) send(f, 16000);
    }
    send(ping, 64);
    const auto frames = produce(200000);
    if (i < 50) continue;
    ++rounds;
    for (const Frame& f : frames) {
      if (f.payload.size() == 64) break;
      before += f.payload.size();
    }
  }
  EXPECT_LE(before / static_cast<size_t>(rounds), 16000u);  // on average
}

// And sparse streams, however many, cannot shut bulk out.
TEST_F(SchedulerTest, SparseStreamsDoNotStarveBulk) {
  Flow* bulk = open();
  std::vector<Flow*> flows;
  for (int i = 0; i < 400; ++i) flows.push_back(open());
  send(bulk, 64 << 20);
  size_t sent = 0;
  for (int i = 0; i < 50; ++i) {
    for (Flow* f : flows) {
      if (f->out.empty()) send(f, 1000);
    }
    sent += bytesByStream(300000)[1];
  }
  EXPECT_GT(sent, 50 * 300000u / 10);
}

TEST_F(SchedulerTest, AStreamAloneIsGivenLongTurns) {
  Flow* f = open();
  send(f, 8 << 20);
  produce(1 << 20);
  const int before = f->pulls;
  produce(4 << 20);
  EXPECT_LE(f->pulls - before, (4 << 20) / (16 * int(kUnitPayloadMax)) + 2);
}

TEST_F(SchedulerTest, ASourceThatSaysMoreButHasNothingIsNotSpunOn) {
  Flow* f = open();
  f->moreWhenDry = true;
  send(f, 10);
  produce(1 << 20);
  EXPECT_LE(f->pulls, 2);
  EXPECT_FALSE(client.endpoint.connection.wantsProduce());
}

TEST_F(SchedulerTest, AResetOrEndedStreamLeavesTheRound) {
  Flow* a = open();
  Flow* b = open();
  send(a, 1 << 20);
  send(b, 1 << 20);
  client.endpoint.reset(*a, ErrorCode::cancel);
  const auto bytes = bytesByStream(4 << 20);
  EXPECT_EQ(bytes.count(1), 0u);
  EXPECT_EQ(bytes.at(3), 1u << 20);
}

// What sparse streams sent while no bulk stream waited is no debt and no overflow.
TEST_F(SchedulerTest, GigabytesOfSparseTrafficLeaveTheRoundAsItWas) {
  std::vector<Flow*> flows;
  for (int i = 0; i < 100; ++i) flows.push_back(open());
  const std::string text(16000, 's');
  for (int64_t sent = 0; sent < int64_t{17} << 27; sent += 100 * 16000) {
    for (Flow* f : flows) client.endpoint.send(*f, text);
    client.endpoint.produce(4 << 20);
    ASSERT_TRUE(client.feed(windowFrame(0, 100 * 16000)));
  }
  Flow* bulk = open();
  send(bulk, 8 << 20);
  for (Flow* f : flows) send(f, 16000);
  EXPECT_GT(bytesByStream(2 << 20)[201], 300000u);
}

}  // namespace
}  // namespace onehop::h2
