#include "engine/shard.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "io/slice.h"

namespace onehop::engine {

namespace {

// What may wait unsent in the socket of a tunnel, bytes: more would let bulk delay its neighbours.
constexpr int kTunnelUnsentBytes = 256 * 1024;
// After stop: for closing connections to send their last bytes.
constexpr Nanos kStopGrace = 1500 * kMillisecond;
// JavaScript, handshakes and other programs on the same processor do not keep a shard waiting long.
constexpr Nanos kSlice = 100 * kMicrosecond;
constexpr int kCutPasses = 4;  // in which a connection that is closed twice is gone

uint64_t seed() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value) value = static_cast<uint64_t>(monotonicNow());
  return value;
}

hbone::HboneDeadlines deadlinesOf(const EngineOptions& options) {
  hbone::HboneDeadlines deadlines;
  deadlines.dial = options.dialTimeoutMs * kMillisecond;
  deadlines.handshake = options.handshakeTimeoutMs * kMillisecond;
  deadlines.preface = options.prefaceTimeoutMs * kMillisecond;
  deadlines.connect = options.connectTimeoutMs * kMillisecond;
  deadlines.liveness = options.livenessMs * kMillisecond;
  deadlines.idle = options.poolIdleMs * kMillisecond;
  return deadlines;
}

hbone::PoolLimits poolLimits(const EngineOptions& options, transport::TlsCounters& counters) {
  hbone::PoolLimits limits;
  limits.streamsMax = options.poolStreamsMax;
  limits.negative = options.poolNegativeMs * kMillisecond;
  limits.windowLedgerBytes = options.windowBudgetBytes;
  limits.tlsCounters = &counters;
  return limits;
}

io::LoopOptions loopOptions(const EngineOptions& options) {
  io::LoopOptions loop;
  loop.spinUs = options.spinUs;
  loop.spliceAfterBytes = options.spliceAfterBytes;
  loop.helper = true;  // handshakes
  return loop;
}

}  // namespace

Shard::Shard(uint32_t index, const EngineOptions& options, ShardCounters counters, Outbox& outbox,
             Outlet::Untaken& untaken)
    : index_(index),
      options_(options),
      deadlines_(deadlinesOf(options)),
      counters_(counters),
      untaken_(untaken),
      loop_(loopOptions(options)),
      outlet_(loop_, outbox, untaken_),
      random_(seed()),
      ledger_(options.windowBudgetBytes),
      cache_(options.flowCacheMax, *this),
      upcalls_(index, loop_, outlet_, options.upcallTimeoutMs * kMillisecond, *this),
      pool_(loop_, poolLimits(options, tlsCounters_)) {}

Status Shard::start() {
  Status made = loop_.init();
  if (!made.ok()) return made;
  loop_.setWakeObserver(this);
  thread_ = std::thread([this] { run(); });
  const std::string name = "onehop-" + std::to_string(index_);
  pthread_setname_np(thread_.native_handle(), name.c_str());
  return {};
}

void Shard::join() {
  if (thread_.joinable()) thread_.join();
}

void Shard::run() {
  io::setSchedulerSlice(kSlice);
  while (!stopped_) {
    loop_.runOnce(-1);
    publishGauges();
  }
  const Nanos until = monotonicNow() + kStopGrace;
  while (!settled() && monotonicNow() < until) loop_.runOnce(20 * kMillisecond);
  // However long this thread or process stood still meanwhile: nothing outlives the shard.
  for (const auto& listener : closing_) listener->close(true);
  for (int i = 0; i < kCutPasses && !settled(); ++i) loop_.runOnce(0);
  loop_.runOnce(0);  // what the last pass retired
  outlet_.publish();
  publishGauges();
}

// Everything that came in or went out is over.
bool Shard::settled() const {
  const auto idle = [](const auto& listener) { return listener->idle(); };
  return std::all_of(closing_.begin(), closing_.end(), idle);
}

void Shard::onWake() { mailbox_.runAll(*this); }

