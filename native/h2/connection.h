#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "h2/flood_guard.h"
#include "h2/flow_control.h"
#include "h2/frame.h"
#include "h2/frame_reader.h"
#include "h2/hpack.h"
#include "h2/output.h"
#include "h2/scheduler.h"
#include "h2/stream.h"

namespace onehop::h2 {

enum class Role : uint8_t { client, server };

// Bounds of one connection; what each does when hit is beside it.
struct Limits {
  uint32_t streamsMax = 200;               // peer-opened: REFUSED_STREAM beyond; a client sends none
  bool optimisticConnect = false;          // a server: announce SettingId::optimisticConnect
  uint32_t peerStreamsAssumed = 100;       // our streams before the peer's SETTINGS arrive
  uint32_t headerTableBytes = 0;           // SETTINGS_HEADER_TABLE_SIZE we send
  size_t headerListBytesMax = 65536;       // stream refused; connection dropped at 4x
  size_t headerFieldsMax = 128;            // the same, cookie crumbs and trailers included
  size_t headerBlockBytesMax = 32768;      // encoded, counted as frames arrive: connection dropped
  uint32_t continuationsMax = 8;           // connection dropped
  size_t controlBytesMax = 256 * 1024;     // queued frames the peer does not read: connection dropped
  WindowLimits windows;
  FloodLimits floods;
  Nanos settingsTimeout = 10 * kSecond;    // preface, first SETTINGS and the SETTINGS ACK
  Nanos headerBlockTimeout = 5 * kSecond;  // an unfinished header block: connection dropped
  // Bytes wait, and the peer keeps a window shut, or opens it by crumbs: for one to two of these. The
  // connection's window: connection dropped. A stream's: reset; but a tunnel may stand still for ever,
  // as its bytes wait in the socket that they come from.
  Nanos stallTimeout = 60 * kSecond;
  Nanos drainTimeout = kSecond;  // for the PING between the two GOAWAYs: the second is sent without it
};

struct PeerSettings {
  uint32_t headerTableBytes = 4096;
  uint32_t streamsMax = 0;  // 0xffffffff when the peer sets no limit
  uint32_t initialWindow = kWindowDefault;
  uint32_t frameBytesMax = kFrameSizeDefault;
  uint32_t headerListBytesMax = 0xffffffff;
  bool optimisticConnect = false;
};

struct StreamClose {
  CloseReason reason = CloseReason::complete;  // complete, downstreamReset/upstreamReset, goaway, h2*
  ErrorCode code = ErrorCode::noError;
  bool byPeer = false;
  bool retrySafe = false;  // the peer has not acted on the request (REFUSED_STREAM, GOAWAY)
};

// What the peer did. Called from feed(), produce() and onTimer() only. A callback may call any method
// of the connection but feed, produce and onTimer, and must not destroy it (retire it instead).
class ConnectionEvents {
 public:
  // Server: a valid request, CONNECT or not. Client: the response (1xx included). Later: trailers.
  // `fields` is gone after the call; `end` says that the peer's direction is over.
  virtual void onHeaders(Stream& stream, const HeaderList& fields, bool end) = 0;
  // The payload lies in the bytes that were fed. `end` may come with no bytes. Call consumed() for all
  // of it, now or later.
  virtual void onData(Stream& stream, ByteSpan payload, bool end) = 0;
  // The last call for this stream: both directions over, or reset by the peer, or by us for the peer's
  // error, or lost with the connection. Not called for what resetStream or a failed pull closes.
  virtual void onStreamClosed(Stream& stream, const StreamClose& close) = 0;
  // The peer's SETTINGS arrived (the first time, and after each change): limits may have moved.
  virtual void onSettings(const PeerSettings& settings) = 0;
  // The peer wants no more new streams; those above lastStreamId were closed (retry safe) before.
  virtual void onGoaway(ErrorCode code, uint32_t lastStreamId) = 0;
  virtual void onPingAck(Nanos roundTrip) = 0;
  // The connection is over; our GOAWAY waits in produce(), then close. Streams are closed before. Once.
  virtual void onConnectionError(const Error& error) = 0;

