#include "engine/engine.h"

#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "base/handle_map.h"
#include "engine/shard.h"

namespace onehop::engine {

namespace {

template <typename T>
bool within(T value, T least, T most) {
  return value >= least && value <= most;
}

Error outOfBounds(const char* name) {
  return makeError(CloseReason::badRequest, std::string("option out of bounds: ") + name);
}

Status checkOptions(const EngineOptions& o) {
  constexpr uint32_t kDay = 86'400'000;
  if (!within(o.shards, 1u, 64u)) return outOfBounds("shards");
  if (!within(o.flowCacheMax, 16u, 1048576u)) return outOfBounds("flowCacheMax");
  if (!within(o.counterSlots, 1u, 1048576u)) return outOfBounds("counterSlots");
  if (!within(o.flowsMax, 1u, 16777216u)) return outOfBounds("flowsMax");
  if (!within(o.streamsPerTunnelMax, 1u, 1000000u)) return outOfBounds("streamsPerTunnelMax");
  if (!within(o.poolStreamsMax, 1u, 1000000u)) return outOfBounds("poolStreamsMax");
  const std::pair<const char*, uint32_t> times[] = {
      {"poolIdleMs", o.poolIdleMs},           {"upcallTimeoutMs", o.upcallTimeoutMs},
      {"dialTimeoutMs", o.dialTimeoutMs},     {"handshakeTimeoutMs", o.handshakeTimeoutMs},
      {"prefaceTimeoutMs", o.prefaceTimeoutMs}, {"connectTimeoutMs", o.connectTimeoutMs},
      {"livenessMs", o.livenessMs}};
  for (const auto& [name, value] : times) {
    if (!within(value, 1u, kDay)) return outOfBounds(name);
  }
  if (o.poolNegativeMs > kDay) return outOfBounds("poolNegativeMs");
  if (!within<uint64_t>(o.windowBudgetBytes, 1u << 20, 1ull << 40)) {
    return outOfBounds("windowBudgetBytes");
  }
  if (o.congestion.size() > 15) return outOfBounds("congestion");
  if (o.spinUs > 1000) return outOfBounds("spinUs");
  if (o.spliceAfterBytes > 1u << 30) return outOfBounds("spliceAfterBytes");
  if (o.optimisticBytes > 1u << 14) return outOfBounds("optimisticBytes");
  return {};
}

Error stoppedError() { return makeError(CloseReason::localClosed, "the engine is stopped"); }

// An answer that all shards give a part of.
struct Gathering {
  enum class Kind : uint8_t { flows, tunnels, drained } kind = Kind::flows;
  uint32_t partsLeft = 0;
  std::vector<FlowFacts> flows;
  std::vector<TunnelFacts> tunnels;
};

}  // namespace

struct Engine::Impl {
  Impl(const EngineOptions& given, EngineObserver& observer)
      : options(given), outbox(observer), block(given.shards, given.counterSlots) {}
  ~Impl() {
    stop();
    // Nobody took these: their descriptors are ours.
    for (const Delivery& delivery : take().events.deliveries) io::Fd(delivery.fd);
  }

  void stop() {
    if (std::exchange(stopped, true)) return;
    for (const auto& shard : shards) shard->post([](Shard& s) { s.stop(); });
    for (const auto& shard : shards) shard->join();
  }
  void begin(RequestId request, Gathering::Kind kind) {
    Gathering gathering;
    gathering.kind = kind;
    gathering.partsLeft = static_cast<uint32_t>(shards.size());
    gatherings.emplace(request, std::move(gathering));
  }
  Batch take();
  int netnsIndex(const std::string& path, Error* error);

