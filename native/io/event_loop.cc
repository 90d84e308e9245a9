#include "io/event_loop.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/record_size.h"

namespace onehop::io {

namespace {
constexpr int kEventsMax = 256;
constexpr int64_t kSpinScoreMax = 64;
constexpr int64_t kSpinFailed = 8;
constexpr Nanos kAtOnce = 10 * kMicrosecond;  // events that come so soon had been waiting
}  // namespace

void Timer::arm(EventLoop& loop, Nanos delay) {
  cancel();
  loop_ = &loop;
  // Rounded up by one tick, so that a timer is never early.
  deadline_ = loop.now() + std::max<Nanos>(delay, 0) + EventLoop::kTick;
  loop.addTimer(*this);
}

void Timer::cancel() {
  if (loop_ == nullptr) return;
  loop_->removeTimer(*this);
  loop_ = nullptr;
}

void PassHook::schedule(EventLoop& loop) {
  if (loop_ != nullptr) return;
  loop_ = &loop;
  loop.hooks_.pushBack(*this);
}

void PassHook::unschedule() {
  if (loop_ == nullptr) return;
  loop_->hooks_.remove(*this);
  loop_ = nullptr;
}

EventLoop::EventLoop(LoopOptions options)
    : options_(options),
      slots_(std::make_unique<IntrusiveList<Timer>[]>(kSlots)),
      receivePool_(kReceiveBlock, 4),
      sendPool_(kSendBlockBytes, 8),
      recordPool_(kRecordReceiveMax, 16),
      scratchPool_(kScratchBytes, 0) {
  CHECK(options_.eventsPerPass >= 1 && options_.eventsPerPass <= kEventsMax);
  refreshNow();
  lastTick_ = now_ / kTick;
  if (options_.helper) helper_ = std::make_unique<Helper>(*this);
}

EventLoop::~EventLoop() {
  endPass();
  helper_.reset();
  CHECK(timers_ == 0);
  if (wakeFd_ >= 0) close(wakeFd_);
  if (epollFd_ >= 0) close(epollFd_);
}

Status EventLoop::init() {
  epollFd_ = epoll_create1(EPOLL_CLOEXEC);
  if (epollFd_ < 0) return makeError(CloseReason::internal, "epoll_create1", errno);
  wakeFd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wakeFd_ < 0) return makeError(CloseReason::internal, "eventfd", errno);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (epoll_ctl(epollFd_, EPOLL_CTL_ADD, wakeFd_, &event) != 0) {
    return makeError(CloseReason::internal, "epoll_ctl", errno);
  }
  return {};
}

Status EventLoop::watch(int fd, IoWatcher& watcher) {
  const Status controlled = control(EPOLL_CTL_ADD, fd, watcher);
  if (controlled.ok()) ++stats_.watched;
  return controlled;
}

Status EventLoop::rewatch(int fd, IoWatcher& from, IoWatcher& to) {
  dropPending(from);
  const Status controlled = control(EPOLL_CTL_MOD, fd, to);
  if (!controlled.ok()) unwatch(fd, from);
  return controlled;
}

void EventLoop::unwatch(int fd, IoWatcher& watcher) {
  if (epoll_ctl(epollFd_, EPOLL_CTL_DEL, fd, nullptr) == 0) --stats_.watched;
  dropPending(watcher);
}

Status EventLoop::control(int operation, int fd, IoWatcher& watcher) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watcher;
  if (epoll_ctl(epollFd_, operation, fd, &event) != 0) {
    return makeError(CloseReason::overload, "epoll_ctl", errno);
  }
  return {};
}

void EventLoop::dropPending(IoWatcher& watcher) {
  for (int i = 0; i < pendingCount_; ++i) {
    if (pending_[i].data.ptr == &watcher) pending_[i].events = 0;
  }
}

void EventLoop::addTimer(Timer& timer) {
  const size_t slot = slotOf(timer.deadline_);
  slots_[slot].pushBack(timer);
  occupied_[slot / 64] |= 1ull << (slot % 64);
  ++timers_;
}

void EventLoop::removeTimer(Timer& timer) {
  const size_t slot = slotOf(timer.deadline_);
  slots_[slot].remove(timer);
  if (slots_[slot].empty()) occupied_[slot / 64] &= ~(1ull << (slot % 64));
  --timers_;
}

void EventLoop::fireTimers() {
  const int64_t tick = now_ / kTick;
  if (timers_ == 0 || tick <= lastTick_) {
    lastTick_ = std::max(lastTick_, tick);
    return;
  }
  const int64_t first = std::max(lastTick_ + 1, tick - static_cast<int64_t>(kSlots) + 1);
  lastTick_ = tick;
  for (int64_t at = first; at <= tick && timers_ > 0; ++at) {
    IntrusiveList<Timer>& slot = slots_[static_cast<size_t>(at) & (kSlots - 1)];
    // A timer armed by a callback lands in a later tick, so this ends; one visit per present timer.
    for (size_t left = slot.size(); left > 0 && !slot.empty(); --left) {
      Timer& timer = *slot.front();
      if (timer.deadline_ / kTick > tick) {  // a later turn of the wheel
        slot.remove(timer);
        slot.pushBack(timer);
        continue;
      }
      timer.cancel();
      timer.onTimer();
    }
  }
}

Nanos EventLoop::untilNextTimer() const {
  if (timers_ == 0) return -1;
  const int64_t start = lastTick_ + 1;
  for (size_t i = 0; i < kSlots;) {
    const size_t slot = static_cast<size_t>(start + static_cast<int64_t>(i)) & (kSlots - 1);
    const uint64_t word = occupied_[slot / 64] >> (slot % 64);
    if (word != 0) {
      const auto ahead = i + static_cast<size_t>(std::countr_zero(word));
      const Nanos due = (start + static_cast<int64_t>(ahead)) * kTick;
      return std::max<Nanos>(0, due - now_);
    }
    i += 64 - slot % 64;
  }
  return kTick * static_cast<Nanos>(kSlots);
}

