#include "h2/flow_control.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "h2/flood_guard.h"
#include "support/raw.h"

namespace onehop::h2 {
namespace {

using Flow = Endpoint::Flow;

TEST(TokenBucketTest, BurstThenRate) {
  TokenBucket bucket(10, 5);
  Nanos now = 100 * kSecond;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(bucket.take(1, now));
  EXPECT_FALSE(bucket.take(1, now));
  int taken = 0;
  // Asked a thousand times a second, it still refills at its rate.
  for (int i = 0; i < 10000; ++i) taken += bucket.take(1, now += kMillisecond);
  EXPECT_EQ(taken, 50);
  EXPECT_TRUE(bucket.take(10, now + 3600 * kSecond));
  EXPECT_FALSE(bucket.take(1, now + 3600 * kSecond));
  bucket.earn(3);
  EXPECT_TRUE(bucket.take(3, now));
  bucket.earn(1000);
  EXPECT_FALSE(bucket.take(11, now));  // never above the burst
}

TEST(TokenBucketTest, TimeThatGoesBackIsHarmless) {
  TokenBucket bucket(2, 1);
  EXPECT_TRUE(bucket.take(1, 10 * kSecond));
  EXPECT_TRUE(bucket.take(1, 5 * kSecond));
  EXPECT_FALSE(bucket.take(1, kSecond));
}

TEST(WindowSharesTest, ConnectionCreditOnArrival) {
  WindowLimits limits;
  WindowShares shares(limits, nullptr);
  EXPECT_EQ(shares.takeConnectionCredit(), limits.budgetInitial - 65535);
  EXPECT_FALSE(shares.connectionCreditDue());
  EXPECT_TRUE(shares.onArrival(limits.budgetInitial / 4 - 1));
  EXPECT_FALSE(shares.connectionCreditDue());
  EXPECT_TRUE(shares.onArrival(1));
  EXPECT_EQ(shares.takeConnectionCredit(), limits.budgetInitial / 4);
  EXPECT_FALSE(shares.onArrival(limits.budgetInitial + 1));
  EXPECT_TRUE(shares.onArrival(limits.budgetInitial));
}

TEST(WindowSharesTest, TheBudgetFollowsTheBandwidthDelayProduct) {
  WindowLimits limits;
  WindowShares shares(limits, nullptr);
  Nanos now = kSecond;
  shares.takeConnectionCredit();
  EXPECT_FALSE(shares.wantsSample(now));
  // Half a budget and more within a round trip: the window was the limit.
  for (uint32_t want = limits.budgetInitial * 2; want <= limits.budgetMax; want *= 2) {
    ASSERT_TRUE(shares.onArrival(shares.budget() / 4 + 1));
    shares.takeConnectionCredit();
    ASSERT_TRUE(shares.wantsSample(now));
    shares.beginBatch();
    shares.startSample(now);
    ASSERT_TRUE(shares.onArrival(shares.budget() / 2 + 1));
    shares.takeConnectionCredit();
    shares.endSample(kMillisecond);
    EXPECT_EQ(shares.budget(), want);
    ASSERT_TRUE(shares.onArrival(shares.budget() / 4 + 1));
    shares.takeConnectionCredit();
    EXPECT_FALSE(shares.wantsSample(now));  // ten a second at most
    now += 100 * kMillisecond;
  }
  EXPECT_EQ(shares.budget(), limits.budgetMax);
  ASSERT_TRUE(shares.onArrival(shares.budget() / 2));
  EXPECT_FALSE(shares.wantsSample(now + kSecond));
}

TEST(WindowSharesTest, LittleTrafficLeavesTheBudgetAlone) {
  WindowLimits limits;
  WindowShares shares(limits, nullptr);
  shares.takeConnectionCredit();
  ASSERT_TRUE(shares.onArrival(limits.budgetInitial / 4));
  shares.beginBatch();
  shares.startSample(kSecond);
  ASSERT_TRUE(shares.onArrival(limits.budgetInitial / 4));
  shares.endSample(kMillisecond);
  EXPECT_EQ(shares.budget(), limits.budgetInitial);
}

// A pipe with a round trip of 200 ms. Returns the most that was under way at once; `queue` ticks of
// delay come on top once the bulk begins.
size_t mostUnderWay(size_t queue) {
  Pair pair;
  Flow* up = nullptr;
  std::deque<std::string> there(5), back(5);
  size_t most = 0;
  for (int tick = 0; tick < 150; ++tick) {
    pair.advance(20 * kMillisecond);
    if (tick == 30) {
      up = pair.client.open();
      pair.client.send(*up, std::string(256 << 20, 'x'));
      for (size_t i = 0; i < queue; ++i) there.emplace_back();
    }
    there.push_back(pair.client.produce(32 << 20));
    back.push_back(pair.server.produce());
    size_t underWay = 0;
    for (const std::string& bytes : there) underWay += bytes.size();
    most = std::max(most, underWay);
    EXPECT_TRUE(pair.server.feed(there.front()).ok());
    EXPECT_TRUE(pair.client.feed(back.front()).ok());
    there.pop_front();
    back.pop_front();
    if (pair.server.flows.count(1) == 1) pair.server.flows.at(1)->in.clear();
  }
  return most;
}

TEST(WindowSharesTest, ALongPipeFillsUp) {
  EXPECT_GT(mostUnderWay(0), 12u << 20);
  EXPECT_LE(mostUnderWay(0), 17u << 20);
}

// A queue is not a long pipe: the window stays.
TEST(WindowSharesTest, AQueueDoesNotRaiseTheWindow) {
  EXPECT_LE(mostUnderWay(30), 3u << 20);
}

// Unread bytes of many stalled streams: each is held to a share, not to the whole budget.
TEST(WindowSharesTest, BusyStreamsShareTheBudget) {
  Limits limits;
  limits.windows.budgetMax = limits.windows.budgetInitial;
  Pair pair({}, limits);
  std::vector<Flow*> flows;
  for (int i = 0; i < 32; ++i) flows.push_back(pair.client.open());
  pair.run();
  for (int round = 0; round < 20; ++round) {
    for (Flow* f : flows) pair.client.send(*f, std::string(200000, 'x'));
    pair.run();
  }
  pair.server.autoConsume = false;  // now all of them stop reading
  for (Flow* f : flows) pair.client.send(*f, std::string(4 << 20, 'x'));
  pair.run();
  size_t held = 0;
  for (Flow* f : flows) held += pair.other(*f).keptBytes;
  EXPECT_LE(held, 32 * (256u << 10));
  // Those who read again are given their small share.
  size_t moved = 0;
  for (int round = 0; round < 10; ++round) {
    Flow& down = pair.other(*flows[0]);
    moved += down.keptBytes;
    pair.server.consume(down);
    pair.run();
  }
  EXPECT_GT(moved, 500000u);
}

// A window that is no whole number of records would end in a frame of crumbs each time it is used up.
TEST(WindowSharesTest, BulkStreamsFillWholeRecords) {
  for (int busy : {1, 3, 16}) {
    Pair pair;
    std::vector<Flow*> flows;
    for (int i = 0; i < busy; ++i) flows.push_back(pair.client.open());
    pair.run();
    // Until the shares have settled, and then what counts.
    for (bool settled : {false, true}) {
      size_t full = 0;
      size_t crumbs = 0;
      for (int round = 0; round < 300; ++round) {
        for (Flow* f : flows) {
          if (f->out.size() - f->sent < (1 << 20)) pair.client.send(*f, std::string(4 << 20, 'x'));
        }
        const std::string bytes = pair.client.produce(256 << 10);
        for (const Frame& f : parseFrames(bytes)) {
          if (f.type != 0) continue;
          (f.payload.size() == kUnitPayloadMax ? full : crumbs) += 1;
        }
        ASSERT_TRUE(pair.server.feed(bytes).ok());
        ASSERT_TRUE(pair.client.feed(pair.server.produce()).ok());
        for (Flow* f : flows) pair.other(*f).in.clear();
      }
      EXPECT_GT(full, 1000u) << busy;
      if (settled) {
        EXPECT_EQ(crumbs, 0u) << busy;
      }
    }
  }
}

TEST(WindowSharesTest, PiecesOfAnySizeNeitherStallNorGetCrumbsOfCredit) {
  std::mt19937 random(1);
  Limits limits;
  limits.windows.streamInitial = 4 * kUnitPayloadMax + 14000;  // whole records but for a crumb
  for (int busy : {1, 5, 16, 70}) {
    Pair pair({}, limits);
    std::vector<Flow*> flows;
    std::vector<size_t> given(static_cast<size_t>(busy));
    for (int i = 0; i < busy; ++i) flows.push_back(pair.client.open());
    pair.run();
    size_t grants = 0;
    for (int round = 0; round < 2000; ++round) {
      const size_t which = random() % flows.size();
      const size_t piece = 1 + random() % 60000;
      pair.client.send(*flows[which], std::string(piece, 'x'));
      given[which] += piece;
      ASSERT_TRUE(pair.server.feed(pair.client.produce(1 + random() % (256 << 10))).ok());
      const std::string bytes = pair.server.produce();
      for (const Frame& frame : parseFrames(bytes)) {
        if (frame.type != 8 || frame.stream == 0) continue;
        ++grants;
        EXPECT_GE(frame.word(), 4096u) << busy;
      }
      ASSERT_TRUE(pair.client.feed(bytes).ok());
    }
    EXPECT_GT(grants, 100u) << busy;
    pair.run();
    for (size_t i = 0; i < flows.size(); ++i) {
      EXPECT_EQ(pair.other(*flows[i]).in.size(), given[i]) << busy;
    }
  }
}

TEST(WindowLedgerTest, CountsAcrossConnectionsAndComesBackToZero) {
  WindowLedger ledger(1 << 20);
  {
    Endpoint server(Role::server, {}, &ledger);
    server.autoConsume = false;
    server.connection.start(server.now);
    ASSERT_TRUE(server.feed(kPreface + settingsFrame()).ok());
    const std::string block = connectBlock();
    ASSERT_TRUE(server.feed(headersFrame(1, block) + headersFrame(3, block)).ok());
    ASSERT_TRUE(server.feed(dataFrame(1, "12345") + dataFrame(3, "123")).ok());
    EXPECT_EQ(ledger.bytes(), 8u);
    server.connection.consumed(*server.flows.at(1)->stream, 2);
    EXPECT_EQ(ledger.bytes(), 6u);
    EXPECT_EQ(server.flows.at(1)->stream->unconsumedBytes(), 3u);
    server.reset(*server.flows.at(1), ErrorCode::cancel);
    EXPECT_EQ(ledger.bytes(), 3u);
  }
  EXPECT_EQ(ledger.bytes(), 0u);
}

TEST(WindowLedgerTest, ScarcityAndFullness) {
  WindowLedger ledger(1 << 20);
  ledger.add(700000);
  EXPECT_FALSE(ledger.scarce());
  ledger.add(200000);
  EXPECT_TRUE(ledger.scarce());
  EXPECT_FALSE(ledger.full());
  ledger.add(200000);
  EXPECT_TRUE(ledger.full());
  EXPECT_FALSE(ledger.broken());
  ledger.add(1 << 20);
  EXPECT_TRUE(ledger.broken());
}

// A peer whose bytes nobody reads fills the ledger of all: it pays for that, its neighbours do not.
TEST(WindowLedgerTest, WhoHoldsTheLedgerIsCutAndNotWhoDrains) {
  constexpr size_t kCap = 8 << 20;
  WindowLedger ledger(kCap);
  Attacked hoarder(Role::server, {}, &ledger);
  Attacked honest(Role::server, {}, &ledger);
  hoarder.endpoint.autoConsume = false;
  ASSERT_TRUE(honest.open());
  int cut = 0;
  const std::string part(16000, 'x');
  for (uint32_t id = 1; id < 200; id += 2) {
    ASSERT_TRUE(hoarder.open(id));
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(hoarder.feed(dataFrame(id, part)));
    cut += hoarder.resetCode(id) == 11;
    ASSERT_TRUE(honest.feed(dataFrame(1, part)));
    for (const Frame& f : honest.written()) ASSERT_NE(f.type, 3);
  }
  EXPECT_GT(cut, 10);
  EXPECT_LE(ledger.bytes(), kCap + (256u << 10));
  EXPECT_EQ(honest.endpoint.flows.at(1)->closes, 0);
  EXPECT_EQ(honest.endpoint.connection.streamsActive(), 1u);
  // Its windows are not those of scarcity either.
  uint32_t credit = 0;
  for (int i = 0; i < 128; ++i) {
    ASSERT_TRUE(honest.feed(dataFrame(1, part)));
    for (const Frame& f : honest.written()) {
      if (f.type == 8 && f.stream == 1) credit = std::max(credit, f.word());
    }
  }
  EXPECT_GT(credit, 256u << 10);
}

// RFC 9113 6.9 by a model: random arrivals, reads, credits and setting changes between two
// connections never leave either side with a window the other does not grant.
TEST(WindowPropertyTest, RandomTrafficKeepsBothSidesInAgreement) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    Pair pair;
    pair.server.autoConsume = pair.client.autoConsume = false;
    std::vector<Flow*> flows;
    for (int i = 0; i < 8; ++i) flows.push_back(pair.client.open());
    pair.run();
    std::vector<size_t> sent(16), read(16);
    for (int step = 0; step < 400; ++step) {
      const unsigned pick = random() % 16;
      Endpoint& side = pick < 8 ? pair.client : pair.server;
      Flow& mine = pick < 8 ? *flows[pick] : pair.other(*flows[pick - 8]);
      switch (random() % 4) {
        case 0: {
          const size_t bytes = random() % 300000;
          side.send(mine, std::string(bytes, static_cast<char>('a' + pick)));
          sent[pick] += bytes;
          break;
        }
        case 1:
          side.consume(mine);
          break;
        case 2:
          Pair::pass(pair.client, pair.server, 1 + random() % 20000);
          break;
        default:
          Pair::pass(pair.server, pair.client, 1 + random() % 20000);
          break;
      }
      pair.advance(random() % (20 * kMillisecond));
      ASSERT_FALSE(pair.client.connection.dead() || pair.server.connection.dead()) << seed;
    }
    do {
      for (Flow* f : flows) {
        pair.client.consume(*f);
        pair.server.consume(pair.other(*f));
      }
    } while (pair.run() > 0);
    for (unsigned i = 0; i < 8; ++i) {
      ASSERT_EQ(pair.other(*flows[i]).in.size(), sent[i]) << seed;
      ASSERT_EQ(flows[i]->in.size(), sent[i + 8]) << seed;
    }
  }
}

}  // namespace
}  // namespace onehop::h2
