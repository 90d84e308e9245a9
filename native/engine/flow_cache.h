#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/address.h"
#include "base/clock.h"
#include "base/handle_map.h"
#include "base/intrusive_list.h"
#include "engine/contract.h"
#include "engine/verdict.h"

namespace onehop::engine {

// What decides about a flow; equal keys share one verdict. Views: for looking up.
struct FlowKeyView {
  HandleValue listener = 0;
  SocketAddress destination;
  IpAddress sourceIp;
  std::string_view peerIdentity;
  std::string_view authority;
  std::string_view forwardedHost;
  std::string_view forwardedNetwork;
  bool operator==(const FlowKeyView&) const = default;
  size_t hash() const;
};

struct FlowKey {
  explicit FlowKey(const FlowKeyView& view);
  FlowKeyView view() const;

  HandleValue listener;
  SocketAddress destination;
  IpAddress sourceIp;
  // One allocation for the four texts, laid end to end.
  std::string texts;
  uint16_t identityEnd;
  uint16_t authorityEnd;
  uint16_t hostEnd;
};
static_assert(sizeof(FlowKey) <= 112);

struct EntryTag {};
struct LruTag {};
struct PendingTag {};

// What an entry knows of a flow: its place in one of the entry's two lists.
class EntryFlow : public ListLink<EntryTag> {};
using EntryFlows = IntrusiveList<EntryFlow, EntryTag>;

struct CacheEntry : ListLink<LruTag>, ListLink<PendingTag> {
  explicit CacheEntry(const FlowKeyView& view) : key(view) {}
  bool decided() const { return verdict != nullptr; }
  bool idle() const { return live.empty() && parked.empty(); }

  FlowKey key;
  Handle handle;
  std::unique_ptr<CompiledVerdict> verdict;
  Nanos askedUntil = 0;  // deadline of the outstanding upcall
  EntryFlows live;       // decided flows: dialling or relaying
  EntryFlows parked;     // waiting for the verdict
  bool removed = false;  // its listener is closed: goes with its last flow
};
static_assert(sizeof(CacheEntry) <= 320);

class CacheObserver {
 public:
  virtual void onEvicted(const CacheEntry& entry) = 0;

 protected:
  ~CacheObserver() = default;
};

// Flow key -> verdict. Bounded: a new key takes the place of the least recently used entry without
// flows; when every entry has flows there is no room.
class FlowCache {
 public:
  FlowCache(size_t entriesMax, CacheObserver& observer)
      : entriesMax_(entriesMax), observer_(observer) {}
  FlowCache(const FlowCache&) = delete;
  FlowCache& operator=(const FlowCache&) = delete;
  ~FlowCache();

  CacheEntry* find(const FlowKeyView& key);
  CacheEntry* find(HandleValue handle);
  // Null when full of entries in use. The key must not be there.
  CacheEntry* insert(const FlowKeyView& key);
  // An entry without parked flows and upcall is idle once its last flow has gone.
  void addFlow(CacheEntry& entry, EntryFlow& flow);    // to live or, undecided, to parked
  void unpark(CacheEntry& entry, EntryFlow& flow);     // parked -> live
  // Evicts the entry with its last flow when it is `removed`, or undecided and not asked about.
  void removeFlow(CacheEntry& entry, EntryFlow& flow);
  // After its verdict came, or its upcall was given up: an idle entry may be evicted from now on.
  void settle(CacheEntry& entry);
  // Evicts; it must be idle.
  void remove(CacheEntry& entry);
  // Closes the keys of a listener: idle entries go now, the others with their last flow.
  void removeListener(HandleValue listener);
  size_t size() const { return entries_.size(); }

  template <typename F>
  void forEach(F&& visit) {
    for (const auto& entry : entries_) visit(*entry);
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(const FlowKeyView& key) const { return key.hash(); }
    size_t operator()(const std::unique_ptr<CacheEntry>& entry) const {
      return entry->key.view().hash();
    }
  };
  struct Equal {
    using is_transparent = void;
    using Owned = std::unique_ptr<CacheEntry>;
    bool operator()(const Owned& a, const Owned& b) const { return a == b; }
    bool operator()(const Owned& a, const FlowKeyView& b) const { return a->key.view() == b; }
    bool operator()(const FlowKeyView& a, const Owned& b) const { return a == b->key.view(); }
  };

  size_t entriesMax_;
  CacheObserver& observer_;
  std::unordered_set<std::unique_ptr<CacheEntry>, Hash, Equal> entries_;
  HandleMap<CacheEntry*> handles_;
  IntrusiveList<CacheEntry, LruTag> lru_;  // idle and decided entries, oldest use first
};

}  // namespace onehop::engine
