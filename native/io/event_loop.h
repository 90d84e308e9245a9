#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/intrusive_list.h"
#include "base/record_size.h"
#include "base/result.h"
#include "io/helper.h"
#include "io/yield_policy.h"

namespace onehop::io {

class EventLoop;

// Told of readiness, edge-triggered: EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDHUP, EPOLLERR, EPOLLHUP.
class IoWatcher {
 public:
  virtual void onIo(uint32_t events) = 0;

 protected:
  ~IoWatcher() = default;
};

// A one-shot timer with a resolution of EventLoop::kTick. Cancels itself when destroyed.
class Timer : public ListLink<Timer> {
 public:
  void arm(EventLoop& loop, Nanos delay);  // arms again when already armed
  void cancel();
  bool armed() const { return loop_ != nullptr; }

 protected:
  virtual void onTimer() = 0;
  ~Timer() { cancel(); }

 private:
  friend class EventLoop;
  EventLoop* loop_ = nullptr;
  Nanos deadline_ = 0;
};

// Work to do once, at the end of the running loop pass: tunnels seal and send here, so that everything a
// pass produced leaves in one write. Takes itself off the list when destroyed.
class PassHook : public ListLink<PassHook> {
 public:
  void schedule(EventLoop& loop);
  void unschedule();

 protected:
  virtual void onPassEnd() = 0;
  ~PassHook() { unschedule(); }

 private:
  friend class EventLoop;
  EventLoop* loop_ = nullptr;
};

// An object that is closed now and freed when the pass is over, so that callers up the stack survive.
class Retirable {
 public:
  virtual ~Retirable() = default;
};

class WakeObserver {
 public:
  virtual void onWake() = 0;

 protected:
  ~WakeObserver() = default;
};

struct LoopOptions {
  int eventsPerPass = 16;  // 1..256: bounds the batch so that the other end does not idle meanwhile
  int64_t spinUs = 0;      // longest busy poll before sleeping; 0 never spins
  // A direction between two sockets that moved this much without a pause turns to splice; 0 never does.
  uint32_t spliceAfterBytes = 1024 * 1024;
  bool helper = false;  // long computations go to a thread of their own: see offload()
  bool yields = true;   // gives way before it asks for events: see YieldPolicy
};

struct LoopStats {
  uint64_t passes = 0;
  uint64_t sleeps = 0;
  uint64_t yields = 0;
  uint64_t watched = 0;       // sockets registered now
  uint64_t splicedBytes = 0;  // that went through a pipe instead of our memory
};

// One epoll set, one thread, and where asked for one more that computes for it. Only wake() and
// requestStop() may be called from other threads.
class EventLoop {
 public:
  static constexpr Nanos kTick = 8 * kMillisecond;
  // A receive block is read into from kReceiveAt on, a page boundary: some processors copy to another
  // place at half the speed. Before it there is room for the record that an earlier read began. It holds
  // what one full send block of the other end brings, so that reads do not cut records.
  static constexpr size_t kReceiveAt = 20 * 1024;
  static constexpr size_t kReceiveBlock = kReceiveAt + kSendBlockBytes;
  static constexpr size_t kScratchBytes = 256 * 1024;
  // After so long without an event the buffers kept for the next one are given back.
  static constexpr Nanos kBuffersKept = kSecond;

  explicit EventLoop(LoopOptions options = {});
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  Status init();  // may fail with errno when descriptors are out
  Status watch(int fd, IoWatcher& watcher);
  // From here on `to` hears of it, and of all that is ready now; pending events are forgotten. Where it
  // fails nobody watches any more.
  Status rewatch(int fd, IoWatcher& from, IoWatcher& to);
  // Forgets pending events of this descriptor as well. Call before closing it.
  void unwatch(int fd, IoWatcher& watcher);
  void countSpliced(size_t bytes) { stats_.splicedBytes += bytes; }

  // Time at the start of this pass, or later after refreshNow().
  Nanos now() const { return now_; }
  Nanos refreshNow() { return now_ = monotonicNow(); }

  void retire(std::unique_ptr<Retirable> object) { retired_.push_back(std::move(object)); }
  void run();  // until requestStop()
  // One pass, sleeping at most `maxWait`; true when anything happened. For tests and drains.
  bool runOnce(Nanos maxWait);
  void requestStop();
  void wake();
  // Where offloads() says so: computing that takes long enough to keep others waiting goes here.
  bool offloads() const { return options_.helper; }
  void offload(std::unique_ptr<Errand> errand) { helper_->send(std::move(errand)); }
  void setWakeObserver(WakeObserver* observer) { wakeObserver_ = observer; }

  BufferPool& receivePool() { return receivePool_; }
  BufferPool& sendPool() { return sendPool_; }
  // Blocks of one record, for what a receive brought only a part of.
  BufferPool& recordPool() { return recordPool_; }
  // Bytes of buffers that are kept though nothing is in them.
  size_t keptBytes() const;
  // Valid until the next call into the loop or any stream: for reads that are written on at once.
  uint8_t* scratch();
  const LoopOptions& options() const { return options_; }
  const LoopStats& stats() const { return stats_; }

 private:
  friend class Timer;
  friend class PassHook;
  static constexpr size_t kSlots = 1024;  // power of two; one turn is kSlots * kTick = 8.2 s

  Status control(int operation, int fd, IoWatcher& watcher);
  void dropPending(IoWatcher& watcher);
  void addTimer(Timer& timer);
  void removeTimer(Timer& timer);
  void fireTimers();
  Nanos untilNextTimer() const;
  void endPass();
  void giveBackBuffers();
  Nanos giveWay();
  int waitForEvents(epoll_event* events, Nanos maxWait);
  int spin(epoll_event* events);
  size_t slotOf(Nanos deadline) const {
    return static_cast<size_t>(deadline / kTick) & (kSlots - 1);
  }

  LoopOptions options_;
  int epollFd_ = -1;
  int wakeFd_ = -1;
  std::atomic<bool> stopRequested_{false};
  std::atomic<bool> wakePending_{false};
  Nanos now_ = 0;
  int64_t spinScore_ = 0;
  YieldPolicy yieldPolicy_;
  epoll_event* pending_ = nullptr;  // events of this pass not yet delivered
  int pendingCount_ = 0;
  WakeObserver* wakeObserver_ = nullptr;
  IntrusiveList<PassHook> hooks_;
  std::vector<std::unique_ptr<Retirable>> retired_;
  std::unique_ptr<IntrusiveList<Timer>[]> slots_;
  uint64_t occupied_[kSlots / 64] = {};
  size_t timers_ = 0;
  int64_t lastTick_ = 0;
  BufferPool receivePool_;
  BufferPool sendPool_;
  BufferPool recordPool_;
  BufferPool scratchPool_;
  PooledBlock scratch_;
  LoopStats stats_;
  std::unique_ptr<Helper> helper_;
};

}  // namespace onehop::io