void Shard::publishGauges() {
  counters_.set(EngineCell::flowsActive, flows_.size());
  counters_.set(EngineCell::cacheEntries, cache_.size());
  const hbone::PoolStats& pool = pool_.stats();
  counters_.set(EngineCell::tunnelsDialled, pool.dialled);
  counters_.set(EngineCell::tunnelsReused, pool.reused);
  counters_.set(EngineCell::tunnelDialFailures, pool.dialFailures);
  counters_.set(EngineCell::tunnelsActive, pool.active);
  counters_.set(EngineCell::handshakesOk, tlsCounters_.handshakesOk);
  counters_.set(EngineCell::handshakesFailed, tlsCounters_.handshakesFailed);
  counters_.set(EngineCell::handshakesActive, tlsCounters_.handshakesActive);
  counters_.set(EngineCell::recordsOpened, tlsCounters_.recordsOpened);
  counters_.set(EngineCell::recordsSealed, tlsCounters_.recordsSealed);
  counters_.set(EngineCell::bytesOpened, tlsCounters_.bytesOpened);
  counters_.set(EngineCell::bytesSealed, tlsCounters_.bytesSealed);
  counters_.set(EngineCell::keyUpdates, tlsCounters_.keyUpdates);
  counters_.set(EngineCell::loopPasses, loop_.stats().passes);
  counters_.set(EngineCell::loopWakeups, loop_.stats().sleeps);
  counters_.set(EngineCell::socketsOpen, loop_.stats().watched);
  counters_.set(EngineCell::spliceBytes, loop_.stats().splicedBytes);
  counters_.set(EngineCell::buffersLent,
                loop_.receivePool().lentBytes() + loop_.sendPool().lentBytes() +
                    loop_.recordPool().lentBytes());
}

io::SocketOptions tunnelSocket(const EngineOptions& options) {
  io::SocketOptions socket;
  socket.congestion = options.congestion;
  socket.notSentLowat = kTunnelUnsentBytes;
  return socket;
}

io::SocketOptions plainSocket(const EngineOptions& options) {
  io::SocketOptions socket;
  socket.congestion = options.congestion;
  return socket;
}

void Shard::notice(Notice notice) {
  if (!outlet_.notice(std::move(notice))) counters_.add(EngineCell::summariesDropped);
}

// Credentials.

void Shard::setCredential(HandleValue handle, CredentialSlot slot) {
  credentials_[handle] = std::move(slot);
}

void Shard::removeCredential(HandleValue handle) {
  credentials_.erase(handle);
  pool_.purgeCredential(handle);
}

const CredentialSlot* Shard::credential(HandleValue handle) const {
  const auto found = credentials_.find(handle);
  return found == credentials_.end() ? nullptr : &found->second;
}

// Listeners.

void Shard::addListener(std::unique_ptr<ShardListener> listener) {
  const ListenerSpec& spec = listener->spec();
  const Status started = listener->start();
  if (!started.ok()) {
    Notice failed;
    failed.shard = index_;
    failed.listener = spec.handle;
    failed.reason = started.error().reason;
    failed.code = started.error().code;
    failed.detail = started.error().detail;
    return notice(std::move(failed));
  }
  listeners_.emplace(spec.handle, std::move(listener));
}

void Shard::closeListener(HandleValue handle, bool flows) {
  const auto found = listeners_.find(handle);
  if (found == listeners_.end()) return;
  std::unique_ptr<ShardListener> listener = std::move(found->second);
  listeners_.erase(found);
  release(std::move(listener));
  ShardListener& closed = *closing_.back();
  if (flows) {
    std::vector<Flow*> ended;
    flows_.forEach([&](Handle, std::unique_ptr<Flow>& flow) {
      if (flow->listener() == &closed) ended.push_back(flow.get());
    });
    closed.addFlow();  // holds it while its flows go
    for (Flow* flow : ended) flow->end(CloseReason::removed, Side::internal, 0);
    closed.close(true);
    closed.removeFlow();
  } else {
    closed.addFlow();
    closed.close(false);
    closed.drain();
    closed.removeFlow();
  }
  cache_.removeListener(handle);
}

