#include "engine/flow_cache.h"

namespace onehop::engine {

namespace {

size_t mix(size_t seed, size_t value) {
  seed ^= value + 0x9e3779b97f4a7c15u + (seed << 12) + (seed >> 4);
  return seed * 0xff51afd7ed558ccdu;
}

}  // namespace

size_t FlowKeyView::hash() const {
  const std::hash<std::string_view> hashText;
  size_t seed = mix(listener, hashValue(destination));
  seed = mix(seed, hashValue(sourceIp));
  seed = mix(seed, hashText(peerIdentity));
  seed = mix(seed, hashText(authority));
  // Nearly always empty: no need to hash nothing.
  if (!forwardedHost.empty()) seed = mix(seed, hashText(forwardedHost));
  if (!forwardedNetwork.empty()) seed = mix(seed, hashText(forwardedNetwork) + 1);
  return seed ^ seed >> 32;
}

FlowKey::FlowKey(const FlowKeyView& view)
    : listener(view.listener), destination(view.destination), sourceIp(view.sourceIp) {
  const size_t bytes = view.peerIdentity.size() + view.authority.size() +
                       view.forwardedHost.size() + view.forwardedNetwork.size();
  CHECK(bytes <= UINT16_MAX);  // callers bound each text
  texts.reserve(bytes);
  texts += view.peerIdentity;
  identityEnd = static_cast<uint16_t>(texts.size());
  texts += view.authority;
  authorityEnd = static_cast<uint16_t>(texts.size());
  texts += view.forwardedHost;
  hostEnd = static_cast<uint16_t>(texts.size());
  texts += view.forwardedNetwork;
}

FlowKeyView FlowKey::view() const {
  const std::string_view all = texts;
  return {listener,
          destination,
          sourceIp,
          all.substr(0, identityEnd),
          all.substr(identityEnd, authorityEnd - identityEnd),
          all.substr(authorityEnd, hostEnd - authorityEnd),
          all.substr(hostEnd)};
}

FlowCache::~FlowCache() {
  for (const auto& entry : entries_) {
    CHECK(entry->idle());
    if (lru_.contains(*entry)) lru_.remove(*entry);
  }
}

CacheEntry* FlowCache::find(const FlowKeyView& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  CacheEntry& entry = **found;
  if (lru_.contains(entry)) {
    lru_.remove(entry);
    lru_.pushBack(entry);
  }
  return &entry;
}

CacheEntry* FlowCache::find(HandleValue handle) {
  CacheEntry** found = handles_.find(Handle::unpack(handle));
  return found == nullptr ? nullptr : *found;
}

CacheEntry* FlowCache::insert(const FlowKeyView& key) {
  if (entries_.size() >= entriesMax_) {
    CacheEntry* oldest = lru_.front();
    if (oldest == nullptr) return nullptr;
    remove(*oldest);
  }
  auto owned = std::make_unique<CacheEntry>(key);
  CacheEntry* entry = owned.get();
  const bool inserted = entries_.insert(std::move(owned)).second;
  CHECK(inserted);
  entry->handle = handles_.insert(entry);
  return entry;
}

void FlowCache::addFlow(CacheEntry& entry, EntryFlow& flow) {
  if (lru_.contains(entry)) lru_.remove(entry);
  (entry.decided() ? entry.live : entry.parked).pushBack(flow);
}

void FlowCache::unpark(CacheEntry& entry, EntryFlow& flow) {
  CHECK(entry.decided());
  entry.parked.remove(flow);
  entry.live.pushBack(flow);
}

void FlowCache::removeFlow(CacheEntry& entry, EntryFlow& flow) {
  (entry.live.contains(flow) ? entry.live : entry.parked).remove(flow);
  settle(entry);
}

void FlowCache::settle(CacheEntry& entry) {
  if (!entry.idle()) return;
  const bool asked = static_cast<const ListLink<PendingTag>&>(entry).linked();
  // Neither decided nor asked about: nobody could use it, and no verdict would ever make it evictable.
  if (!asked && (entry.removed || !entry.decided())) {
    remove(entry);
  } else if (entry.decided() && !lru_.contains(entry)) {
    lru_.pushBack(entry);
  }
}

void FlowCache::remove(CacheEntry& entry) {
  CHECK(entry.idle() && !static_cast<const ListLink<PendingTag>&>(entry).linked());
  if (lru_.contains(entry)) lru_.remove(entry);
  observer_.onEvicted(entry);
  CHECK(handles_.erase(entry.handle));
  const auto found = entries_.find(entry.key.view());
  CHECK(found != entries_.end());
  entries_.erase(found);
}

void FlowCache::removeListener(HandleValue listener) {
  std::vector<CacheEntry*> gone;
  for (const auto& entry : entries_) {
    if (entry->key.listener != listener) continue;
    entry->removed = true;
    const bool pending = static_cast<const ListLink<PendingTag>&>(*entry).linked();
    if (entry->idle() && !pending) gone.push_back(entry.get());
  }
  for (CacheEntry* entry : gone) remove(*entry);
}

}  // namespace onehop::engine