  EngineOptions options;
  Outbox outbox;
  CounterBlock block;
  std::vector<std::unique_ptr<Outlet::Untaken>> untaken;
  std::vector<std::unique_ptr<Shard>> shards;
  HandleMap<uint32_t> credentials;  // to their version
  HandleMap<ListenerKind> listeners;
  std::map<std::pair<dev_t, ino_t>, int> namespaces;
  std::unordered_map<RequestId, Gathering> gatherings;
  uint32_t nextShard = 0;
  bool stopped = false;
};

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::start(const EngineOptions& options,
                                              EngineObserver& observer) {
  const Status checked = checkOptions(options);
  if (!checked.ok()) return checked.error();
  auto impl = std::make_unique<Impl>(options, observer);
  for (uint32_t i = 0; i < options.shards; ++i) {
    impl->untaken.push_back(std::make_unique<Outlet::Untaken>());
    auto shard = std::make_unique<Shard>(i, options, impl->block.shard(i), impl->outbox,
                                         *impl->untaken.back());
    const Status started = shard->start();
    if (!started.ok()) return started.error();
    impl->shards.push_back(std::move(shard));
  }
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

// Credentials.

Result<CredentialInfo> Engine::putCredential(HandleValue handle, const CredentialSpec& spec) {
  if (impl_->stopped) return stoppedError();
  Result<std::shared_ptr<const tls::Credentials>> parsed =
      tls::Credentials::parse(spec.chainPem, spec.keyPem, spec.rootsPem);
  if (!parsed.ok()) return parsed.error();
  if (handle == 0) handle = impl_->credentials.insert(0).pack();
  uint32_t* version = impl_->credentials.find(Handle::unpack(handle));
  if (version == nullptr) return makeError(CloseReason::badRequest, "no such credential");
  const CredentialSlot slot{parsed.value(), ++*version};
  for (const auto& shard : impl_->shards) {
    shard->post([handle, slot](Shard& s) { s.setCredential(handle, slot); });
  }
  const tls::Credentials& credentials = *slot.credentials;
  return CredentialInfo{handle, credentials.identity(), credentials.serial(),
                        credentials.notBeforeMs(), credentials.notAfterMs()};
}

Status Engine::removeCredential(HandleValue handle) {
  if (impl_->stopped) return stoppedError();
  if (!impl_->credentials.erase(Handle::unpack(handle))) {
    return makeError(CloseReason::badRequest, "no such credential");
  }
  for (const auto& shard : impl_->shards) {
    shard->post([handle](Shard& s) { s.removeCredential(handle); });
  }
  return {};
}

// Listeners.

// Equal namespaces share a number, so that the pool shares tunnels within one and never across.
int Engine::Impl::netnsIndex(const std::string& path, Error* error) {
  if (path.empty()) return 0;
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) {
    *error = makeError(CloseReason::removed, "network namespace " + path, errno);
    return -1;
  }
  const auto next = static_cast<int>(namespaces.size()) + 1;
  return namespaces.try_emplace({facts.st_dev, facts.st_ino}, next).first->second;
}

Result<Listening> Engine::listen(const ListenSpec& spec) {
  if (impl_->stopped) return stoppedError();
  std::optional<SocketAddress> address = SocketAddress::parse(spec.address);
  if (!address) {
    return makeError(CloseReason::badRequest,
                     "address: \"" + spec.address + "\"; ip:port would be right");
  }
  if (spec.kind == ListenerKind::hbone &&
      impl_->credentials.find(Handle::unpack(spec.credential)) == nullptr) {
    return makeError(CloseReason::noCredential, "credential: an hbone listener needs one");
  }
  Error error;
  const int netns = impl_->netnsIndex(spec.netns, &error);
  if (netns < 0) return error;

  struct Opened {
    io::ListenSocket socket;
    io::NetContext context;
    io::Fd netns;
  };
  std::vector<Opened> opened;
  for (size_t i = 0; i < impl_->shards.size(); ++i) {
    Result<io::NetContext> context = io::NetContext::open(spec.netns, netns, spec.mark);
    if (!context.ok()) return context.error();
    io::Fd held(context.value().netnsFd);
    io::ListenOptions options;
    options.address = *address;
    options.context = context.value();
    options.backlog = static_cast<int>(std::clamp(spec.backlog, 1u, 65535u));
    options.transparent = spec.transparent;
    options.accepted = spec.kind == ListenerKind::hbone ? tunnelSocket(impl_->options)
                                                        : plainSocket(impl_->options);
    Result<io::ListenSocket> socket = io::openListener(options);
    if (!socket.ok()) return socket.error();
    address = socket.value().bound;  // the port the kernel chose serves all shards
    opened.push_back({std::move(socket.value()), context.value(), std::move(held)});
  }
  Listening listening;
  listening.handle = impl_->listeners.insert(spec.kind).pack();
  listening.address = address->format();
  listening.transparent = opened.front().socket.transparent;
  for (size_t i = 0; i < opened.size(); ++i) {
    ListenerSpec made;
    made.handle = listening.handle;
    made.kind = spec.kind;
    made.bound = *address;
    made.context = opened[i].context;
    made.credential = spec.credential;
    made.transparent = listening.transparent;
    impl_->shards[i]->post(
        [made, one = std::move(opened[i])](Shard& shard) mutable {
          shard.addListener(std::make_unique<ShardListener>(
              shard, made, std::move(one.socket.fd), std::move(one.netns)));
        });
  }
  return listening;
}

Status Engine::closeListener(HandleValue handle, bool flows) {
  if (impl_->stopped) return stoppedError();
  if (!impl_->listeners.erase(Handle::unpack(handle))) {
    return makeError(CloseReason::badRequest, "no such listener");
  }
  for (const auto& shard : impl_->shards) {
    shard->post([handle, flows](Shard& s) { s.closeListener(handle, flows); });
  }
  return {};
}

// Verdicts.

Status Engine::answer(std::vector<Verdict> verdicts) {
  if (impl_->stopped) return stoppedError();
  std::vector<std::vector<std::unique_ptr<CompiledVerdict>>> perShard(impl_->shards.size());
  for (size_t i = 0; i < verdicts.size(); ++i) {
    const uint32_t shard = verdicts[i].shard;
    const std::string where = "verdict " + std::to_string(i) + ": ";
    if (shard >= perShard.size()) {
      return makeError(CloseReason::badRequest, where + "shard: " + std::to_string(shard));
    }
    for (const Endpoint& endpoint : verdicts[i].endpoints) {
      if (endpoint.protocol == EndpointProtocol::hbone &&
          impl_->credentials.find(Handle::unpack(endpoint.credential)) == nullptr) {
        return makeError(CloseReason::badRequest, where + "credential: no such handle");
      }
    }
    Result<std::unique_ptr<CompiledVerdict>> compiled =
        CompiledVerdict::compile(std::move(verdicts[i]), impl_->options.counterSlots);
    if (!compiled.ok()) {
      Error error = compiled.error();
      error.detail = where + error.detail;
      return error;
    }
    perShard[shard].push_back(std::move(compiled.value()));
  }
  for (size_t i = 0; i < perShard.size(); ++i) {
    if (perShard[i].empty()) continue;
    impl_->shards[i]->post([batch = std::move(perShard[i])](Shard& shard) mutable {
      for (auto& verdict : batch) shard.applyVerdict(std::move(verdict));
    });
  }
  return {};
}

Status Engine::purgePool(const std::string& dial) {
  if (impl_->stopped) return stoppedError();
  const std::optional<SocketAddress> address = SocketAddress::parse(dial);
  if (!address) return makeError(CloseReason::badRequest, "dial: \"" + dial + "\"");
  for (const auto& shard : impl_->shards) {
    shard->post([to = *address](Shard& s) { s.purgePool(to); });
  }
  return {};
}

// Requests.

Status Engine::dial(RequestId request, const DialSpec& spec) {
  if (impl_->stopped) return stoppedError();
  Verdict verdict;
  verdict.allow = true;
  verdict.endpoints.push_back(spec.endpoint);
  if (spec.endpoint.protocol == EndpointProtocol::local) {
    return makeError(CloseReason::badRequest, "endpoint: local is where a dial begins");
  }
  if (spec.endpoint.bind == "downstream") {
    return makeError(CloseReason::badRequest, "bind: a dial has no downstream");
  }
  Result<std::unique_ptr<CompiledVerdict>> compiled =
      CompiledVerdict::compile(std::move(verdict), impl_->options.counterSlots);
  if (!compiled.ok()) return compiled.error();
  Error error;
  const int netns = impl_->netnsIndex(spec.netns, &error);
  if (netns < 0) return error;
  Result<io::NetContext> context = io::NetContext::open(spec.netns, netns, spec.mark);
  if (!context.ok()) return context.error();
  io::Fd held(context.value().netnsFd);
  impl_->nextShard = (impl_->nextShard + 1) % static_cast<uint32_t>(impl_->shards.size());
  impl_->shards[impl_->nextShard]->post(
      [request, context = context.value(), held = std::move(held),
       verdict = std::move(compiled.value())](Shard& shard) mutable {
        shard.dial(request, std::move(verdict), context, std::move(held));
      });
  return {};
}

Status Engine::flows(RequestId request) {
  if (impl_->stopped) return stoppedError();
  impl_->begin(request, Gathering::Kind::flows);
  for (const auto& shard : impl_->shards) {
    shard->post([request](Shard& s) { s.listFlows(request); });
  }
  return {};
}

Status Engine::tunnels(RequestId request) {
  if (impl_->stopped) return stoppedError();
  impl_->begin(request, Gathering::Kind::tunnels);
  for (const auto& shard : impl_->shards) {
    shard->post([request](Shard& s) { s.listTunnels(request); });
  }
  return {};
}

Status Engine::closeFlow(uint32_t shard, HandleValue flow) {
  if (impl_->stopped) return stoppedError();
  if (shard >= impl_->shards.size()) return makeError(CloseReason::badRequest, "no such shard");
  impl_->shards[shard]->post([flow](Shard& s) { s.closeFlow(flow); });
  return {};
}

Status Engine::drain(RequestId request, uint32_t deadlineMs) {
  if (impl_->stopped) return stoppedError();
  impl_->begin(request, Gathering::Kind::drained);
  const Nanos deadline = deadlineMs * kMillisecond;
  for (const auto& shard : impl_->shards) {
    shard->post([request, deadline](Shard& s) { s.drain(request, deadline); });
  }
  return {};
}

void Engine::summarizeComplete(bool on) { impl_->outbox.summarizeComplete(on); }

void Engine::trim() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void Engine::stop() { impl_->stop(); }

// Batches.

Batch Engine::Impl::take() {
  Batch all;
  const auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()),
              std::make_move_iterator(from.end()));
  };
  const auto finish = [&](RequestId request) {
    const auto found = gatherings.find(request);
    if (found == gatherings.end() || --found->second.partsLeft > 0) return;
    Gathering& done = found->second;
    if (done.kind == Gathering::Kind::flows) {
      all.flows.push_back({request, std::move(done.flows)});
    } else if (done.kind == Gathering::Kind::tunnels) {
      all.tunnels.push_back({request, std::move(done.tunnels)});
    } else {
      all.drained.push_back(request);
    }
    gatherings.erase(found);
  };
  std::unique_ptr<BatchPart> part = outbox.takeAll();
  for (; part != nullptr; part = std::move(part->next)) {
    Batch& batch = part->batch;
    for (const Upcall& upcall : batch.events.upcalls) untaken[upcall.shard]->upcalls.fetch_sub(1);
    for (const auto& summary : batch.events.summaries) {
      untaken[summary.shard]->summaries.fetch_sub(1);
    }
    for (const Notice& notice : batch.events.notices) untaken[notice.shard]->summaries.fetch_sub(1);
    for (const auto& delivery : batch.events.deliveries) {
      untaken[delivery.shard]->deliveries.fetch_sub(1);
    }
    append(all.events.upcalls, batch.events.upcalls);
    append(all.events.summaries, batch.events.summaries);
    append(all.events.notices, batch.events.notices);
    append(all.events.deliveries, batch.events.deliveries);
    append(all.events.evicted, batch.events.evicted);
    append(all.dials, batch.dials);
    for (FlowsOutcome& outcome : batch.flows) {
      const auto found = gatherings.find(outcome.request);
      if (found != gatherings.end()) append(found->second.flows, outcome.flows);
      finish(outcome.request);
    }
    for (TunnelsOutcome& outcome : batch.tunnels) {
      const auto found = gatherings.find(outcome.request);
      if (found != gatherings.end()) append(found->second.tunnels, outcome.tunnels);
      finish(outcome.request);
    }
    for (const RequestId request : batch.drained) finish(request);
  }
  return all;
}

Batch Engine::takeBatch() { return impl_->take(); }
std::span<uint64_t> Engine::counters() { return impl_->block.slots(); }
std::span<uint64_t> Engine::engineCounters() { return impl_->block.cells(); }

}  // namespace onehop::engine
