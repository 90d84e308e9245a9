#include "hbone/pool.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "hbone/client_connection.h"

namespace onehop::hbone {
namespace {

constexpr uint8_t kAttemptsMax = 3;
// Dials of one key at once, when the streams of the connections it has do not suffice.
constexpr size_t kDialsMax = 8;

struct SweepTag {};

// Everything of one key: its connections and those who wait for one.
struct Entry : ListLink<SweepTag> {
  Entry(const PoolKey& k, const DialParams& p) : key(k), params(p) {}
  PoolKey key;
  DialParams params;
  IntrusiveList<Opening> queue;
  std::vector<std::unique_ptr<ClientConnection>> clients;
  Error negative;
  Nanos negativeUntil = 0;
  bool detached = false;  // purged: serves those who wait, and ends
};

struct KeyHash {
  size_t operator()(const PoolKey& key) const {
    size_t hash = hashValue(key.address);
    const auto mix = [&hash](size_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15; };
    mix(key.credential);
    mix(key.credentialVersion);
    mix(static_cast<size_t>(key.netnsIndex) << 32 | key.mark);
    if (key.bind) mix(hashValue(*key.bind));
    for (const std::string& peer : key.expectedPeers) mix(std::hash<std::string>{}(peer));
    return hash;
  }
};

Entry& entryOf(const ClientConnection& client) { return *static_cast<Entry*>(client.entry); }

Error failureOf(const Error& error) {
  Error told = error;
  if (told.side == Side::internal) told.side = Side::upstream;
  told.retrySafe = true;  // no byte of the flow was sent
  return told;
}

}  // namespace

struct Pool::Impl final : ClientEvents, private transport::PassHook, private transport::Timer {
  Impl(transport::EventLoop& l, const PoolLimits& lim)
      : loop(l), limits(lim), ledger(lim.windowLedgerBytes) {}
  ~Impl();

  Handle acquire(const PoolKey& key, const DialParams& params, const ConnectRequest& request,
                 TunnelWaiter& waiter);
  void cancel(Handle ticket);
  template <typename F>
  void purgeIf(F&& matches);
  void drainAll();
  void closeAll(CloseReason reason);
  template <typename F>
  void forEachEntry(F&& visit);

  // ClientEvents.
  void onClientRoom(ClientConnection& client) override { pump(entryOf(client)); }
  void onOpened(ClientConnection& client, Opening& opening,
                const h2::HeaderList& fields) override;
  void onOpeningFailed(ClientConnection& client, Opening& opening, const Error& error,
                       bool again) override;
  void onClientLost(ClientConnection& client, const Error& error) override;
  void onClientGone(ClientConnection& client) override;
  void onPassEnd() override;
  void onTimer() override;

  Entry& entryFor(const PoolKey& key, const DialParams& params);
  void pump(Entry& entry);
  void dialMore(Entry& entry);
  void endDetached(Entry& entry);
  void failSoon(Opening& opening, const Error& error);
  void failQueue(Entry& entry, const Error& error);
  void sweepSoon(Entry& entry);
  void sweep(Entry& entry);

