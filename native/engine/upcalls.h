#pragma once

#include <unordered_map>

#include "base/intrusive_list.h"
#include "engine/flow_cache.h"
#include "engine/outbox.h"
#include "io/event_loop.h"

namespace onehop::engine {

class UpcallObserver {
 public:
  // No verdict in time. The entry has left the pending list and has its parked flows still.
  virtual void onUpcallTimeout(CacheEntry& entry) = 0;

 protected:
  ~UpcallObserver() = default;
};

// Questions to JavaScript that wait for their verdict: one per flow key, all with the same time limit,
// so the oldest is always the next to expire.
class Upcalls final : private io::Timer {
 public:
  static constexpr size_t kPendingMax = 16384;
  // The peers of one workload cannot take the room of the others.
  static constexpr size_t kPendingPerListenerMax = kPendingMax / 4;

  Upcalls(uint32_t shard, io::EventLoop& loop, Outlet& outlet, Nanos timeout,
          UpcallObserver& observer)
      : shard_(shard), loop_(loop), outlet_(outlet), timeout_(timeout), observer_(observer) {}

  // False when too many wait: nothing happened. The entry must be undecided and not asked yet.
  bool ask(CacheEntry& entry, ListenerKind kind, const SocketAddress& local);
  bool waits(const CacheEntry& entry) const { return pending_.contains(entry); }
  // The verdict is there, or nobody wants it any more.
  void settle(CacheEntry& entry);
  // Forgets all questions.
  void clear() {
    while (pending_.popFront() != nullptr) {
    }
    ofListener_.clear();
    Timer::cancel();
  }
  size_t size() const { return pending_.size(); }

 private:
  void onTimer() override;

  uint32_t shard_;
  io::EventLoop& loop_;
  Outlet& outlet_;
  Nanos timeout_;
  UpcallObserver& observer_;
  IntrusiveList<CacheEntry, PendingTag> pending_;
  std::unordered_map<HandleValue, size_t> ofListener_;
};

}  // namespace onehop::engine