void Shard::release(std::unique_ptr<ShardListener> listener) {
  closing_.push_back(std::move(listener));
}

void Shard::forget(ShardListener& listener) {
  const auto found = std::find_if(closing_.begin(), closing_.end(),
                                  [&](const auto& held) { return held.get() == &listener; });
  if (found == closing_.end()) return;
  loop_.retire(std::move(*found));
  closing_.erase(found);
}

// Flows.

Flow* Shard::newFlow(ShardListener* listener, const SocketAddress& source) {
  if (flows_.size() >= options_.flowsMax) return nullptr;
  auto owned = std::make_unique<Flow>(*this, listener, source);
  Flow* flow = owned.get();
  flow->setHandle(flows_.insert(std::move(owned)));
  if (listener != nullptr) listener->addFlow();
  counters_.add(EngineCell::flowsOpened);
  return flow;
}

void Shard::forget(Flow& flow) {
  if (CacheEntry* entry = flow.entry()) cache_.removeFlow(*entry, flow);
  ShardListener* listener = flow.listener();
  std::unique_ptr<Flow>* held = flows_.find(flow.handle());
  CHECK(held != nullptr);
  loop_.retire(std::move(*held));
  flows_.erase(flow.handle());
  counters_.add(EngineCell::flowsClosed);
  if (listener != nullptr) listener->removeFlow();
  checkDrained();
}

void Shard::closeFlow(HandleValue handle) {
  std::unique_ptr<Flow>* flow = flows_.find(Handle::unpack(handle));
  if (flow != nullptr) (*flow)->end(CloseReason::localClosed, Side::internal, 0);
}

void Shard::endAllFlows(CloseReason reason) {
  std::vector<Flow*> all;
  flows_.forEach([&](Handle, std::unique_ptr<Flow>& flow) { all.push_back(flow.get()); });
  for (Flow* flow : all) flow->end(reason, Side::internal, 0);
}

void Shard::dial(RequestId request, std::unique_ptr<CompiledVerdict> verdict,
                 const io::NetContext& context, io::Fd netns) {
  Flow* flow = newFlow(nullptr, SocketAddress{});
  if (flow == nullptr) {
    DialOutcome outcome;
    outcome.request = request;
    outcome.error = makeError(CloseReason::overload, "too many live flows");
    return outlet_.dialled(std::move(outcome));
  }
  verdict->adopt(loads_);
  flow->startDial(request, std::move(verdict), context, std::move(netns));
}

void Shard::listFlows(RequestId request) {
  FlowsOutcome outcome;
  outcome.request = request;
  flows_.forEach([&](Handle, std::unique_ptr<Flow>& flow) {
    outcome.flows.push_back(flow->facts());
  });
  outlet_.flows(std::move(outcome));
}

void Shard::listTunnels(RequestId request) {
  class Lister final : public hbone::PoolVisitor {
   public:
    explicit Lister(uint32_t shard) : shard_(shard) {}
    void onPooledTunnel(const hbone::PooledTunnelFacts& facts) override {
      TunnelFacts tunnel;
      tunnel.shard = shard_;
      tunnel.dial = facts.dial.format();
      tunnel.localIdentity = facts.localIdentity;
      tunnel.peerIdentity = facts.peerIdentity;
      tunnel.streams = facts.streams;
      tunnel.streamsServed = facts.streamsServed;
      tunnel.streamsMax = facts.streamsMax;
      tunnel.ageMs = static_cast<uint64_t>(facts.age / kMillisecond);
      tunnel.state = facts.state == hbone::ClientState::dialling ? TunnelState::dialling
                     : facts.state == hbone::ClientState::open   ? TunnelState::open
                                                                 : TunnelState::draining;
      outcome.tunnels.push_back(std::move(tunnel));
    }
    TunnelsOutcome outcome;

   private:
    uint32_t shard_;
  };
  Lister lister(index_);
  lister.outcome.request = request;
  pool_.visit(lister);
  outlet_.tunnels(std::move(lister.outcome));
}