// Polls for at most spinUs; 0 when nothing came. Spinning pays only while traffic keeps arriving within
// the bound; the score says whether it did.
int EventLoop::spin(epoll_event* events) {
  const Nanos bound = options_.spinUs * kMicrosecond;
  const Nanos begin = monotonicNow();
  Nanos passed = 0;
  int count = 0;
  do {
    sched_yield();
    count = epoll_wait(epollFd_, events, options_.eventsPerPass, 0);
    passed = monotonicNow() - begin;
  } while (count == 0 && passed < bound);
  if (passed > 2 * bound) {
    spinScore_ = -kSpinScoreMax;  // others want this processor: yielding to them cost a time slice
  } else if (count != 0) {
    spinScore_ = std::min(spinScore_ + 1, kSpinScoreMax);
  } else {
    spinScore_ -= kSpinFailed;
  }
  return count;
}

int EventLoop::waitForEvents(epoll_event* events, Nanos maxWait) {
  const int most = options_.eventsPerPass;
  if (maxWait == 0) return epoll_wait(epollFd_, events, most, 0);
  const bool spins = options_.spinUs > 0;
  if (spins && spinScore_ > 0) {
    const int count = spin(events);
    if (count != 0) return count;
  }
  ++stats_.sleeps;
  const Nanos slept = spins ? monotonicNow() : 0;
  const Nanos waitMs = std::min<Nanos>((maxWait + kMillisecond - 1) / kMillisecond, 60000);
  const int timeout = maxWait < 0 ? -1 : static_cast<int>(waitMs);
  const int count = epoll_wait(epollFd_, events, most, timeout);
  if (spins && count > 0 && spinScore_ <= 0 &&
      monotonicNow() - slept < options_.spinUs * kMicrosecond) {
    // A wake-up so soon would have been caught by spinning: try it again after a few of these.
    spinScore_ = std::min(spinScore_ + 4, kSpinFailed);
  }
  return count;
}

// How long others had the processor; 0 where they were not asked.
Nanos EventLoop::giveWay() {
  // A loop that polls gives way while it does, and one that has work left goes on with it.
  if (!options_.yields || spinScore_ > 0 || !hooks_.empty()) return 0;
  if (!yieldPolicy_.due(now_)) return 0;
  const Nanos begin = now_;
  sched_yield();
  ++stats_.yields;
  return refreshNow() - begin;
}

bool EventLoop::runOnce(Nanos maxWait) {
  epoll_event events[kEventsMax];
  refreshNow();
  const Nanos yielded = giveWay();
  Nanos wait = maxWait;
  const Nanos timer = untilNextTimer();
  if (timer >= 0 && (wait < 0 || timer < wait)) wait = timer;
  if (!hooks_.empty() || !retired_.empty()) wait = 0;
  const bool bounded = keptBytes() > 0 && (wait < 0 || wait > kBuffersKept);
  if (bounded) wait = kBuffersKept;
  const Nanos asked = now_;
  const int count = waitForEvents(events, wait);
  if (bounded && count == 0) giveBackBuffers();
  ++stats_.passes;
  refreshNow();
  if (yielded > 0) yieldPolicy_.judge(now_, yielded, now_ - asked < kAtOnce ? count : 0);
  pending_ = events;
  pendingCount_ = std::max(count, 0);
  for (int i = 0; i < pendingCount_; ++i) {
    if (events[i].events == 0) continue;
    if (events[i].data.ptr != nullptr) {
      static_cast<IoWatcher*>(events[i].data.ptr)->onIo(events[i].events);
      continue;
    }
    uint64_t drained;
    while (read(wakeFd_, &drained, sizeof drained) > 0) {
    }
    // Read and written in one: what was posted before a wake() that found it set is seen below.
    wakePending_.exchange(false, std::memory_order_acq_rel);
    if (helper_ != nullptr) helper_->finishAll();
    if (wakeObserver_ != nullptr) wakeObserver_->onWake();
  }
  pending_ = nullptr;
  pendingCount_ = 0;
  fireTimers();
  endPass();
  return count > 0;
}

void EventLoop::endPass() {
  // Hooks may schedule hooks; those that do so for themselves wait for the next pass.
  for (size_t left = hooks_.size(); left > 0 && !hooks_.empty(); --left) {
    PassHook& hook = *hooks_.front();
    hook.unschedule();
    hook.onPassEnd();
  }
  while (!retired_.empty()) {
    std::vector<std::unique_ptr<Retirable>> batch;
    batch.swap(retired_);
  }
}

void EventLoop::run() {
  while (!stopRequested_.load(std::memory_order_acquire)) runOnce(-1);
}

void EventLoop::requestStop() {
  stopRequested_.store(true, std::memory_order_release);
  wake();
}

void EventLoop::wake() {
  if (wakePending_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  const ssize_t written = write(wakeFd_, &one, sizeof one);
  CHECK(written == sizeof one || errno == EAGAIN);
}

size_t EventLoop::keptBytes() const {
  size_t bytes = scratch_.size();
  for (const BufferPool* pool : {&receivePool_, &sendPool_, &recordPool_}) {
    bytes += pool->kept() * pool->blockSize();
  }
  return bytes;
}

void EventLoop::giveBackBuffers() {
  receivePool_.trim(0);
  sendPool_.trim(0);
  recordPool_.trim(0);
  scratch_.release();
}

uint8_t* EventLoop::scratch() {
  if (!scratch_) scratch_ = scratchPool_.take();
  return scratch_.data();
}

}  // namespace onehop::io
