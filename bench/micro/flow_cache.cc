#include <string>
#include <vector>

#include "case.h"
#include "engine/flow_cache.h"

namespace onehop::micro {
namespace {

using engine::CacheEntry;
using engine::CacheObserver;
using engine::FlowCache;
using engine::FlowKeyView;

constexpr uint32_t kKeysMax = 65'536;  // as many authorities as two bytes of an address make

// Looks up keys that are all there, in an order that jumps about, as flows come. They are those of
// inbound HBONE, with identity and authority.
class Hit final : public Case, CacheObserver {
 public:
  explicit Hit(uint32_t keys) : cache_(keys, *this) {
    for (uint32_t i = 0; i < keys; ++i) {
      identities_.push_back("spiffe://cluster.local/ns/shop/sa/app-" + std::to_string(i % 512));
      authorities_.push_back("10.244." + std::to_string(i >> 8 & 255) + "." +
                             std::to_string(i & 255) + ":8080");
    }
    for (uint32_t i = 0; i < keys; ++i) {
      CacheEntry* entry = cache_.insert(view(i));
      CHECK(entry != nullptr);
      entry->verdict = std::make_unique<engine::CompiledVerdict>();
      cache_.settle(*entry);  // decided and idle: a hit moves it to the end of the queue
    }
  }
  int64_t run(uint32_t count) override {
    const auto keys = static_cast<uint32_t>(identities_.size());
    const int64_t begin = nowNanos();
    for (uint32_t i = 0; i < count; ++i) {
      state_ = state_ * 1664525u + 1013904223u;
      const auto index = static_cast<uint32_t>(uint64_t{state_} * keys >> 32);
      CHECK(cache_.find(view(index)) != nullptr);
    }
    return nowNanos() - begin;
  }

 private:
  void onEvicted(const CacheEntry&) override {}
  FlowKeyView view(uint32_t index) const {
    FlowKeyView key;
    key.listener = 1;
    key.destination = destination_;
    key.sourceIp = destination_.ip;
    key.peerIdentity = identities_[index];
    key.authority = authorities_[index];
    return key;
  }

  const SocketAddress destination_ = *SocketAddress::parse("10.0.0.1:15008");
  FlowCache cache_;
  std::vector<std::string> identities_;
  std::vector<std::string> authorities_;
  uint32_t state_ = 1;
};

}  // namespace

std::unique_ptr<Case> makeFlowCacheCase(std::string_view name, uint32_t size) {
  if (name != "flow-cache-hit" || size < 1 || size > kKeysMax) return nullptr;
  return std::make_unique<Hit>(size);
}

}  // namespace onehop::micro