// Verdicts.

void Shard::applyVerdict(std::unique_ptr<CompiledVerdict> verdict) {
  CacheEntry* entry = cache_.find(verdict->key);
  if (entry == nullptr) return;  // evicted meanwhile
  if (entry->decided() && verdict->generation < entry->verdict->generation) return;
  if (upcalls_.waits(*entry)) upcalls_.settle(*entry);
  const bool close = verdict->live == LiveFlows::close;
  verdict->adopt(loads_);
  const bool first = !entry->decided();
  std::unique_ptr<CompiledVerdict> old = std::exchange(entry->verdict, std::move(verdict));
  std::vector<Flow*> live;
  std::vector<Flow*> parked;
  for (EntryFlow* flow = entry->live.front(); flow != nullptr; flow = entry->live.next(*flow)) {
    live.push_back(static_cast<Flow*>(flow));
  }
  for (EntryFlow* flow = entry->parked.front(); flow != nullptr;
       flow = entry->parked.next(*flow)) {
    parked.push_back(static_cast<Flow*>(flow));
  }
  for (Flow* flow : parked) cache_.unpark(*entry, *flow);
  if (live.empty() && parked.empty() && first) return cache_.settle(*entry);
  for (Flow* flow : live) {
    if (close) {
      flow->end(CloseReason::policyChanged, Side::internal, 0);
    } else {
      flow->onRevalidated();
    }
  }
  for (Flow* flow : parked) flow->onVerdict();
}

void Shard::onUpcallTimeout(CacheEntry& entry) {
  counters_.add(EngineCell::upcallTimeouts);
  std::vector<Flow*> parked;
  for (EntryFlow* flow = entry.parked.front(); flow != nullptr; flow = entry.parked.next(*flow)) {
    parked.push_back(static_cast<Flow*>(flow));
  }
  const Handle handle = entry.handle;
  for (Flow* flow : parked) {
    flow->end(CloseReason::upcallTimeout, Side::internal, 0, "no decision in time");
  }
  // Asked anew by the next flow.
  CacheEntry* left = cache_.find(handle.pack());
  if (left != nullptr && left->idle()) cache_.remove(*left);
}

void Shard::onEvicted(const CacheEntry& entry) {
  counters_.add(EngineCell::cacheEvictions);
  outlet_.evicted({index_, entry.handle.pack()});
}

// Ends.

void Shard::drain(RequestId request, Nanos deadline) {
  draining_ = true;
  for (const auto& [handle, listener] : listeners_) {
    if (!listener->closed()) listener->close(false);
    listener->drain();
  }
  drains_.push_back({request, loop_.now() + deadline});
  Timer::arm(loop_, deadline);
  checkDrained();
}

void Shard::checkDrained() {
  if (drains_.empty() || flows_.size() > 0) return;
  pool_.drain();
  Timer::cancel();
  for (const Draining& drain : std::exchange(drains_, {})) outlet_.drained(drain.request);
}

void Shard::onTimer() {
  Nanos next = 0;
  for (const Draining& drain : drains_) {
    if (drain.deadline <= loop_.now()) return endAllFlows(CloseReason::drained);
    next = next == 0 ? drain.deadline : std::min(next, drain.deadline);
  }
  if (next > 0) Timer::arm(loop_, next - loop_.now());
}

void Shard::stop() {
  stopped_ = true;
  endAllFlows(CloseReason::localClosed);
  for (auto& [handle, listener] : std::exchange(listeners_, {})) release(std::move(listener));
  std::vector<ShardListener*> all;
  for (const auto& listener : closing_) all.push_back(listener.get());
  for (ShardListener* listener : all) {
    listener->addFlow();  // holds it while its tunnels go
    listener->close(true);
    listener->removeFlow();
  }
  upcalls_.clear();
  pool_.closeAll(CloseReason::localClosed);
  checkDrained();
  Timer::cancel();
}

}  // namespace onehop::engine