 protected:
  ~ConnectionEvents() = default;
};

// HTTP/2, RFC 9113, as bytes in and bytes out. Owns its streams.
class Connection {
 public:
  // `ledger` is the shard's cap on received, unconsumed bytes; null for none. All outlive it.
  Connection(Role role, const Limits& limits, ConnectionEvents& events, WindowLedger* ledger = nullptr);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // Queues preface and SETTINGS. First call.
  void start(Nanos now);
  // Takes all of `bytes`. After an error everything is dropped and the same error returned.
  Status feed(ByteSpan bytes, Nanos now);
  // Writes at most about `budget` bytes: control frames, then streams. Returns what was written.
  size_t produce(Output& output, size_t budget, Nanos now);
  // Something to write that produce() could write now.
  bool wantsProduce() const;
  // Deadlines of the peer's and bounded waits. Call at nextDeadline() (0: none).
  void onTimer(Nanos now);
  Nanos nextDeadline() const;

  // Client. Null when canOpen() is false. The source is pulled when sourceReady() said so; null with
  // `end` for a request without payload.
  Stream* openStream(const HeaderList& fields, DataSource* source, void* user, bool end = false);
  // Within the peer's limit, no GOAWAY, ids left.
  bool canOpen() const;
  // Our streams that may be open at once: the peer's limit.
  uint32_t streamsAllowed() const { return streamsAllowed_; }

  // Server. With `end` and the request unfinished, RST_STREAM(NO_ERROR) follows (RFC 9113 8.1); with
  // `end` and the request finished the stream is complete; either way the reference is dead.
  void respond(Stream& stream, const HeaderList& fields, bool end);
  // Either side: fields after the last payload; END_STREAM. The source is not pulled any more. The
  // reference is dead when the peer had ended.
  void sendTrailers(Stream& stream, const HeaderList& fields);
  void setSource(Stream& stream, DataSource* source) { stream.source_ = source; }
  // The source has bytes or its end: edge, cheap to repeat.
  void sourceReady(Stream& stream);
  // Closes the stream without an event: the reference is dead.
  void resetStream(Stream& stream, ErrorCode code);
  // The owner has passed `bytes` of onData's payload on: stream credit goes back.
  void consumed(Stream& stream, size_t bytes);

  // Opaque PING; onPingAck follows. At most one of ours is in flight: false when one is.
  bool ping(Nanos now);
  // The peer opens no more streams, the open ones go on. A server announces it first, and names the
  // last stream when a PING came back: what the peer opens until then is served (RFC 9113 6.8).
  void shutdownGraceful();
  // After shutdownGraceful(): the last stream is named and no stream is left. Close when nothing
  // waits in produce() any more.
  bool drained() const { return drain_ == Drain::named && streams_.empty(); }
  // Ends the connection with `code`; streams are closed with events, onConnectionError is not called.
  void goaway(ErrorCode code, CloseReason reason = CloseReason::localClosed);
  // The transport is gone: closes all streams with events, writes nothing more. Idempotent.
  void abort(CloseReason reason);

  // A peer-opened stream that was closed while its dial is not yet cancelled keeps its slot (rapid
  // reset): hold in onStreamClosed, release when the work is over.
  void holdSlot() { ++slotsHeld_; }
  void releaseSlot();

  Role role() const { return role_; }
  size_t streamsActive() const { return streams_.size(); }
  bool dead() const { return dead_; }
  bool draining() const { return goawaySent_ || goawayReceived_; }
  bool goawayReceived() const { return goawayReceived_; }
  const PeerSettings& peerSettings() const { return peer_; }
  bool settingsReceived() const { return settingsReceived_; }
  // Progress for liveness: bytes fed, and unacknowledged-by-window bytes cannot be seen here.
  uint64_t bytesReceived() const { return bytesReceived_; }
  size_t queuedBytes() const { return control_.size() - controlHead_; }
  size_t memoryBytes() const;

 private:
  friend class FrameHandler;
  friend class Producer;

  struct ClosedId {
    uint32_t id;
    int32_t window;  // we reset it, and so much DATA may be in flight; or kClosedByPeer
  };
  static constexpr int32_t kClosedByPeer = -1;  // or by both ends
  static constexpr uint64_t kDrainPing = 0x6f6e65686f700000;  // no time: those are far lower
  static constexpr int64_t kStallRelief = 1024;  // a window opened by less counts as shut
  enum class Drain : uint8_t { no, announced, waiting, named };

