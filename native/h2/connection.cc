#include "h2/connection.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "h2/connection_scope.h"
#include "h2/message.h"

namespace onehop::h2 {
namespace {

constexpr size_t kClosedIdsMax = 256;
constexpr size_t kControlKeptBytes = 1024;
// What one stream costs in the map beside itself.
constexpr size_t kStreamNodeBytes = 48;

}  // namespace

Connection::Connection(Role role, const Limits& limits, ConnectionEvents& events,
                       WindowLedger* ledger)
    : events_(events),
      limits_(limits),
      reader_(role == Role::server),
      decoder_(4096),
      guard_(limits.floods),
      windows_(limits.windows, ledger),
      nextStreamId_(role == Role::client ? 1 : 2),
      streamsAllowed_(role == Role::client ? limits.peerStreamsAssumed : 0),
      role_(role) {}

Connection::~Connection() {
  CHECK(depth_ == 0);
  while (!streams_.empty()) drop(*streams_.begin()->second, true);
  bury();
}

void Connection::start(Nanos now) {
  CHECK(settingsDeadline_ == 0 && !dead_);
  now_ = now;
  settingsDeadline_ = now + limits_.settingsTimeout;
  if (role_ == Role::client) {
    const ByteSpan preface = asBytes(kClientPreface);
    std::copy(preface.begin(), preface.end(), appendControl(preface.size()));
  }
  queueSettings();
}

void Connection::queueSettings() {
  uint8_t payload[6 * 6];
  size_t size = 0;
  const auto put = [&](SettingId id, uint32_t value) {
    store16(payload + size, static_cast<uint16_t>(id));
    store32(payload + size + 2, value);
    size += 6;
  };
  put(SettingId::headerTableSize, limits_.headerTableBytes);
  if (role_ == Role::client) put(SettingId::enablePush, 0);
  if (role_ == Role::server) put(SettingId::maxConcurrentStreams, limits_.streamsMax);
  if (limits_.optimisticConnect) put(SettingId::optimisticConnect, 1);
  put(SettingId::initialWindowSize, limits_.windows.streamInitial);
  put(SettingId::maxHeaderListSize, static_cast<uint32_t>(limits_.headerListBytesMax));
  CHECK(size <= sizeof(payload));
  queueFrame(FrameType::settings, 0, 0, {payload, size});
}

// Streams.

Stream* Connection::findStream(uint32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

Stream& Connection::addStream(uint32_t id) {
  std::unique_ptr<Stream> owned(new Stream(id));
  Stream& stream = *owned;
  stream.sendWindow_ = peer_.initialWindow;
  stream.receiveWindow_ = windowAtFirst();
  stream.grantRest_ = static_cast<uint16_t>(stream.receiveWindow_ % int64_t{kUnitPayloadMax});
  const bool added = streams_.emplace(id, std::move(owned)).second;
  CHECK(added);
  return stream;
}

// Until our SETTINGS are acknowledged the peer may still go by the default.
int32_t Connection::windowAtFirst() const {
  const auto window = static_cast<int32_t>(limits_.windows.streamInitial);
  return settingsAcked_ ? window : std::max(window, kWindowDefault);
}

void Connection::rememberClosed(uint32_t id, int32_t window) {
  if (closedIds_.size() < kClosedIdsMax) {
    closedIds_.push_back({id, window});
    return;
  }
  ClosedId& oldest = closedIds_[closedNext_];
  if (oldest.window != kClosedByPeer) closedForgotten_ = std::max(closedForgotten_, oldest.id);
  oldest = {id, window};
  closedNext_ = (closedNext_ + 1) % kClosedIdsMax;
}

Connection::ClosedId* Connection::findClosed(uint32_t id) {
  for (ClosedId& closed : closedIds_) {
    if (closed.id == id) return &closed;
  }
  return nullptr;
}

void Connection::drop(Stream& stream, bool byUs) {
  CHECK(!stream.closed_);
  stream.closed_ = true;
  stream.source_ = nullptr;
  scheduler_.remove(stream);
  if (creditList_.contains(stream)) creditList_.remove(stream);
  windows_.forget(stream);
  noteRelieved(stream);
  const int64_t inFlight = stream.remoteEnded_ ? 0 : std::max<int64_t>(stream.receiveWindow_, 0);
  rememberClosed(stream.id_, byUs ? static_cast<int32_t>(inFlight) : kClosedByPeer);
  const auto found = streams_.find(stream.id_);
  CHECK(found != streams_.end());
  buried_.push_back(std::move(found->second));
  streams_.erase(found);
  if (depth_ == 0) bury();
}

void Connection::bury() { buried_.clear(); }

void Connection::closeWithEvent(Stream& stream, const StreamClose& close, bool byUs) {
  Scope scope(*this);
  drop(stream, byUs);
  events_.onStreamClosed(stream, close);
}

void Connection::finishIfEnded(Stream& stream, bool silent) {
  if (stream.closed_ || !stream.localEnded_ || !stream.remoteEnded_) return;
  if (silent) {
    drop(stream, false);
  } else {
    closeWithEvent(stream, {}, false);
  }
}

bool Connection::canOpen() const {
  return role_ == Role::client && !dead_ && !goawayReceived_ && !goawaySent_ &&
         streams_.size() < streamsAllowed_ && nextStreamId_ <= kStreamIdMax;
}

Stream* Connection::openStream(const HeaderList& fields, DataSource* source, void* user, bool end) {
  if (!canOpen()) return nullptr;
  Stream& stream = addStream(nextStreamId_);
  nextStreamId_ += 2;
  stream.user = user;
  stream.source_ = source;
  const std::string_view method = fields.find(":method").value_or("");
  stream.isConnect_ = method == "CONNECT";
  stream.isHead_ = method == "HEAD";
  stream.headersSent_ = true;
  stream.localEnded_ = end;
  queueHeaders(stream, fields, end);
  return &stream;
}

void Connection::respond(Stream& stream, const HeaderList& fields, bool end) {
  if (stream.closed_) return;
  CHECK(role_ == Role::server && !stream.headersSent_);
  const std::string_view status = fields.find(":status").value_or("");
  CHECK(status.size() == 3);
  queueHeaders(stream, fields, end);
  if (status[0] == '1') return;
  stream.headersSent_ = true;
  stream.connected_ = stream.isConnect_ && status[0] == '2';
  guard_.earn(Charge::glitch, kGlitchesPerAnswer);
  if (!end) {
    if (stream.sourceReady_) sourceReady(stream);
    return;
  }
  stream.localEnded_ = true;
  if (!stream.remoteEnded_) queueReset(stream.id_, ErrorCode::noError);
  drop(stream, !stream.remoteEnded_);
}

void Connection::sendTrailers(Stream& stream, const HeaderList& fields) {
  if (stream.closed_) return;
  CHECK(stream.headersSent_ && !stream.localEnded_);
  queueHeaders(stream, fields, true);
  stream.localEnded_ = true;
  stream.source_ = nullptr;
  scheduler_.remove(stream);
  noteRelieved(stream);
  finishIfEnded(stream, true);
}

void Connection::sourceReady(Stream& stream) {
  if (stream.closed_ || stream.localEnded_ || stream.source_ == nullptr) return;
  stream.sourceReady_ = true;
  if (!stream.headersSent_) return;
  if (stream.sendWindow_ > 0) {
    scheduler_.add(stream);
  } else {
    noteStarved(stream);
  }
}

void Connection::resetStream(Stream& stream, ErrorCode code) {
  if (stream.closed_) return;
  if (!dead_) queueReset(stream.id_, code);
  drop(stream, true);
}

void Connection::consumed(Stream& stream, size_t bytes) {
  if (stream.closed_) return;
  windows_.release(stream, bytes);
  creditStream(stream);
}

void Connection::creditStream(Stream& stream) {
  if (stream.remoteEnded_) return;
  const uint32_t credit = windows_.streamCredit(stream);
  stream.creditDue_ += credit;
  stream.grantRest_ = static_cast<uint16_t>((stream.grantRest_ + credit) % kUnitPayloadMax);
  if (stream.creditDue_ > 0 && !creditList_.contains(stream)) creditList_.pushBack(stream);
}

void Connection::releaseSlot() {
  CHECK(slotsHeld_ > 0);
  --slotsHeld_;
}

// Connection life.

void Connection::sendPing(Nanos now) {
  CHECK(pingSentAt_ == 0);
  pingSentAt_ = std::max<Nanos>(now, 1);
  uint8_t payload[8];
  store64(payload, static_cast<uint64_t>(pingSentAt_));
  queueFrame(FrameType::ping, 0, 0, payload);
}

bool Connection::ping(Nanos now) {
  if (dead_ || pingByOwner_) return false;
  pingByOwner_ = true;
  if (pingSentAt_ == 0) sendPing(now);  // else it rides on the one in flight
  return true;
}

void Connection::shutdownGraceful() {
  if (dead_ || goawaySent_) return;
  if (role_ == Role::client) return nameLastStream();  // the peer opens none anyway
  drain_ = Drain::announced;
  queueGoaway(ErrorCode::noError, kStreamIdMax);
  uint8_t payload[8];
  store64(payload, kDrainPing);
  queueFrame(FrameType::ping, 0, 0, payload);
}

void Connection::nameLastStream() {
  drain_ = Drain::named;
  drainDeadline_ = 0;
  queueGoaway(ErrorCode::noError, peerStreamIdMax_);
}

void Connection::goaway(ErrorCode code, CloseReason reason) {
  if (dead_) return;
  queueGoaway(code, peerStreamIdMax_);
  error_ = makeError(reason, "closed by us", static_cast<int>(code));
  closeAll(reason, code);
}

void Connection::abort(CloseReason reason) {
  if (dead_) return;
  error_ = makeError(reason, "transport gone");
  closeAll(reason, ErrorCode::noError);
  control_.clear();
  controlHead_ = 0;
}

void Connection::failConnection(ErrorCode code, CloseReason reason, const char* detail) {
  if (dead_) return;
  Scope scope(*this);
  queueGoaway(code, peerStreamIdMax_);
  const Side side = role_ == Role::server ? Side::downstream : Side::upstream;
  error_ = makeError(reason, detail, static_cast<int>(code), side);
  closeAll(reason, code);
  events_.onConnectionError(error_);
}

void Connection::closeAll(CloseReason reason, ErrorCode code) {
  Scope scope(*this);
  dead_ = true;
  settingsDeadline_ = headerDeadline_ = stallDeadline_ = drainDeadline_ = 0;
  std::vector<uint8_t>().swap(headerBlock_);
  while (!streams_.empty()) {
    closeWithEvent(*streams_.begin()->second, {reason, code, false, false}, true);
  }
}

void Connection::onTimer(Nanos now) {
  if (dead_) return;
  Scope scope(*this);
  now_ = now;
  if (settingsDeadline_ != 0 && now >= settingsDeadline_) {
    failConnection(ErrorCode::settingsTimeout, CloseReason::h2Timeout, "no SETTINGS or ACK in time");
  } else if (headerDeadline_ != 0 && now >= headerDeadline_) {
    failConnection(ErrorCode::enhanceYourCalm, CloseReason::h2Flood, "unfinished header block");
  } else {
    if (drainDeadline_ != 0 && now >= drainDeadline_) nameLastStream();
    if (stallDeadline_ != 0 && now >= stallDeadline_) checkStall();
  }
}

Nanos Connection::nextDeadline() const {
  Nanos next = 0;
  for (const Nanos at : {settingsDeadline_, headerDeadline_, drainDeadline_, stallDeadline_}) {
    if (at != 0 && (next == 0 || at < next)) next = at;
  }
  return next;
}

// The stall deadline. Crumbs do not count as an open window: a byte now and then would pin a stream.

void Connection::noteStarved(Stream& stream) {
  if (stream.starved_ || stream.isConnect_) return;
  stream.starved_ = true;
  stream.starvedLong_ = false;
  ++starvedStreams_;
}

void Connection::noteRelieved(Stream& stream) {
  if (!stream.starved_) return;
  stream.starved_ = false;
  --starvedStreams_;
}

void Connection::watchStall() {
  if (!starved_) {
    starved_ = sendWindow_ <= 0 && !scheduler_.empty();
    starvedLong_ = false;
  } else if (sendWindow_ >= kStallRelief || (sendWindow_ > 0 && scheduler_.empty())) {
    starved_ = false;
  }
  if (!starved_ && starvedStreams_ == 0) {
    stallDeadline_ = 0;
  } else if (stallDeadline_ == 0) {
    stallDeadline_ = now_ + limits_.stallTimeout;
  }
}

void Connection::checkStall() {
  stallDeadline_ = 0;
  if (starved_ && std::exchange(starvedLong_, true)) {
    return failConnection(ErrorCode::enhanceYourCalm, CloseReason::peerGone, "window stays shut");
  }
  std::vector<uint32_t> stuck;
  for (const auto& entry : streams_) {
    Stream& stream = *entry.second;
    if (!stream.starved_) continue;
    if (stream.starvedLong_) stuck.push_back(entry.first);
    stream.starvedLong_ = true;
  }
  for (const uint32_t id : stuck) {
    Stream* stream = findStream(id);
    if (stream == nullptr) continue;
    queueReset(id, ErrorCode::cancel);
    closeWithEvent(*stream, {CloseReason::peerGone, ErrorCode::cancel, false, false}, true);
  }
  if (!dead_) watchStall();
}

size_t Connection::memoryBytes() const {
  return sizeof(*this) + reader_.memoryBytes() + control_.capacity() + headerBlock_.capacity() +
         closedIds_.capacity() * sizeof(ClosedId) + buried_.capacity() * sizeof(Stream*) +
         streams_.size() * (sizeof(Stream) + kStreamNodeBytes) +
         streams_.bucket_count() * sizeof(void*) + decoder_.memoryBytes();
}

// The control queue.

uint8_t* Connection::appendControl(size_t bytes) {
  if (controlHead_ == control_.size()) {
    control_.clear();
    controlHead_ = 0;
    if (control_.capacity() > kControlKeptBytes) std::vector<uint8_t>().swap(control_);
  } else if (controlHead_ > control_.size() / 2) {
    control_.erase(control_.begin(), control_.begin() + static_cast<ptrdiff_t>(controlHead_));
    controlHead_ = 0;
  }
  control_.resize(control_.size() + bytes);
  return control_.data() + control_.size() - bytes;
}

void Connection::queueFrame(FrameType type, uint8_t flags, uint32_t streamId, ByteSpan payload) {
  if (dead_) return;
  uint8_t* frame = appendControl(kFrameHeaderBytes + payload.size());
  storeFrameHeader(frame, payload.size(), type, flags, streamId);
  std::copy(payload.begin(), payload.end(), frame + kFrameHeaderBytes);
}

void Connection::queueHeaders(Stream& stream, const HeaderList& fields, bool end) {
  if (dead_) return;
  std::vector<uint8_t> block;
  block.reserve(256);
  encoder_.encode(fields, block);
  FrameType type = FrameType::headers;
  ByteSpan left(block);
  do {
    const ByteSpan part = left.first(std::min<size_t>(left.size(), kFrameSizeDefault));
    left = left.subspan(part.size());
    uint8_t flags = left.empty() ? kFlagEndHeaders : 0;
    if (type == FrameType::headers && end) flags |= kFlagEndStream;
    queueFrame(type, flags, stream.id_, part);
    type = FrameType::continuation;
  } while (!left.empty());
}

void Connection::queueReset(uint32_t streamId, ErrorCode code) {
  uint8_t payload[4];
  store32(payload, static_cast<uint32_t>(code));
  queueFrame(FrameType::rstStream, 0, streamId, payload);
}

void Connection::queueGoaway(ErrorCode code, uint32_t lastStreamId) {
  goawayStreamId_ = std::min(goawayStreamId_, lastStreamId);  // never raised, RFC 9113 6.8
  goawaySent_ = true;
  uint8_t payload[8];
  store32(payload, goawayStreamId_);
  store32(payload + 4, static_cast<uint32_t>(code));
  queueFrame(FrameType::goaway, 0, 0, payload);
}

}  // namespace onehop::h2
