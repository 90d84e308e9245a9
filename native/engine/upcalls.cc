#include "engine/upcalls.h"

namespace onehop::engine {

bool Upcalls::ask(CacheEntry& entry, ListenerKind kind, const SocketAddress& local) {
  CHECK(!entry.decided() && !waits(entry));
  if (pending_.size() >= kPendingMax) return false;
  const FlowKeyView key = entry.key.view();
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
  entry.askedUntil = loop_.now() + timeout_;
  pending_.pushBack(entry);
  if (!armed()) arm(loop_, timeout_);
  return true;
}

void Upcalls::onTimer() {
  const Nanos now = loop_.now();
  while (CacheEntry* oldest = pending_.front()) {
    if (oldest->askedUntil > now) {
      arm(loop_, oldest->askedUntil - now);
      return;
    }
    pending_.remove(*oldest);
    observer_.onUpcallTimeout(*oldest);
  }
}

}  // namespace onehop::engine
