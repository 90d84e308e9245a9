#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/contract.h"

namespace onehop::engine {

// Chosen by the caller of an asynchronous call; comes back once, in a Batch.
using RequestId = uint64_t;

struct DialOutcome {
  RequestId request = 0;
  std::optional<Error> error;  // empty: connected
  int fd = -1;                 // ours to close, when connected
  std::string peerIdentity;
  uint32_t shard = 0;          // with `flow`: names the flow in its summary
  HandleValue flow = 0;
};
struct FlowsOutcome {
  RequestId request = 0;
  std::vector<FlowFacts> flows;  // of all shards
};
struct TunnelsOutcome {
  RequestId request = 0;
  std::vector<TunnelFacts> tunnels;
};

// Everything that happened since the last takeBatch(): the events, and answers to requests.
struct Batch {
  EventBatch events;
  std::vector<DialOutcome> dials;
  std::vector<FlowsOutcome> flows;
  std::vector<TunnelsOutcome> tunnels;
  std::vector<RequestId> drained;
  bool empty() const {
    return events.empty() && dials.empty() && flows.empty() && tunnels.empty() && drained.empty();
  }
};

// Called on a shard's thread, or inside an Engine call, when a batch became non-empty: once until the
// next takeBatch(). It must only post to another thread; it must not call the Engine.
class EngineObserver {
 public:
  virtual void onBatchReady() = 0;

 protected:
  ~EngineObserver() = default;
};

// The whole native engine. Every method may be called from any thread, but by one thread at a time (the
// JavaScript thread); none blocks longer than a bind, a PEM parse or a join. After stop() the calls
// that can fail do, with CloseReason::localClosed, and the others do nothing.
class Engine {
 public:
  // Errors: an option out of its bounds (contract.ts), or no threads or descriptors left.
  static Result<std::unique_ptr<Engine>> start(const EngineOptions& options,
                                               EngineObserver& observer);
  ~Engine();  // stop()
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Result<CredentialInfo> putCredential(HandleValue handle, const CredentialSpec& spec);
  Status removeCredential(HandleValue handle);
  // Bound on every shard when it returns.
  Result<Listening> listen(const ListenSpec& spec);
  Status closeListener(HandleValue handle, bool flows);
  // A verdict with an unusable endpoint (bad address, unknown shard, hbone without peers or
  // credential, no endpoint, weight 0, slot out of range) fails the call before any is applied.
  Status answer(std::vector<Verdict> verdicts);
  Status purgePool(const std::string& dial);
  Status dial(RequestId request, const DialSpec& spec);
  Status flows(RequestId request);
  Status tunnels(RequestId request);
  Status closeFlow(uint32_t shard, HandleValue flow);
  Status drain(RequestId request, uint32_t deadlineMs);
  // Whether flows that end with `complete` get a summary; true at the start. Takes effect at once.
  void summarizeComplete(bool on);
  // Gives memory of this process that is free back to the system. Milliseconds; for the quiet after a
  // burst, such as starting.
  void trim();
  // Joins the shards. Requests still open are answered in a last batch. Idempotent.
  void stop();

  // Moves out what is there; empty when nothing is. Works after stop() for the last batch.
  Batch takeBatch();

  // Written by the shards with relaxed atomics, valid until the Engine is destroyed:
  // [shards][counterSlots][kCounterCells] and [shards][kEngineCells].
  std::span<uint64_t> counters();
  std::span<uint64_t> engineCounters();

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace onehop::engine
