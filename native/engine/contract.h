#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/close_reason.h"
#include "base/result.h"

// The native twin of lib/engine/contract.ts: same names, same order, same meaning. The comments that
// explain a field live there; only what differs natively is said here. A test compares the tables when
// the addon loads.

namespace onehop::engine {

inline constexpr uint32_t kContractVersion = 6;

// Packed onehop::Handle, below 2^53; 0 names nothing.
using HandleValue = uint64_t;

#define ONEHOP_LISTENER_KINDS(X) \
  X(hbone, "hbone") X(capture, "capture") X(plaintext, "plaintext") X(socks5, "socks5") \
  X(forward, "forward")

#define ONEHOP_ENDPOINT_PROTOCOLS(X) X(tcp, "tcp") X(hbone, "hbone") X(local, "local")

#define ONEHOP_SIDES(X) \
  X(internal, "internal") X(downstream, "downstream") X(upstream, "upstream")

#define ONEHOP_FLOW_EVENTS(X)                                                                  \
  X(accepted, "accepted") X(upcall, "upcall") X(verdict, "verdict") X(cacheHit, "cache-hit")   \
  X(dial, "dial") X(connected, "connected") X(tunnelReused, "tunnel-reused")                   \
  X(tlsDone, "tls-done") X(connectSent, "connect-sent") X(connectOk, "connect-ok")             \
  X(connectRefused, "connect-refused") X(firstByteUp, "first-byte-up")                         \
  X(firstByteDown, "first-byte-down") X(downstreamFin, "downstream-fin")                       \
  X(upstreamFin, "upstream-fin") X(downstreamReset, "downstream-reset")                        \
  X(upstreamReset, "upstream-reset") X(stalled, "stalled") X(resumed, "resumed")               \
  X(revalidated, "revalidated") X(closed, "closed")

#define ONEHOP_COUNTER_CELLS(X)                                                                \
  X(opened) X(bytesUp) X(bytesDown) X(closed) X(closedDenied) X(closedConnect) X(closedTls)    \
  X(closedH2) X(closedNetworkPolicy) X(closedIdentity) X(active) X(reserved0) X(reserved1)     \
  X(reserved2) X(reserved3) X(reserved4)

#define ONEHOP_ENGINE_CELLS(X)                                                                 \
  X(accepted) X(acceptPauses) X(flowsActive) X(flowsOpened) X(flowsClosed) X(cacheHits)        \
  X(cacheMisses) X(cacheEntries) X(cacheEvictions) X(upcallsSent) X(upcallTimeouts)            \
  X(tunnelsDialled) X(tunnelsReused) X(tunnelsActive) X(tunnelDialFailures)                    \
  X(serverTunnelsActive) X(handshakesOk) X(handshakesFailed) X(handshakesActive)               \
  X(recordsOpened) X(recordsSealed) X(bytesSealed) X(bytesOpened) X(h2FloodCloses)             \
  X(loopPasses) X(loopWakeups) X(buffersLent) X(socketsOpen) X(summariesDropped)               \
  X(spliceBytes) X(keyUpdates) X(reserved)

#define X(name, ...) name,
enum class ListenerKind : uint8_t { ONEHOP_LISTENER_KINDS(X) };
enum class EndpointProtocol : uint8_t { ONEHOP_ENDPOINT_PROTOCOLS(X) };
enum class FlowEventName : uint8_t { ONEHOP_FLOW_EVENTS(X) };
enum class CounterCell : uint8_t { ONEHOP_COUNTER_CELLS(X) };
enum class EngineCell : uint8_t { ONEHOP_ENGINE_CELLS(X) };
#undef X

#define X(name, text) text,
inline constexpr const char* kListenerKindNames[] = {ONEHOP_LISTENER_KINDS(X)};
inline constexpr const char* kEndpointProtocolNames[] = {ONEHOP_ENDPOINT_PROTOCOLS(X)};
inline constexpr const char* kSideNames[] = {ONEHOP_SIDES(X)};
inline constexpr const char* kFlowEventNames[] = {ONEHOP_FLOW_EVENTS(X)};
#undef X
#define X(name) #name,
inline constexpr const char* kCounterCellNames[] = {ONEHOP_COUNTER_CELLS(X)};
inline constexpr const char* kEngineCellNames[] = {ONEHOP_ENGINE_CELLS(X)};
#undef X

// Columns of PackedSummaries, in order.
inline constexpr const char* kSummaryNumbers[] = {
    "shard", "flow", "key", "listener", "kind", "endpoint", "generation", "startedMs", "durationUs",
    "bytesUp", "bytesDown", "reason", "side", "code", "events"};
inline constexpr const char* kSummaryTexts[] = {"source", "destination", "authority", "peerIdentity",
                                                "dialled", "traceId", "detail"};

template <typename T, size_t N>
constexpr size_t countOf(const T (&)[N]) {
  return N;
}
inline constexpr size_t kListenerKindCount = countOf(kListenerKindNames);
inline constexpr size_t kEndpointProtocolCount = countOf(kEndpointProtocolNames);
inline constexpr size_t kSideCount = countOf(kSideNames);
inline constexpr size_t kFlowEventCount = countOf(kFlowEventNames);
inline constexpr size_t kCounterCells = countOf(kCounterCellNames);
inline constexpr size_t kEngineCells = countOf(kEngineCellNames);
static_assert(kCounterCells == 16 && kEngineCells == 32, "two and four cache lines per row");

struct EngineOptions {
  uint32_t shards = 1;
  uint32_t flowCacheMax = 65536;
  uint32_t counterSlots = 4096;
  uint32_t flowsMax = 262144;
  uint32_t streamsPerTunnelMax = 1000;
  uint32_t poolStreamsMax = 1000;
  uint32_t poolIdleMs = 300'000;
  uint32_t poolNegativeMs = 1000;
  uint32_t upcallTimeoutMs = 5000;
  uint32_t dialTimeoutMs = 10'000;
  uint32_t handshakeTimeoutMs = 10'000;
  uint32_t prefaceTimeoutMs = 10'000;
  uint32_t connectTimeoutMs = 15'000;
  uint32_t livenessMs = 30'000;
  uint64_t windowBudgetBytes = 256ull << 20;
  std::string congestion;
  uint32_t spinUs = 0;
  uint32_t spliceAfterBytes = 1 << 20;
  uint32_t optimisticBytes = 4096;
};

struct CredentialSpec {
  std::string chainPem;
  std::string keyPem;
  std::string rootsPem;
};

struct CredentialInfo {
  HandleValue handle = 0;
  std::string identity;
  std::string serial;
  int64_t notBeforeMs = 0;
  int64_t notAfterMs = 0;
};

struct ListenSpec {
  ListenerKind kind = ListenerKind::forward;
  std::string address;
  std::string netns;
  uint32_t mark = 0;
  HandleValue credential = 0;
  bool transparent = false;
  uint32_t backlog = 1024;
};

struct Listening {
  HandleValue handle = 0;
  std::string address;
  bool transparent = false;
};

struct Upcall {
  uint32_t shard = 0;
  HandleValue key = 0;
  HandleValue listener = 0;
  ListenerKind kind = ListenerKind::forward;
  std::string sourceIp;
  std::string destination;
  std::string local;
  std::string authority;
  std::string peerIdentity;
  std::string forwardedHost;
  std::string forwardedNetwork;
};

using HeaderPairs = std::vector<std::pair<std::string, std::string>>;

struct Endpoint {
  EndpointProtocol protocol = EndpointProtocol::tcp;
  std::string dial;
  std::string bind;
  HandleValue credential = 0;
  std::string authority;
  std::vector<std::string> peers;
  HeaderPairs headers;
  std::string forwardedHost;
  uint32_t weight = 1;
  uint32_t counters = 0;
};

enum class LiveFlows : uint8_t { keep, close };

struct Verdict {
  uint32_t shard = 0;
  HandleValue key = 0;
  uint64_t generation = 0;
  bool allow = false;
  CloseReason reason = CloseReason::denied;
  uint16_t status = 0;
  uint32_t counters = 0;
  std::vector<Endpoint> endpoints;
  HeaderPairs responseHeaders;
  LiveFlows live = LiveFlows::keep;
};

struct FlowEvent {
  uint64_t atUs = 0;
  FlowEventName event = FlowEventName::accepted;
  int32_t value = 0;
};

struct FlowFacts {
  uint32_t shard = 0;
  HandleValue flow = 0;
  HandleValue key = 0;
  HandleValue listener = 0;
  ListenerKind kind = ListenerKind::forward;
  std::string source;
  std::string destination;
  std::string authority;
  std::string peerIdentity;
  std::string dialled;
  int32_t endpoint = -1;
  uint64_t generation = 0;
  int64_t startedMs = 0;
  uint64_t durationUs = 0;
  uint64_t bytesUp = 0;
  uint64_t bytesDown = 0;
  std::string traceId;
  std::vector<FlowEvent> events;
};

struct FlowSummary : FlowFacts {
  CloseReason reason = CloseReason::none;
  Side side = Side::internal;
  int32_t code = 0;
  std::string detail;
};

struct Notice {
  uint32_t shard = 0;
  HandleValue listener = 0;
  std::string source;
  CloseReason reason = CloseReason::none;
  int32_t code = 0;
  std::string detail;
};

// Whoever takes the batch owns `fd` and closes it.
struct Delivery {
  uint32_t shard = 0;
  HandleValue key = 0;
  HandleValue flow = 0;
  HandleValue listener = 0;
  int fd = -1;
  std::string source;
  std::string authority;
  std::string peerIdentity;
};

struct Evicted {
  uint32_t shard = 0;
  HandleValue key = 0;
};

struct EventBatch {
  std::vector<Upcall> upcalls;
  std::vector<FlowSummary> summaries;
  std::vector<Notice> notices;
  std::vector<Delivery> deliveries;
  std::vector<Evicted> evicted;
  bool empty() const {
    return upcalls.empty() && summaries.empty() && notices.empty() && deliveries.empty() &&
           evicted.empty();
  }
};

enum class TunnelState : uint8_t { dialling, open, draining };
inline constexpr const char* kTunnelStateNames[] = {"dialling", "open", "draining"};

struct TunnelFacts {
  uint32_t shard = 0;
  std::string dial;
  std::string localIdentity;
  std::string peerIdentity;
  uint32_t streams = 0;
  uint64_t streamsServed = 0;
  uint32_t streamsMax = 0;
  uint64_t ageMs = 0;
  TunnelState state = TunnelState::open;
};

struct DialSpec {
  Endpoint endpoint;
  std::string netns;
  uint32_t mark = 0;
};

}  // namespace onehop::engine
