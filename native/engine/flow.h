#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/handle_map.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/flow_cache.h"
#include "engine/recorder.h"
#include "engine/socks5.h"
#include "hbone/pool.h"
#include "hbone/server.h"
#include "io/dial.h"
#include "io/relay.h"

namespace onehop::engine {

class Shard;
class ShardListener;

// One flow from accept to summary: waits for its verdict, dials, relays, ends. Owned by its shard.
//
//   negotiating -> parked -> dialling -> relaying -> over
//
// Any state may go to `over`; `negotiating` is SOCKS5's; a cached key skips `parked`.
class Flow final : public io::Retirable,
                   public EntryFlow,
                   private io::RelayEvents,
                   private io::DialEvents,
                   private io::StreamObserver,
                   private hbone::TunnelWaiter {
 public:
  // Endpoints tried before the flow gives up.
  static constexpr size_t kTriesMax = 3;
  // A SOCKS5 client has so long for its request.
  static constexpr Nanos kNegotiation = 10 * kSecond;

  // `listener` is null for a dial of the embedding program.
  Flow(Shard& shard, ShardListener* listener, const SocketAddress& source);
  ~Flow() override;

  // One of these begins it. Each may end the flow before it returns.
  void startSocket(std::unique_ptr<io::TcpStream> downstream, const SocketAddress& destination);
  void startSocks(std::unique_ptr<io::TcpStream> downstream);
  void startConnect(hbone::ServerConnection& connection, const hbone::IncomingConnect& request);
  void startDial(RequestId request, std::unique_ptr<CompiledVerdict> verdict,
                 const io::NetContext& context, io::Fd netns);

  // The entry has its verdict: go on.
  void onVerdict();
  // A newer verdict keeps the flow.
  void onRevalidated() { note(FlowEventName::revalidated); }
  // The HBONE peer gave the request up.
  void onConnectGone(CloseReason reason);
  void end(CloseReason reason, Side side, int code, std::string detail = {});

  void setHandle(Handle handle) { handle_ = handle; }
  Handle handle() const { return handle_; }
  CacheEntry* entry() const { return entry_; }
  ShardListener* listener() const { return listener_; }
  bool parked() const { return state_ == State::parked; }
  FlowFacts facts() const;

 private:
  enum class State : uint8_t { negotiating, parked, dialling, relaying, over };

  // What only a flow that is not relaying yet needs.
  struct Setup final : io::Timer {
    explicit Setup(Flow& owner) : flow(owner) {}
    void onTimer() override;
    Flow& flow;
    std::unique_ptr<io::TcpStream> downstream;
    hbone::ServerConnection* connection = nullptr;
    Handle connectTicket;
    std::unique_ptr<Socks5> socks;
    std::unique_ptr<io::Dial> dial;
    Handle poolTicket;
    std::array<int16_t, kTriesMax> tried{};
    size_t triedCount = 0;
    uint64_t triedGeneration = 0;
    RequestId request = 0;
    bool isDial = false;
    io::Fd given;  // the program's end of a socket pair
    std::unique_ptr<CompiledVerdict> own;
    io::NetContext context;
    io::Fd netns;  // of `context`, open while it may be dialled in
    Error lastError;
    // Read from the downstream ahead of the answer, at most optimisticBytes; kept until it comes.
    std::string early;
    size_t earlySent = 0;
    bool earlyRoom = false;
  };

  // io::RelayEvents.
  void onMoved(bool up, size_t bytes) override;
  void onDirectionEnd(bool up) override;
  void onRelayDone(CloseReason reason, io::RelayEnd end, int code) override;
  // io::DialEvents.
  void onDialled(std::unique_ptr<io::TcpStream> stream) override;
  void onDialFailed(const Error& error) override;
  // hbone::TunnelWaiter.
  void onTunnel(std::unique_ptr<hbone::Tunnel> tunnel, const hbone::TunnelInfo& facts,
                const h2::HeaderList& response) override;
  void onTunnelFailed(const Error& error) override;
  void onEarlyRoom() override;
  // io::StreamObserver: of the downstream until the relay takes it.
  void onReadable() override;
  void onWritable() override {}
  void onStreamFailed(CloseReason reason, int code) override;

  void note(FlowEventName event, int64_t value = 0);
  void lookUp(const FlowKeyView& key, const SocketAddress& local);
  void lookUpSocks();
  const CompiledVerdict& verdict() const;
  void route();
  void tryNext();
  void dialTcp(const CompiledEndpoint& endpoint);
  void dialTunnel(const CompiledEndpoint& endpoint);
  void openLocal(const CompiledEndpoint& endpoint);
  void tryFailed(const Error& error);
  void sendEarly();
  bool passOnEarly(io::ByteStream& upstream);
  Result<io::BindChoice> bindChoice(const CompiledEndpoint& endpoint) const;
  void connected(std::unique_ptr<io::ByteStream> upstream, const std::string& peerIdentity);
  std::unique_ptr<io::ByteStream> openDownstream();
  void answerDownstream(CloseReason reason, int status);
  void count(CloseReason reason);
  void summarize(CloseReason reason, Side side, int code, std::string detail);
  const io::NetContext& context() const;

  Shard& shard_;
  ShardListener* listener_;
  CacheEntry* entry_ = nullptr;
  std::unique_ptr<Setup> setup_;
  std::unique_ptr<io::Relay> relay_;
  LoadShare load_;
  Nanos startedAt_;
  int64_t startedMs_;
  uint64_t bytesUp_ = 0;
  uint64_t bytesDown_ = 0;
  uint64_t generation_ = 0;
  std::array<uint64_t, 2> trace_{};
  Handle handle_;
  SocketAddress source_;
  SocketAddress dialled_;
  uint32_t counters_ = 0;
  int16_t endpoint_ = -1;
  State state_ = State::negotiating;
  bool counted_ = false;   // in `opened` and `active`
  bool isHbone_ = false;
  Recorder recorder_;
};
// With Relay (208), TcpStream (64), Tunnel (160) and h2::Stream (160) an idle flow stays below 1.1 KiB.
static_assert(sizeof(Flow) <= 416);

}  // namespace onehop::engine
