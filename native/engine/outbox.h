#pragma once

#include <atomic>
#include <memory>

#include "base/intrusive_list.h"
#include "base/take_all_queue.h"
#include "engine/engine.h"
#include "io/event_loop.h"

namespace onehop::engine {

// What one loop pass of one shard has for JavaScript.
struct BatchPart {
  Batch batch;              // flows, tunnels and drained: this shard's share
  std::unique_ptr<BatchPart> next;
};

// From the shards to JavaScript. Parts are few (one per pass that has news), their contents bounded by
// the shards: summaries, notices and deliveries by kUntakenMax each, upcalls by Upcalls::kPendingMax,
// evictions by the size of the flow cache.
class Outbox {
 public:
  // Per shard. Beyond: summaries and notices are dropped and counted, deliveries are refused.
  static constexpr int64_t kUntakenMax = 65536;

  explicit Outbox(EngineObserver& observer) : observer_(observer), parts_(SIZE_MAX / 2) {}

  void publish(std::unique_ptr<BatchPart> part) {
    const bool pushed = parts_.push(part);
    CHECK(pushed);
    if (!announced_.exchange(true, std::memory_order_acq_rel)) observer_.onBatchReady();
  }
  // What nobody reads is not written: an account costs more than a short flow has left.
  void summarizeComplete(bool on) { summarizesComplete_.store(on, std::memory_order_relaxed); }
  bool summarizes(CloseReason reason) const {
    return reason != CloseReason::complete || summarizesComplete_.load(std::memory_order_relaxed);
  }
  std::unique_ptr<BatchPart> takeAll() {
    // Before the swap: a part pushed in between announces itself again, which is harmless.
    announced_.exchange(false, std::memory_order_acq_rel);
    return parts_.takeAll();
  }

 private:
  EngineObserver& observer_;
  TakeAllQueue<BatchPart> parts_;
  std::atomic<bool> announced_{false};
  std::atomic<bool> summarizesComplete_{true};
};

// A shard's end of the outbox: gathers during a pass, publishes at its end. What nobody waits for
// (accounts of what is over) waits for company instead: waking JavaScript costs more than a flow.
class Outlet final : private io::PassHook, private io::Timer {
 public:
  static constexpr Nanos kGather = 10 * kMillisecond;
  static constexpr size_t kGatherMax = 16;

  // `untaken` counts what JavaScript has not taken yet; takeBatch() lowers it.
  struct Untaken {
    std::atomic<int64_t> summaries{0};
    std::atomic<int64_t> upcalls{0};
    std::atomic<int64_t> deliveries{0};
  };

  Outlet(io::EventLoop& loop, Outbox& outbox, Untaken& untaken)
      : loop_(loop), outbox_(outbox), untaken_(untaken) {}

  bool summarizes(CloseReason reason) const { return outbox_.summarizes(reason); }
  // False: dropped, count it.
  bool summary(FlowSummary summary) {
    if (!admit(untaken_.summaries)) return false;
    later().summaries.push_back(std::move(summary));
    return true;
  }
  bool notice(Notice notice) {
    if (!admit(untaken_.summaries)) return false;
    later().notices.push_back(std::move(notice));
    return true;
  }
  bool deliver(Delivery delivery) {
    if (!admit(untaken_.deliveries)) return false;
    events().deliveries.push_back(std::move(delivery));
    return true;
  }
  bool upcall(Upcall upcall) {
    if (!admit(untaken_.upcalls)) return false;
    events().upcalls.push_back(std::move(upcall));
    return true;
  }
  void evicted(Evicted evicted) { later().evicted.push_back(evicted); }
  void dialled(DialOutcome outcome) { batch().dials.push_back(std::move(outcome)); }
  void flows(FlowsOutcome outcome) { batch().flows.push_back(std::move(outcome)); }
  void tunnels(TunnelsOutcome outcome) { batch().tunnels.push_back(std::move(outcome)); }
  void drained(RequestId request) { batch().drained.push_back(request); }

  void publish() {
    gathered_ = 0;
    Timer::cancel();
    if (part_ != nullptr) outbox_.publish(std::move(part_));
  }

 private:
  static bool admit(std::atomic<int64_t>& count) {
    if (count.load(std::memory_order_relaxed) >= Outbox::kUntakenMax) return false;
    count.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  Batch& part() {
    if (part_ == nullptr) part_ = std::make_unique<BatchPart>();
    return part_->batch;
  }
  // At the end of this pass.
  Batch& batch() {
    PassHook::schedule(loop_);
    return part();
  }
  EventBatch& events() { return batch().events; }
  // Some milliseconds later, with whatever goes before.
  EventBatch& later() {
    if (++gathered_ >= kGatherMax) {
      PassHook::schedule(loop_);
    } else if (!Timer::armed()) {
      Timer::arm(loop_, kGather);
    }
    return part().events;
  }
  void onPassEnd() override { publish(); }
  void onTimer() override { publish(); }

  io::EventLoop& loop_;
  Outbox& outbox_;
  Untaken& untaken_;
  std::unique_ptr<BatchPart> part_;
  size_t gathered_ = 0;
};

}  // namespace onehop::engine
