#include <algorithm>

#include "base/check.h"
#include "h2/connection_scope.h"
#include "h2/frame_handler.h"
#include "h2/message.h"

namespace onehop::h2 {

bool FrameHandler::onBlock(uint32_t streamId, uint8_t flags, bool selfDependent, ByteSpan block) {
  c_.headerDeadline_ = 0;
  HeaderList fields;
  const HpackCaps caps{c_.limits_.headerListBytesMax, c_.limits_.headerFieldsMax};
  const HpackOutcome outcome = c_.decoder_.decode(block, caps, fields);
  if (outcome == HpackOutcome::invalid) {
    return fail(ErrorCode::compressionError, "bad header block");
  }
  if (outcome == HpackOutcome::flood) return flood("HPACK bomb");
  const bool end = (flags & kFlagEndStream) != 0;
  if (Stream* stream = c_.findStream(streamId)) {
    if (selfDependent) return streamError(streamId, ErrorCode::protocolError);
    return onMoreHeaders(*stream, end, outcome, fields);
  }
  if (!isIdle(streamId)) return onBlockOfClosed(streamId);
  if (c_.role_ == Role::client || !c_.isPeerId(streamId)) {
    return fail(ErrorCode::protocolError, "HEADERS on an idle stream");
  }
  return onNewRequest(streamId, end, selfDependent, outcome, fields);
}

bool FrameHandler::onBlockOfClosed(uint32_t streamId) {
  const Connection::ClosedId* closed = c_.findClosed(streamId);
  const bool forgotten = closed == nullptr && streamId <= c_.closedForgotten_;
  const bool ours = closed != nullptr && closed->window != Connection::kClosedByPeer;
  if (ours || forgotten) return charge(Charge::glitch, "HEADERS after reset");
  if (closed != nullptr || c_.role_ == Role::client) {
    return fail(ErrorCode::streamClosed, "HEADERS on a closed stream");
  }
  return fail(ErrorCode::protocolError, "stream identifier goes back");
}

bool FrameHandler::onNewRequest(uint32_t streamId, bool end, bool selfDependent,
                                HpackOutcome outcome, const HeaderList& fields) {
  c_.peerStreamIdMax_ = streamId;
  if (c_.goawaySent_ && streamId > c_.goawayStreamId_) {
    return streamError(streamId, ErrorCode::refusedStream);
  }
  if (c_.streams_.size() + c_.slotsHeld_ >= c_.limits_.streamsMax) {
    return streamError(streamId, ErrorCode::refusedStream);
  }
  if (outcome == HpackOutcome::tooLarge) return streamError(streamId, ErrorCode::enhanceYourCalm);
  const MessageFacts facts = inspectMessage(MessageKind::request, fields);
  const bool lengthGood = !end || facts.isConnect || facts.contentLength <= 0;
  if (!facts.valid || selfDependent || !lengthGood) {
    return streamError(streamId, ErrorCode::protocolError);
  }
  Stream& stream = c_.addStream(streamId);
  stream.isConnect_ = facts.isConnect;
  stream.isHead_ = facts.isHead;
  stream.headersSeen_ = true;
  stream.remoteEnded_ = end;
  if (!facts.isConnect) stream.contentLeft_ = facts.contentLength;
  c_.events_.onHeaders(stream, fields, end);
  return alive();
}

bool FrameHandler::onMoreHeaders(Stream& stream, bool end, HpackOutcome outcome,
                                 const HeaderList& fields) {
  if (stream.remoteEnded_) return streamError(stream.id_, ErrorCode::streamClosed);
  if (outcome == HpackOutcome::tooLarge) return streamError(stream.id_, ErrorCode::enhanceYourCalm);
  if (stream.connected_) return streamError(stream.id_, ErrorCode::protocolError);  // RFC 9113 8.5
  if (stream.headersSeen_) return onTrailers(stream, end, fields);
  CHECK(c_.role_ == Role::client);
  const MessageFacts facts = inspectMessage(MessageKind::response, fields);
  const bool interim = facts.status < 200;
  const bool bodiless = stream.isHead_ || facts.status == 204 || facts.status == 304;
  const bool counts = !bodiless && !stream.isConnect_;
  const bool lengthGood = !end || !counts || facts.contentLength <= 0;
  if (!facts.valid || (interim && end) || !lengthGood) {
    return streamError(stream.id_, ErrorCode::protocolError);
  }
  if (interim && !charge(Charge::empty, "interim responses")) return false;
  if (!interim) {
    stream.headersSeen_ = true;
    stream.connected_ = stream.isConnect_ && facts.status < 300;
    stream.remoteEnded_ = end;
    c_.guard_.earn(Charge::glitch, kGlitchesPerAnswer);
    if (counts) stream.contentLeft_ = facts.contentLength;
  }
  c_.events_.onHeaders(stream, fields, end);
  if (end) c_.finishIfEnded(stream, false);
  return alive();
}

bool FrameHandler::onTrailers(Stream& stream, bool end, const HeaderList& fields) {
  const bool lengthGood = stream.contentLeft_ <= 0;
  if (!end || !lengthGood || !inspectMessage(MessageKind::trailers, fields).valid) {
    return streamError(stream.id_, ErrorCode::protocolError);
  }
  stream.remoteEnded_ = true;
  c_.events_.onHeaders(stream, fields, true);
  c_.finishIfEnded(stream, false);
  return alive();
}

// RFC 9113 6.5.

bool FrameHandler::onSettings(const FrameHeader& header, ByteSpan payload) {
  if ((header.flags & kFlagAck) != 0) return onSettingsAck();
  if (!charge(Charge::answered, "SETTINGS flood")) return false;
  if (!c_.settingsReceived_) {
    c_.settingsReceived_ = true;
    c_.peer_.streamsMax = 0xffffffff;
  }
  initialWindow_ = c_.peer_.initialWindow;
  for (; payload.size() >= 6; payload = payload.subspan(6)) {
    if (!applySetting(load16(payload.data()), load32(payload.data() + 2))) return false;
  }
  // Once for all entries: each look goes through all streams.
  if (!applyInitialWindow()) return false;
  if (c_.settingsAcked_) c_.settingsDeadline_ = 0;
  if (c_.role_ == Role::client) c_.streamsAllowed_ = c_.peer_.streamsMax;
  c_.queueFrame(FrameType::settings, kFlagAck, 0, {});
  c_.events_.onSettings(c_.peer_);
  return alive();
}

bool FrameHandler::onSettingsAck() {
  if (c_.settingsAcked_) return charge(Charge::glitch, "stray SETTINGS ACK");
  c_.settingsAcked_ = true;
  c_.windows_.noteRoundTrip(c_.now_ + c_.limits_.settingsTimeout - c_.settingsDeadline_);
  c_.settingsDeadline_ = 0;
  c_.decoder_.setTableLimit(c_.limits_.headerTableBytes);
  return true;
}

bool FrameHandler::applySetting(uint16_t id, uint32_t value) {
  switch (static_cast<SettingId>(id)) {
    case SettingId::headerTableSize:
      c_.peer_.headerTableBytes = value;  // our encoder's table has size 0 whatever it is
      return true;
    case SettingId::enablePush:
      // RFC 9113 6.5.2: 0 or 1 from a client, only 0 from a server.
      if (value > (c_.role_ == Role::server ? 1u : 0u)) {
        return fail(ErrorCode::protocolError, "bad ENABLE_PUSH");
      }
      return true;
    case SettingId::maxConcurrentStreams:
      c_.peer_.streamsMax = value;
      return true;
    case SettingId::initialWindowSize:
      if (value > kWindowMax) return fail(ErrorCode::flowControlError, "initial window too large");
      initialWindow_ = value;
      return true;
    case SettingId::maxFrameSize:
      if (value < kFrameSizeDefault || value > kFrameSizeLimit) {
        return fail(ErrorCode::protocolError, "bad MAX_FRAME_SIZE");
      }
      c_.peer_.frameBytesMax = value;
      return true;
    case SettingId::maxHeaderListSize:
      c_.peer_.headerListBytesMax = value;
      return true;
    case SettingId::optimisticConnect:
      c_.peer_.optimisticConnect = value == 1;
      return true;
  }
  return true;  // unknown: ignored
}

bool FrameHandler::applyInitialWindow() {
  const int64_t delta = static_cast<int64_t>(initialWindow_) - c_.peer_.initialWindow;
  if (delta == 0) return true;
  c_.peer_.initialWindow = initialWindow_;
  for (const auto& entry : c_.streams_) {
    Stream& stream = *entry.second;
    if (stream.sendWindow_ + delta > kWindowMax) {
      return fail(ErrorCode::flowControlError, "stream window overflow");
    }
    stream.sendWindow_ += delta;
    if (stream.sendWindow_ >= Connection::kStallRelief) c_.noteRelieved(stream);
    if (stream.sourceReady_) c_.sourceReady(stream);
  }
  return true;
}

}  // namespace onehop::h2
