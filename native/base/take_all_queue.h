#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/check.h"

namespace onehop {

// A queue of many producers whose one consumer takes everything there is, in order. No lock: producers
// push on an atomic stack, the consumer swaps it out and turns it round. T has `std::unique_ptr<T>
// next`. Bounded by `max` elements, pushed and not yet taken.
template <typename T>
class TakeAllQueue {
 public:
  explicit TakeAllQueue(size_t max) : max_(max) {}
  TakeAllQueue(const TakeAllQueue&) = delete;
  TakeAllQueue& operator=(const TakeAllQueue&) = delete;
  ~TakeAllQueue() {
    std::unique_ptr<T> rest = takeAll();
    while (rest != nullptr) rest = std::move(rest->next);  // one by one: no deep recursion
  }

  // False when full: `item` is untouched.
  bool push(std::unique_ptr<T>& item) {
    CHECK(item != nullptr && item->next == nullptr);
    if (size_.fetch_add(1, std::memory_order_relaxed) >= max_) {
      size_.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    T* raw = item.release();
    T* head = head_.load(std::memory_order_relaxed);
    do {
      static_cast<void>(raw->next.release());
      raw->next.reset(head);
    } while (!head_.compare_exchange_weak(head, raw, std::memory_order_release,
                                          std::memory_order_relaxed));
    return true;
  }

  // Oldest first, linked by `next`; null when there is nothing.
  std::unique_ptr<T> takeAll() {
    std::unique_ptr<T> newest(head_.exchange(nullptr, std::memory_order_acquire));
    std::unique_ptr<T> oldest;
    size_t taken = 0;
    while (newest != nullptr) {
      std::unique_ptr<T> older = std::move(newest->next);
      newest->next = std::move(oldest);
      oldest = std::move(newest);
      newest = std::move(older);
      ++taken;
    }
    size_.fetch_sub(taken, std::memory_order_relaxed);
    return oldest;
  }

 private:
  const size_t max_;
  std::atomic<T*> head_{nullptr};
  std::atomic<size_t> size_{0};
};

}  // namespace onehop
