#include "engine/flow_cache.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "engine/upcalls.h"

namespace onehop::engine {
namespace {

struct FlowCacheTest : testing::Test, CacheObserver, EngineObserver, UpcallObserver {
  void onEvicted(const CacheEntry& entry) override {
    evicted.emplace_back(entry.key.view().authority);
  }
  void onBatchReady() override {}
  void onUpcallTimeout(CacheEntry&) override {}

  CacheEntry* insert(const std::string& authority, HandleValue listener = 1) {
    FlowKeyView key;
    key.listener = listener;
    key.authority = authority;
    return cache.insert(key);
  }
  CacheEntry* find(const std::string& authority) {
    FlowKeyView key;
    key.listener = 1;
    key.authority = authority;
    return cache.find(key);
  }
  void decide(CacheEntry& entry) {
    entry.verdict = std::make_unique<CompiledVerdict>();
    cache.settle(entry);
  }

  std::vector<std::string> evicted;
  FlowCache cache{4, *this};
};

TEST_F(FlowCacheTest, TakesThePlaceOfTheLeastRecentlyUsed) {
  for (const char* name : {"a", "b", "c", "d"}) decide(*insert(name));
  EXPECT_NE(find("a"), nullptr);
  decide(*insert("e"));
  EXPECT_EQ(evicted, std::vector<std::string>{"b"});
  EXPECT_EQ(cache.size(), 4u);
  EXPECT_EQ(find("b"), nullptr);
}

TEST_F(FlowCacheTest, EntriesWithFlowsStay) {
  std::deque<EntryFlow> flows(4);
  std::vector<CacheEntry*> entries;
  for (size_t i = 0; i < 4; ++i) {
    entries.push_back(insert(std::to_string(i)));
    decide(*entries.back());
    cache.addFlow(*entries.back(), flows[i]);
  }
  EXPECT_EQ(insert("one too many"), nullptr);
  cache.removeFlow(*entries[2], flows[2]);
  EXPECT_NE(insert("now"), nullptr);
  EXPECT_EQ(evicted, std::vector<std::string>{"2"});
  for (const size_t i : {0, 1, 3}) cache.removeFlow(*entries[i], flows[i]);
}

// As when too many upcalls wait: such entries would fill the cache for ever.
TEST_F(FlowCacheTest, AnEntryThatWasNeverAskedGoesWithItsFlow) {
  EntryFlow flow;
  for (int i = 0; i < 100; ++i) {
    CacheEntry* entry = insert(std::to_string(i));
    ASSERT_NE(entry, nullptr) << i;
    cache.addFlow(*entry, flow);
    cache.removeFlow(*entry, flow);
  }
  EXPECT_EQ(cache.size(), 0u);
}

TEST_F(FlowCacheTest, UpcallsOfOneListenerLeaveRoomForOthers) {
  io::EventLoop loop;
  Outbox outbox(*this);
  Outlet::Untaken untaken;
  Outlet outlet(loop, outbox, untaken);
  Upcalls upcalls(0, loop, outlet, kSecond, *this);
  FlowCache large(65536, *this);
  size_t asked = 0;
  CacheEntry* last = nullptr;
  FlowKeyView key;
  key.listener = 1;
  std::string authority;
  for (; asked < 65536; ++asked) {
    authority = std::to_string(asked);
    key.authority = authority;
    last = large.insert(key);
    if (!upcalls.ask(*last, ListenerKind::hbone, {})) break;
  }
  EXPECT_EQ(asked, Upcalls::kPendingPerListenerMax);
  key.listener = 2;
  EXPECT_TRUE(upcalls.ask(*large.insert(key), ListenerKind::hbone, {}));
  // One settled, one more may be asked.
  key.listener = 1;
  key.authority = "0";
  upcalls.settle(*large.find(key));
  EXPECT_TRUE(upcalls.ask(*last, ListenerKind::hbone, {}));
  upcalls.clear();
  outlet.publish();
}

}  // namespace
}  // namespace onehop::engine