  Stream* findStream(uint32_t id);
  Stream& addStream(uint32_t id);
  void rememberClosed(uint32_t id, int32_t window);
  ClosedId* findClosed(uint32_t id);
  int32_t windowAtFirst() const;
  bool isPeerId(uint32_t id) const { return (id & 1) == (role_ == Role::server ? 1 : 0); }
  // Takes the stream out; its memory goes when the outermost call returns.
  void drop(Stream& stream, bool byUs);
  void closeWithEvent(Stream& stream, const StreamClose& close, bool byUs);
  void finishIfEnded(Stream& stream, bool silent);
  void failConnection(ErrorCode code, CloseReason reason, const char* detail);
  void closeAll(CloseReason reason, ErrorCode code);
  void bury();

  // Output side: control frames are queued as bytes, window credit as numbers.
  uint8_t* appendControl(size_t bytes);
  void queueFrame(FrameType type, uint8_t flags, uint32_t streamId, ByteSpan payload);
  void queueHeaders(Stream& stream, const HeaderList& fields, bool end);
  void queueReset(uint32_t streamId, ErrorCode code);
  void queueGoaway(ErrorCode code, uint32_t lastStreamId);
  void nameLastStream();
  void sendPing(Nanos now);
  void queueSettings();
  void creditStream(Stream& stream);

  // The stall deadline.
  void noteStarved(Stream& stream);
  void noteRelieved(Stream& stream);
  void watchStall();
  void checkStall();

  struct Scope;  // counts nested calls so that streams are freed at the end of the outermost

  ConnectionEvents& events_;
  const Limits& limits_;
  FrameReader reader_;
  HpackDecoder decoder_;
  HpackEncoder encoder_;
  FloodGuard guard_;
  WindowShares windows_;
  Scheduler scheduler_;
  IntrusiveList<Stream, CreditTag> creditList_;
  std::unordered_map<uint32_t, std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Stream>> buried_;
  std::vector<ClosedId> closedIds_;  // ring, kClosedIdsMax
  std::vector<uint8_t> control_;
  size_t controlHead_ = 0;
  std::vector<uint8_t> headerBlock_;  // only between HEADERS and its last CONTINUATION
  PeerSettings peer_;
  Error error_;
  int64_t sendWindow_ = kWindowDefault;
  uint64_t bytesReceived_ = 0;
  Nanos now_ = 0;
  Nanos settingsDeadline_ = 0;
  Nanos headerDeadline_ = 0;
  Nanos stallDeadline_ = 0;
  Nanos drainDeadline_ = 0;
  Nanos pingSentAt_ = 0;
  uint32_t closedNext_ = 0;
  uint32_t closedForgotten_ = 0;  // the highest id that we reset and closedIds_ lost
  uint32_t starvedStreams_ = 0;
  uint32_t nextStreamId_;
  uint32_t peerStreamIdMax_ = 0;   // highest the peer opened
  uint32_t goawayStreamId_ = kStreamIdMax;  // of our GOAWAY
  uint32_t streamsAllowed_;
  uint32_t slotsHeld_ = 0;
  uint32_t headerStreamId_ = 0;  // != 0: CONTINUATION expected
  uint32_t continuations_ = 0;
  uint32_t depth_ = 0;
  Role role_;
  Drain drain_ = Drain::no;
  uint8_t headerFlags_ = 0;
  uint8_t dataPad_ = 0;
  bool dataPadKnown_ = false;
  bool dataDiscarded_ = false;  // of the DATA frame being read
  bool headerSelfDependent_ = false;
  bool settingsReceived_ = false;
  bool settingsAcked_ = false;
  bool goawaySent_ = false;
  bool goawayReceived_ = false;
  bool dead_ = false;
  bool pingByShares_ = false;  // the PING in flight measures the round trip for windows
  bool pingByOwner_ = false;
  bool starved_ = false;  // the peer keeps the connection's window shut; and was so at the last look
  bool starvedLong_ = false;
};
static_assert(sizeof(Connection) <= 1024);

}  // namespace onehop::h2
