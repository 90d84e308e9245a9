#pragma once

#include <pthread.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/take_all_queue.h"

namespace onehop::io {

class EventLoop;

// Computing that would hold up a loop. It shares nothing with the loop's thread while work() runs.
class Errand {
 public:
  virtual ~Errand() = default;
  virtual void work() = 0;    // on the helper's thread
  virtual void finish() = 0;  // then on the loop's, unless the loop ends before
  std::unique_ptr<Errand> next;
};

// The thread of one loop for errands, one at a time in their order. It begins with the first one, and
// gives way to the loop where both want the same processor. Not bounded by itself: who sends errands
// has one for each thing that is bounded.
class Helper {
 public:
  explicit Helper(EventLoop& loop) : loop_(loop) {}
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();  // waits for the errand that runs, and drops the rest

  // All below: on the loop's thread.
  void send(std::unique_ptr<Errand> errand);
  void finishAll();

 private:
  static void* main(void* self);
  void run();
  bool begin();
  void complete(std::unique_ptr<Errand> errand);

  EventLoop& loop_;
  pthread_t thread_ = 0;
  bool running_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Errand> first_;  // by `next`
  Errand* last_ = nullptr;
  bool stopping_ = false;
  TakeAllQueue<Errand> finished_{SIZE_MAX / 2};
};

}  // namespace onehop::io
