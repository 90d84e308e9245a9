#include "io/yield_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/event_loop.h"

namespace onehop::io {
namespace {

constexpr Nanos kNothing = kMicrosecond;
constexpr Nanos kWork = 40 * kMicrosecond;

struct YieldPolicyTest : testing::Test {
  void nobodyThere() {
    for (int i = 0; i < YieldPolicy::kNobodyMax; ++i) policy.judge(now, kNothing, 1);
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
  for (int i = 1; i < YieldPolicy::kNobodyMax; ++i) policy.judge(now, kNothing, 1);
  EXPECT_TRUE(policy.due(now));
  policy.judge(now, kNothing, 1);
  EXPECT_EQ(pause(), YieldPolicy::kPauseMin);
}

TEST_F(YieldPolicyTest, OneWhoRanInBetweenIsAReasonToGoOn) {
  for (int i = 0; i < 4 * YieldPolicy::kNobodyMax; ++i) {
    policy.judge(now, i % YieldPolicy::kNobodyMax == 7 ? kWork : kNothing, 1);
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
  nobodyThere();
  EXPECT_EQ(pause(), YieldPolicy::kPauseMax);
}

TEST_F(YieldPolicyTest, ForgivesWhereItPays) {
  for (int i = 0; i < 20; ++i) policy.judge(now, kSecond, 1);
  for (int i = 0; i < 100; ++i) policy.judge(now, kWork, 1);
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
