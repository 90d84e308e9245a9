#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/handle_map.h"
#include "engine/counters.h"
#include "engine/engine.h"
#include "engine/flow.h"
#include "engine/flow_cache.h"
#include "engine/mailbox.h"
#include "engine/outbox.h"
#include "engine/shard_listener.h"
#include "engine/upcalls.h"
#include "engine/verdict.h"
#include "h2/flow_control.h"
#include "hbone/pool.h"
#include "io/event_loop.h"
#include "tls/credentials.h"
#include "transport/tls_counters.h"

namespace onehop::engine {

struct CredentialSlot {
  std::shared_ptr<const tls::Credentials> credentials;
  uint32_t version = 0;  // pooled tunnels are shared within one version only
};

// What sockets that carry tunnels, and sockets of applications, are set to.
io::SocketOptions tunnelSocket(const EngineOptions& options);
io::SocketOptions plainSocket(const EngineOptions& options);

// One thread, one loop, and all that lives on it. Other threads post() and nothing else.
class Shard final : private CacheObserver,
                    private UpcallObserver,
                    private io::WakeObserver,
                    private io::Timer {
 public:
  Shard(uint32_t index, const EngineOptions& options, ShardCounters counters, Outbox& outbox,
        Outlet::Untaken& untaken);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() = default;

  Status start();  // makes loop and thread
  // Runs `task(Shard&)` on the shard's thread, in the order of posting.
  template <typename F>
  void post(F task) {
    mailbox_.push(std::make_unique<TaskOf<Shard, F>>(std::move(task)));
    loop_.wake();
  }
  // After a posted stop(): waits for the thread.
  void join();

  // All below: on the shard's thread.

  void setCredential(HandleValue handle, CredentialSlot slot);
  void removeCredential(HandleValue handle);
  const CredentialSlot* credential(HandleValue handle) const;
  void addListener(std::unique_ptr<ShardListener> listener);
  void closeListener(HandleValue handle, bool flows);
  void applyVerdict(std::unique_ptr<CompiledVerdict> verdict);
  void purgePool(const SocketAddress& address) { pool_.purgeAddress(address); }
  void dial(RequestId request, std::unique_ptr<CompiledVerdict> verdict,
            const io::NetContext& context, io::Fd netns);
  void listFlows(RequestId request);
  void listTunnels(RequestId request);
  void closeFlow(HandleValue flow);
  void drain(RequestId request, Nanos deadline);
  void stop();

  // For flows and listeners.
  // Null when the table is full.
  Flow* newFlow(ShardListener* listener, const SocketAddress& source);
  // The flow has summarized itself: forgotten now, freed at the end of the pass.
  void forget(Flow& flow);
  void forget(ShardListener& listener);
  bool draining() const { return draining_; }
  Upcalls& upcalls() { return upcalls_; }
  FlowCache& cache() { return cache_; }
  hbone::Pool& pool() { return pool_; }
  io::EventLoop& loop() { return loop_; }
  ShardCounters& counters() { return counters_; }
  Outlet& outlet() { return outlet_; }
  LoadTable& loads() { return loads_; }
  Random& random() { return random_; }
  h2::WindowLedger& ledger() { return ledger_; }
  const EngineOptions& options() const { return options_; }
  const hbone::HboneDeadlines& deadlines() const { return deadlines_; }
  transport::TlsCounters& tlsCounters() { return tlsCounters_; }
  uint32_t index() const { return index_; }
  void notice(Notice notice);

 private:
  void onEvicted(const CacheEntry& entry) override;
  void onUpcallTimeout(CacheEntry& entry) override;
  void onWake() override;
  void onTimer() override;
  void run();
  bool settled() const;
  void release(std::unique_ptr<ShardListener> listener);
  void publishGauges();
  void checkDrained();
  void endAllFlows(CloseReason reason);

  const uint32_t index_;
  const EngineOptions options_;
  const hbone::HboneDeadlines deadlines_;
  ShardCounters counters_;
  transport::TlsCounters tlsCounters_;
  Outlet::Untaken& untaken_;
  io::EventLoop loop_;
  Mailbox<Shard> mailbox_;
  Outlet outlet_;
  Random random_;
  LoadTable loads_;
  h2::WindowLedger ledger_;
  FlowCache cache_;
  Upcalls upcalls_;
  hbone::Pool pool_;
  std::unordered_map<HandleValue, CredentialSlot> credentials_;
  std::unordered_map<HandleValue, std::unique_ptr<ShardListener>> listeners_;
  std::vector<std::unique_ptr<ShardListener>> closing_;  // closed, with flows left
  HandleMap<std::unique_ptr<Flow>> flows_;
  struct Draining {
    RequestId request = 0;
    Nanos deadline = 0;
  };
  std::vector<Draining> drains_;
  bool draining_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace onehop::engine
