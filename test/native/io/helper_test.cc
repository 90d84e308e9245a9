#include "io/helper.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <vector>

#include "base/clock.h"
#include "io/event_loop.h"

namespace onehop::io {
namespace {

struct Seen {
  std::vector<int> finished;
  std::vector<pthread_t> workers;
  pthread_t loop = pthread_self();
  std::atomic<int> destroyed{0};
};

class Note final : public Errand {
 public:
  Note(Seen& seen, int number, Nanos takes = 0) : seen_(seen), number_(number), takes_(takes) {}
  ~Note() override { ++seen_.destroyed; }
  void work() override {
    worker_ = pthread_self();
    const Nanos until = monotonicNow() + takes_;
    while (monotonicNow() < until) {
    }
  }
  void finish() override {
    EXPECT_TRUE(pthread_equal(pthread_self(), seen_.loop));
    seen_.finished.push_back(number_);
    seen_.workers.push_back(worker_);
  }

 private:
  Seen& seen_;
  int number_;
  Nanos takes_;
  pthread_t worker_{};
};

TEST(Helper, DoesErrandsInOrderElsewhereAndFinishesThemHere) {
  EventLoop loop(LoopOptions{.helper = true});
  ASSERT_TRUE(loop.init().ok());
  ASSERT_TRUE(loop.offloads());
  Seen seen;
  for (int i = 0; i < 200; ++i) loop.offload(std::make_unique<Note>(seen, i));
  const Nanos until = monotonicNow() + 10 * kSecond;
  while (seen.finished.size() < 200 && monotonicNow() < until) loop.runOnce(20 * kMillisecond);
  ASSERT_EQ(seen.finished.size(), 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(seen.finished[static_cast<size_t>(i)], i);
  for (const pthread_t worker : seen.workers) EXPECT_FALSE(pthread_equal(worker, seen.loop));
  EXPECT_EQ(seen.destroyed, 200);
}

TEST(Helper, ALoopThatEndsWaitsForTheErrandThatRunsAndDropsTheRest) {
  Seen seen;
  {
    EventLoop loop(LoopOptions{.helper = true});
    ASSERT_TRUE(loop.init().ok());
    for (int i = 0; i < 50; ++i) loop.offload(std::make_unique<Note>(seen, i, 2 * kMillisecond));
    loop.runOnce(5 * kMillisecond);
  }
  EXPECT_EQ(seen.destroyed, 50);
  EXPECT_LT(seen.finished.size(), 50u);
}

TEST(Helper, ALoopWithoutOneSaysSo) {
  EventLoop loop;
  EXPECT_FALSE(loop.offloads());
}

}  // namespace
}  // namespace onehop::io
