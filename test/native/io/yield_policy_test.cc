#include "io/yield_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/event_loop.h"

namespace onehop::io {
namespace {

constexpr Nanos kNothing = kMicrosecond;
constexpr Nanos kWork = 40 * kMicrosecond;

struct YieldPolicyTest : testing::Test {
  void inVain(Nanos took, int waiting) {
    for (int i = 0; i < YieldPolicy::kVainMax; ++i) {
      EXPECT_TRUE(policy.due(now));
      policy.judge(now, took, waiting);
    }
  }
  // Until it is due again.
  Nanos pause() const {
    Nanos ahead = 0;
    while (!policy.due(now + ahead)) ahead += kMillisecond;
    return ahead;
  }
  YieldPolicy policy;
  Nanos now = 1000 * kSecond;
};

TEST_F(YieldPolicyTest, StaysAwayWhereNobodyWaits) {
  inVain(kNothing, 16);
  EXPECT_EQ(pause(), YieldPolicy::kPauseMin);
}

TEST_F(YieldPolicyTest, StaysAwayWhereItBringsFewEvents) {
  inVain(kWork, YieldPolicy::kMany - 1);
  EXPECT_EQ(pause(), YieldPolicy::kPauseMin);
}

TEST_F(YieldPolicyTest, OneThatPaysIsAReasonToGoOn) {
  for (int i = 0; i < 4 * YieldPolicy::kVainMax; ++i) {
    const bool pays = i % YieldPolicy::kVainMax == 7;
    policy.judge(now, pays ? kWork : kNothing, YieldPolicy::kMany);
    EXPECT_TRUE(policy.due(now));
  }
}

TEST_F(YieldPolicyTest, StaysAwayWhereEventsWaitedForATimeSlice) {
  policy.judge(now, YieldPolicy::kPerEvent * 16, 16);
  EXPECT_TRUE(policy.due(now));
  policy.judge(now, YieldPolicy::kPerEvent * 16 + 1, 16);
  EXPECT_EQ(pause(), YieldPolicy::kPauseMin);
}

TEST_F(YieldPolicyTest, ATimeSliceForWhichNothingWaitedIsNoHarm) {
  policy.judge(now, kSecond, 0);
  EXPECT_TRUE(policy.due(now));
}

TEST_F(YieldPolicyTest, StaysAwayLongerEachTimeUpToABound) {
  Nanos last = 0;
  for (int i = 0; i < 20; ++i) {
    policy.judge(now, kSecond, 1);
    EXPECT_EQ(pause(), std::clamp(2 * last, YieldPolicy::kPauseMin, YieldPolicy::kPauseMax));
    last = pause();
    now += last;
    EXPECT_TRUE(policy.due(now));
  }
  EXPECT_EQ(last, YieldPolicy::kPauseMax);
}

TEST_F(YieldPolicyTest, ComesBackSoonerWhereNothingWaited) {
  for (int i = 0; i < 20; ++i) {
    inVain(kNothing, 1);
    now += pause();
  }
  inVain(kNothing, 1);
  EXPECT_EQ(pause(), YieldPolicy::kVainPauseMax);
}

TEST_F(YieldPolicyTest, ForgivesWhereItPays) {
  for (int i = 0; i < 20; ++i) policy.judge(now, kSecond, 1);
  for (int i = 0; i < 100; ++i) policy.judge(now, kWork, YieldPolicy::kMany);
  policy.judge(now, kSecond, 1);
  EXPECT_EQ(pause(), YieldPolicy::kPauseMin);
}

TEST(EventLoopYields, OncePerPassWhereItMay) {
  for (const bool yields : {false, true}) {
    LoopOptions options;
    options.yields = yields;
    EventLoop loop(options);
    ASSERT_TRUE(loop.init().ok());
    for (int i = 0; i < 10; ++i) loop.runOnce(0);
    EXPECT_EQ(loop.stats().yields, yields ? 10u : 0u);
  }
}

}  // namespace
}  // namespace onehop::io
