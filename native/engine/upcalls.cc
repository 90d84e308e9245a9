#include "engine/upcalls.h"

namespace onehop::engine {

bool Upcalls::ask(CacheEntry& entry, ListenerKind kind, const SocketAddress& local) {
  CHECK(!entry.decided() && !waits(entry));
  const FlowKeyView key = entry.key.view();
  size_t& ofListener = ofListener_[key.listener];
  if (pending_.size() >= kPendingMax || ofListener >= kPendingPerListenerMax) return false;
  Upcall upcall;
  upcall.shard = shard_;
  upcall.key = entry.handle.pack();
  upcall.listener = key.listener;
  upcall.kind = kind;
  upcall.sourceIp = key.sourceIp.format();
  upcall.destination = key.destination.format();
  upcall.local = local.format();
  upcall.authority = key.authority;
  upcall.peerIdentity = key.peerIdentity;
  upcall.forwardedHost = key.forwardedHost;
  upcall.forwardedNetwork = key.forwardedNetwork;
  if (!outlet_.upcall(std::move(upcall))) return false;
  ++ofListener;
  entry.askedUntil = loop_.now() + timeout_;
  pending_.pushBack(entry);
  if (!armed()) arm(loop_, timeout_);
  return true;
}

void Upcalls::settle(CacheEntry& entry) {
  pending_.remove(entry);
  const auto found = ofListener_.find(entry.key.listener);
  CHECK(found != ofListener_.end() && found->second > 0);
  if (--found->second == 0) ofListener_.erase(found);
}

void Upcalls::onTimer() {
  const Nanos now = loop_.now();
  while (CacheEntry* oldest = pending_.front()) {
    if (oldest->askedUntil > now) {
      arm(loop_, oldest->askedUntil - now);
      return;
    }
    settle(*oldest);
    observer_.onUpcallTimeout(*oldest);
  }
}

}  // namespace onehop::engine