  transport::EventLoop& loop;
  PoolLimits limits;
  h2::WindowLedger ledger;
  std::unordered_map<PoolKey, std::unique_ptr<Entry>, KeyHash> entries;
  std::vector<std::unique_ptr<Entry>> detached;
  HandleMap<std::unique_ptr<Opening>> openings;
  IntrusiveList<Opening> failing;
  IntrusiveList<Entry, SweepTag> sweeping;
  PoolStats stats;
  bool draining = false;
  bool dying = false;
};

// Acquiring.

Handle Pool::Impl::acquire(const PoolKey& key, const DialParams& params,
                           const ConnectRequest& request, TunnelWaiter& waiter) {
  CHECK(params.credentials && !params.expectedPeers.empty());
  auto owned = std::make_unique<Opening>();
  Opening& opening = *owned;
  opening.waiter = &waiter;
  opening.context = params.context;
  opening.since = loop.now();
  opening.fields.add(":method", "CONNECT");
  opening.fields.add(":authority", request.authority);
  for (const auto& [name, value] : request.headers) opening.fields.add(name, value);
  const bool full = openings.size() >= limits.waitersMax;
  opening.ticket = openings.insert(std::move(owned));
  if (draining || full) {
    failSoon(opening, makeError(draining ? CloseReason::drained : CloseReason::overload));
    return opening.ticket;
  }
  Entry& entry = entryFor(key, params);
  if (entry.negativeUntil > loop.now()) {
    failSoon(opening, entry.negative);
    return opening.ticket;
  }
  entry.queue.pushBack(opening);
  opening.entry = &entry;
  pump(entry);
  return opening.ticket;
}

Entry& Pool::Impl::entryFor(const PoolKey& key, const DialParams& params) {
  const auto found = entries.find(key);
  if (found != entries.end()) return *found->second;
  return *entries.emplace(key, std::make_unique<Entry>(key, params)).first->second;
}

void Pool::Impl::cancel(Handle ticket) {
  std::unique_ptr<Opening>* found = openings.find(ticket);
  if (found == nullptr) return;
  std::unique_ptr<Opening> opening = std::move(*found);
  openings.erase(ticket);
  if (opening->client != nullptr) return opening->client->cancel(*opening);
  if (failing.contains(*opening)) return failing.remove(*opening);
  Entry& entry = *static_cast<Entry*>(opening->entry);
  entry.queue.remove(*opening);
  if (!entry.queue.empty()) return;
  // Nobody waits for these dials any more.
  for (const auto& client : entry.clients) {
    if (client->state() == ClientState::dialling) client->close(CloseReason::localClosed);
  }
  endDetached(entry);
}

// Gives those who wait to connections with room, and dials for the rest.
void Pool::Impl::pump(Entry& entry) {
  for (const auto& client : entry.clients) {
    for (uint32_t room = client->roomLeft(); room > 0 && !entry.queue.empty(); --room) {
      client->give(*entry.queue.popFront());
    }
  }
  if (!entry.queue.empty()) dialMore(entry);
  endDetached(entry);
}

// One dial until the key is known to work, then as many as the queue needs.
void Pool::Impl::dialMore(Entry& entry) {
  size_t dialling = 0;
  bool known = false;
  for (const auto& client : entry.clients) {
    const ClientState state = client->state();
    dialling += state == ClientState::dialling ? 1 : 0;
    known = known || state == ClientState::open;
  }
  const size_t needed = (entry.queue.size() + limits.streamsMax - 1) / limits.streamsMax;
  const size_t wanted = known ? std::min(needed, kDialsMax) : 1;
  // The descriptor of who first came by may be closed, or another file's by now.
  entry.params.context = entry.queue.front()->context;
  for (; dialling < wanted; ++dialling) {
    entry.clients.push_back(std::make_unique<ClientConnection>(loop, entry.params,
                                                               limits.streamsMax, *this, &ledger,
                                                               limits.tlsCounters));
    ClientConnection& client = *entry.clients.back();
    client.entry = &entry;
    ++stats.dialled;
    ++stats.active;
    client.start(entry.params);
  }
}

void Pool::Impl::endDetached(Entry& entry) {
  if (!entry.detached || !entry.queue.empty()) return;
  for (const auto& client : entry.clients) {
    if (client->state() == ClientState::dialling) {
      client->close(CloseReason::removed);
    } else {
      client->drain(CloseReason::removed);
    }
  }
  sweepSoon(entry);
}

// What becomes of openings.

void Pool::Impl::onOpened(ClientConnection& client, Opening& opening,
                          const h2::HeaderList& fields) {
  std::unique_ptr<Opening> owned = std::move(*openings.find(opening.ticket));
  openings.erase(opening.ticket);
  const Entry& entry = entryOf(client);
  if (opening.reused) ++stats.reused;
  const TunnelInfo facts{opening.reused, opening.early, client.peerIdentity(), entry.params.credentials->identity()};
  opening.waiter->onTunnel(std::move(opening.tunnel), facts, fields);
}

void Pool::Impl::onOpeningFailed(ClientConnection& client, Opening& opening, const Error& error,
                                 bool again) {
  if (dying) {
    openings.erase(opening.ticket);
    return;
  }
  Entry& entry = entryOf(client);
  // A host that was cut off leaves every connection of the pool dead unseen. There are only so many
  // older than the opening, and each fails it once.
  const bool found = client.state() == ClientState::closed && client.startedAt() < opening.since;
  opening.attempts += found ? 0 : 1;
  if (!again || opening.attempts >= kAttemptsMax || draining) return failSoon(opening, error);
  opening.entry = &entry;
  entry.queue.pushFront(opening);
  sweepSoon(entry);  // pumps, too
}

void Pool::Impl::failSoon(Opening& opening, const Error& error) {
  opening.failure = std::make_unique<Error>(failureOf(error));
  failing.pushBack(opening);
  schedule(loop);
}

void Pool::Impl::failQueue(Entry& entry, const Error& error) {
  while (Opening* opening = entry.queue.popFront()) failSoon(*opening, error);
}

// What becomes of connections.

void Pool::Impl::onClientLost(ClientConnection& client, const Error& error) {
  if (dying) return;
  Entry& entry = entryOf(client);
  CHECK(stats.active > 0);
  --stats.active;
  if (!client.wasProven() && !client.endedByUs()) {
    ++stats.dialFailures;
    entry.negative = error;
    entry.negativeUntil = loop.now() + limits.negative;
    failQueue(entry, error);
  }
  sweepSoon(entry);
}

void Pool::Impl::onClientGone(ClientConnection& client) {
  Entry& entry = entryOf(client);
  for (auto& owned : entry.clients) {
    if (owned.get() != &client) continue;
    loop.retire(std::move(owned));
    owned = std::move(entry.clients.back());
    entry.clients.pop_back();
    break;
  }
  sweepSoon(entry);
}

void Pool::Impl::sweepSoon(Entry& entry) {
  if (!sweeping.contains(entry)) sweeping.pushBack(entry);
  schedule(loop);
}

void Pool::Impl::onPassEnd() {
  while (Entry* entry = sweeping.popFront()) {
    pump(*entry);
    if (sweeping.contains(*entry)) sweeping.remove(*entry);
    sweep(*entry);
  }
  for (size_t left = failing.size(); left > 0 && !failing.empty(); --left) {
    Opening& opening = *failing.popFront();
    std::unique_ptr<Opening> owned = std::move(*openings.find(opening.ticket));
    openings.erase(opening.ticket);
    owned->waiter->onTunnelFailed(*owned->failure);
  }
}

void Pool::Impl::sweep(Entry& entry) {
  if (!entry.clients.empty() || !entry.queue.empty()) return;
  if (entry.detached) {
    std::erase_if(detached, [&](const auto& owned) { return owned.get() == &entry; });
    return;
  }
  if (entry.negativeUntil > loop.now()) {
    if (!armed()) arm(loop, limits.negative);
    return;
  }
  entries.erase(entries.find(entry.key));
}

// Old failures are forgotten.
void Pool::Impl::onTimer() {
  for (const auto& [key, entry] : entries) {
    if (entry->clients.empty()) sweepSoon(*entry);
  }
}

// From outside.

template <typename F>
void Pool::Impl::forEachEntry(F&& visit) {
  for (const auto& [key, entry] : entries) visit(*entry);
  for (const auto& entry : detached) visit(*entry);
}

template <typename F>
void Pool::Impl::purgeIf(F&& matches) {
  for (auto at = entries.begin(); at != entries.end();) {
    if (!matches(at->first)) {
      ++at;
      continue;
    }
    Entry& entry = *at->second;
    detached.push_back(std::move(at->second));
    at = entries.erase(at);
    entry.detached = true;
    endDetached(entry);
  }
}

void Pool::Impl::drainAll() {
  draining = true;
  forEachEntry([this](Entry& entry) {
    failQueue(entry, makeError(CloseReason::drained));
    for (const auto& client : entry.clients) {
      if (client->state() == ClientState::dialling) {
        client->close(CloseReason::drained);
      } else {
        client->drain(CloseReason::drained);
      }
    }
  });
}

void Pool::Impl::closeAll(CloseReason reason) {
  forEachEntry([&](Entry& entry) {
    failQueue(entry, makeError(reason));
    for (const auto& client : entry.clients) client->close(reason);
  });
}

Pool::Impl::~Impl() {
  dying = true;
  while (sweeping.popFront() != nullptr) {
  }
  forEachEntry([](Entry& entry) {
    while (entry.queue.popFront() != nullptr) {
    }
    for (const auto& client : entry.clients) client->dispose(CloseReason::localClosed);
    entry.clients.clear();
  });
  while (failing.popFront() != nullptr) {
  }
}

Pool::Pool(transport::EventLoop& loop, const PoolLimits& limits)
    : impl_(std::make_unique<Impl>(loop, limits)) {}

Pool::~Pool() = default;

Handle Pool::acquire(const PoolKey& key, const DialParams& params, const ConnectRequest& request,
                     TunnelWaiter& waiter) {
  return impl_->acquire(key, params, request, waiter);
}

bool Pool::sendEarly(Handle ticket, ByteSpan bytes) {
  std::unique_ptr<Opening>* found = impl_->openings.find(ticket);
  if (found == nullptr || !(*found)->early || !(*found)->tunnel) return false;
  const iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  return (*found)->tunnel->writev(&part, 1).bytes == bytes.size();
}

void Pool::cancel(Handle ticket) { impl_->cancel(ticket); }

void Pool::purgeAddress(const SocketAddress& address) {
  impl_->purgeIf([&](const PoolKey& key) { return key.address == address; });
}

void Pool::purgeCredential(uint64_t credential) {
  impl_->purgeIf([&](const PoolKey& key) { return key.credential == credential; });
}

void Pool::drain() { impl_->drainAll(); }

void Pool::closeAll(CloseReason reason) { impl_->closeAll(reason); }

void Pool::visit(PoolVisitor& visitor) const {
  impl_->forEachEntry([&](const Entry& entry) {
    for (const auto& client : entry.clients) {
      PooledTunnelFacts facts;
      facts.dial = entry.key.address;
      facts.localIdentity = entry.params.credentials->identity();
      facts.peerIdentity = client->peerIdentity();
      facts.streams = client->load();
      facts.streamsServed = client->streamsServed();
      facts.streamsMax = client->streamsMax();
      facts.age = impl_->loop.now() - client->startedAt();
      facts.state = client->state();
      visitor.onPooledTunnel(facts);
    }
  });
}

const PoolStats& Pool::stats() const { return impl_->stats; }

}  // namespace onehop::hbone
