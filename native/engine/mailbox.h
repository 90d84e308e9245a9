#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/take_all_queue.h"

namespace onehop::engine {

// Work for a shard, posted by another thread.
template <typename Target>
class Task {
 public:
  virtual ~Task() = default;
  virtual void run(Target& target) = 0;
  std::unique_ptr<Task> next;
};

template <typename Target, typename F>
class TaskOf final : public Task<Target> {
 public:
  explicit TaskOf(F task) : task_(std::move(task)) {}
  void run(Target& target) override { task_(target); }

 private:
  F task_;
};

// Any thread to one. Not bounded by itself: what is posted is bounded where it comes from (verdicts by
// the upcalls and cache entries they answer, the rest by calls of the embedding program).
template <typename Target>
class Mailbox {
 public:
  void push(std::unique_ptr<Task<Target>> task) {
    const bool pushed = queue_.push(task);
    CHECK(pushed);
  }
  void runAll(Target& target) {
    std::unique_ptr<Task<Target>> task = queue_.takeAll();
    while (task != nullptr) {
      task->run(target);
      task = std::move(task->next);
    }
  }

 private:
  TakeAllQueue<Task<Target>> queue_{SIZE_MAX / 2};
};

}  // namespace onehop::engine
