#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "engine/contract.h"
#include "h2/hpack.h"

namespace onehop::engine {

// xoshiro256**: picks endpoints and makes trace ids; nothing secret depends on it.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t next();
  // 0 .. bound-1; bound > 0.
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_[4];
};

// Flows in progress to one dial target, shared by every verdict of the shard that names it.
struct LoadSlot {
  const std::string* target = nullptr;  // its key in the table
  uint32_t flows = 0;
  uint32_t users = 0;  // compiled endpoints and flows that point here
};

class LoadTable {
 public:
  LoadTable() = default;
  LoadTable(const LoadTable&) = delete;
  LoadTable& operator=(const LoadTable&) = delete;

  LoadSlot& acquire(const std::string& target);
  void acquire(LoadSlot& slot) { ++slot.users; }
  void release(LoadSlot& slot);
  size_t size() const { return slots_.size(); }

 private:
  std::unordered_map<std::string, std::unique_ptr<LoadSlot>> slots_;
};

// A hold on a slot that keeps it alive.
class LoadShare {
 public:
  LoadShare() = default;
  LoadShare(LoadTable& table, const std::string& target)
      : table_(&table), slot_(&table.acquire(target)) {}
  LoadShare(LoadShare&& other) noexcept { *this = std::move(other); }
  LoadShare& operator=(LoadShare&& other) noexcept;
  LoadShare(const LoadShare&) = delete;
  LoadShare& operator=(const LoadShare&) = delete;
  ~LoadShare() { release(); }
  LoadShare another() const;
  LoadSlot* slot() const { return slot_; }
  void release();

 private:
  LoadTable* table_ = nullptr;
  LoadSlot* slot_ = nullptr;
};

enum class BindKind : uint8_t { kernel, downstream, address };

// An Endpoint, checked and with its texts parsed.
struct CompiledEndpoint {
  EndpointProtocol protocol = EndpointProtocol::tcp;
  BindKind bind = BindKind::kernel;
  SocketAddress dial;
  IpAddress bindIp;
  HandleValue credential = 0;
  uint32_t weight = 1;
  uint32_t counters = 0;
  std::string authority;
  std::vector<std::string> peers;  // sorted, so that equal sets pool together
  HeaderPairs headers;
  std::string forwardedHost;
  LoadShare load;  // taken when the shard adopts the verdict

  // Errors name the field; they are CloseReason::badRequest.
  static Result<CompiledEndpoint> compile(const Endpoint& endpoint, uint32_t counterSlots);
  std::string loadTarget() const;
};

// A Verdict as the shard holds it: one per flow-cache entry, replaced as a whole.
class CompiledVerdict {
 public:
  static Result<std::unique_ptr<CompiledVerdict>> compile(Verdict&& verdict,
                                                          uint32_t counterSlots);
  void adopt(LoadTable& loads);

  HandleValue key = 0;
  uint64_t generation = 0;
  bool allow = false;
  CloseReason reason = CloseReason::denied;
  LiveFlows live = LiveFlows::keep;
  uint16_t status = 0;
  uint32_t counters = 0;
  std::vector<CompiledEndpoint> endpoints;
  h2::HeaderList responseHeaders;  // without :status

  // An index into endpoints, -1 when all are in `tried`. By weight while the loads are equal, else
  // the one with the least flows per weight: among all when few, of two drawn by weight when many.
  int pick(Random& random, const int16_t* tried, size_t triedCount) const;

 private:
  size_t draw(Random& random) const;
  std::vector<uint64_t> weightSums_;
};

}  // namespace onehop::engine
