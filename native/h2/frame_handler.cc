#include "h2/frame_handler.h"

#include <algorithm>

#include "base/check.h"
#include "h2/connection_scope.h"

namespace onehop::h2 {
namespace {

constexpr size_t kGoawayDebugMax = 1024;
constexpr int64_t kCrumb = 1024;  // a WINDOW_UPDATE of less may be one of a flood

bool isKnown(uint8_t type) { return type <= static_cast<uint8_t>(FrameType::continuation); }

}  // namespace

Status Connection::feed(ByteSpan bytes, Nanos now) {
  CHECK(depth_ == 0);
  if (dead_) return error_;
  Scope scope(*this);
  now_ = now;
  bytesReceived_ += bytes.size();
  windows_.beginBatch();
  FrameHandler handler(*this);
  const FrameReader::Outcome outcome = reader_.feed(bytes, handler);
  if (outcome == FrameReader::Outcome::badPreface) {
    failConnection(ErrorCode::protocolError, CloseReason::h2Protocol, "no HTTP/2 preface");
  }
  CHECK(outcome != FrameReader::Outcome::stopped || dead_);
  if (!dead_ && queuedBytes() > limits_.controlBytesMax) {
    failConnection(ErrorCode::enhanceYourCalm, CloseReason::h2Flood, "peer does not read");
  }
  if (!dead_) watchStall();
  if (dead_) return error_;
  return {};
}

bool FrameHandler::fail(ErrorCode code, const char* detail) {
  c_.failConnection(code, CloseReason::h2Protocol, detail);
  return false;
}

bool FrameHandler::flood(const char* detail) {
  c_.failConnection(ErrorCode::enhanceYourCalm, CloseReason::h2Flood, detail);
  return false;
}

bool FrameHandler::charge(Charge kind, const char* detail) {
  return c_.guard_.charge(kind, c_.now_) || flood(detail);
}

bool FrameHandler::streamError(uint32_t streamId, ErrorCode code) {
  if (!charge(Charge::reset, "too many stream errors")) return false;
  const bool calm = code == ErrorCode::enhanceYourCalm;
  return reset(streamId, code, calm ? CloseReason::h2Flood : CloseReason::h2Protocol);
}

bool FrameHandler::reset(uint32_t streamId, ErrorCode code, CloseReason reason) {
  c_.queueReset(streamId, code);
  if (Stream* stream = c_.findStream(streamId)) {
    c_.closeWithEvent(*stream, {reason, code, false, false}, true);
  } else if (c_.findClosed(streamId) == nullptr) {
    c_.rememberClosed(streamId, c_.windowAtFirst());
  }
  return alive();
}

bool FrameHandler::isIdle(uint32_t streamId) const {
  return c_.isPeerId(streamId) ? streamId > c_.peerStreamIdMax_ : streamId >= c_.nextStreamId_;
}

// RFC 9113 4.2 and the length rule of each frame, before any payload is read.
bool FrameHandler::checkLength(const FrameHeader& header) {
  if (header.length > kFrameSizeDefault) return fail(ErrorCode::frameSizeError, "frame too large");
  const uint32_t length = header.length;
  bool good = true;
  switch (static_cast<FrameType>(header.type)) {
    case FrameType::rstStream:
    case FrameType::windowUpdate:
      good = length == 4;
      break;
    case FrameType::ping:
      good = length == 8;
      break;
    case FrameType::goaway:
      good = length >= 8;
      if (length > 8 + kGoawayDebugMax) return flood("GOAWAY debug text too long");
      break;
    case FrameType::settings:
      good = (header.flags & kFlagAck) != 0 ? length == 0 : length % 6 == 0;
      if (good && length / 6 > c_.limits_.floods.settingsEntriesMax) {
        return flood("too many SETTINGS entries");
      }
      break;
    default:
      break;
  }
  return good || fail(ErrorCode::frameSizeError, "wrong frame length");
}

bool FrameHandler::onFrameHeader(const FrameHeader& header) {
  const auto type = static_cast<FrameType>(header.type);
  if (!c_.settingsReceived_ &&
      (type != FrameType::settings || (header.flags & kFlagAck) != 0)) {
    return fail(ErrorCode::protocolError, "first frame is not SETTINGS");
  }
  if (!checkLength(header)) return false;
  if (c_.headerStreamId_ != 0 &&
      (type != FrameType::continuation || header.streamId != c_.headerStreamId_)) {
    return fail(ErrorCode::protocolError, "header block interrupted");
  }
  if (!isKnown(header.type)) {
    c_.reader_.skipPayload();
    return charge(Charge::glitch, "unknown frames");
  }
  const bool ofConnection = type == FrameType::settings || type == FrameType::ping ||
                            type == FrameType::goaway;
  if (type != FrameType::windowUpdate && ofConnection != (header.streamId == 0)) {
    return fail(ErrorCode::protocolError, "frame on the wrong stream");
  }
  switch (type) {
    case FrameType::data:
      return onDataHeader(header);
    case FrameType::continuation:
      if (c_.headerStreamId_ == 0) return fail(ErrorCode::protocolError, "stray CONTINUATION");
      if (++c_.continuations_ > c_.limits_.continuationsMax) return flood("CONTINUATION flood");
      if (header.length == 0 && !charge(Charge::empty, "empty frames")) return false;
      break;
    case FrameType::headers:
      c_.continuations_ = 0;
      if (c_.headerDeadline_ == 0) c_.headerDeadline_ = c_.now_ + c_.limits_.headerBlockTimeout;
      break;
    case FrameType::pushPromise:
      return fail(ErrorCode::protocolError, "PUSH_PROMISE");  // not allowed, or switched off
    default:
      return true;
  }
  // The encoded block is bounded as it arrives, not when it is whole.
  if (c_.headerBlock_.size() + header.length > c_.limits_.headerBlockBytesMax) {
    return flood("header block too large");
  }
  return true;
}

bool FrameHandler::onFrame(const FrameHeader& header, ByteSpan payload) {
  switch (static_cast<FrameType>(header.type)) {
    case FrameType::headers:
      return onHeaders(header, payload);
    case FrameType::continuation:
      return onContinuation(header, payload);
    case FrameType::priority:
      return onPriority(header, payload);
    case FrameType::rstStream:
      return onReset(header, payload);
    case FrameType::settings:
      return onSettings(header, payload);
    case FrameType::ping:
      return onPing(header, payload);
    case FrameType::goaway:
      return onGoaway(header, payload);
    case FrameType::windowUpdate:
      return onWindowUpdate(header, payload);
    default:
      break;
  }
  CHECK(false);
  return false;
}

// RFC 9113 6.1. The whole frame counts against both windows at once, padding included.
bool FrameHandler::onDataHeader(const FrameHeader& header) {
  c_.dataPad_ = 0;
  c_.dataPadKnown_ = (header.flags & kFlagPadded) == 0;
  c_.dataDiscarded_ = false;
  if (!c_.dataPadKnown_ && header.length == 0) {
    return fail(ErrorCode::frameSizeError, "padded frame without pad length");
  }
  if (isIdle(header.streamId)) return fail(ErrorCode::protocolError, "DATA on an idle stream");
  const uint64_t before = c_.windows_.arrivedBytes();
  if (!c_.windows_.onArrival(header.length)) {
    return fail(ErrorCode::flowControlError, "connection window exceeded");
  }
  if (before / kBytesPerAnswered != c_.windows_.arrivedBytes() / kBytesPerAnswered) {
    c_.guard_.earn(Charge::answered, 1);
  }
  const bool end = (header.flags & kFlagEndStream) != 0;
  if (header.length == 0 && !end && !charge(Charge::empty, "empty frames")) return false;
  Stream* stream = c_.findStream(header.streamId);
  if (stream == nullptr) {
    c_.dataDiscarded_ = true;
    return onDataOfClosed(header);
  }
  ErrorCode code = ErrorCode::noError;
  if (stream->remoteEnded_) {
    code = ErrorCode::streamClosed;
  } else if (header.length > stream->receiveWindow_) {
    code = ErrorCode::flowControlError;
  } else if (c_.role_ == Role::client && !stream->headersSeen_) {
    code = ErrorCode::protocolError;
  }
  if (code != ErrorCode::noError) {
    c_.dataDiscarded_ = true;
    return streamError(header.streamId, code);
  }
  if (c_.windows_.overloaded()) {
    c_.dataDiscarded_ = true;
    return reset(header.streamId, ErrorCode::enhanceYourCalm, CloseReason::overload);
  }
  stream->receiveWindow_ -= header.length;
  c_.windows_.noteBusy(*stream);
  return true;
}

bool FrameHandler::onDataOfClosed(const FrameHeader& header) {
  Connection::ClosedId* closed = c_.findClosed(header.streamId);
  if (closed == nullptr && header.streamId <= c_.closedForgotten_) {
    return charge(Charge::glitch, "DATA of forgotten streams");
  }
  if (closed == nullptr || closed->window == Connection::kClosedByPeer) {
    return streamError(header.streamId, ErrorCode::streamClosed);
  }
  // Under way when we reset it: as much as its window allowed is in order.
  if (header.length > static_cast<uint32_t>(closed->window)) {
    return charge(Charge::glitch, "DATA after reset");
  }
  closed->window -= static_cast<int32_t>(header.length);
  return true;
}

bool FrameHandler::onDataPart(const FrameHeader& header, ByteSpan part, size_t left) {
  if (!c_.dataPadKnown_) {
    c_.dataPad_ = part[0];
    c_.dataPadKnown_ = true;
    part = part.subspan(1);
    if (c_.dataPad_ > part.size() + left) {
      return fail(ErrorCode::protocolError, "padding exceeds the frame");
    }
    const bool empty = c_.dataPad_ == part.size() + left;
    const bool last = (header.flags & kFlagEndStream) != 0;
    if (empty && !last && !charge(Charge::empty, "empty frames")) return false;
  }
  Stream* stream = c_.dataDiscarded_ ? nullptr : c_.findStream(header.streamId);
  if (stream == nullptr) return true;
  const size_t rest = part.size() + left;
  const size_t bytes = rest > c_.dataPad_ ? std::min(part.size(), rest - c_.dataPad_) : 0;
  const bool end = left == 0 && (header.flags & kFlagEndStream) != 0;
  if (stream->contentLeft_ >= 0) {
    stream->contentLeft_ -= static_cast<int64_t>(bytes);
    if (stream->contentLeft_ < 0 || (end && stream->contentLeft_ != 0)) {
      c_.dataDiscarded_ = true;
      return streamError(header.streamId, ErrorCode::protocolError);
    }
  }
  c_.windows_.hold(*stream, bytes);
  c_.creditStream(*stream);
  if (bytes == 0 && !end) return true;
  if (end) stream->remoteEnded_ = true;
  c_.events_.onData(*stream, part.first(bytes), end);
  if (end) c_.finishIfEnded(*stream, false);
  return alive();
}

bool FrameHandler::onHeaders(const FrameHeader& header, ByteSpan payload) {
  size_t pad = 0;
  if ((header.flags & kFlagPadded) != 0) {
    if (payload.empty()) return fail(ErrorCode::frameSizeError, "no pad length");
    pad = payload[0];
    payload = payload.subspan(1);
  }
  bool selfDependent = false;
  if ((header.flags & kFlagPriority) != 0) {
    if (payload.size() < 5) return fail(ErrorCode::frameSizeError, "no priority fields");
    selfDependent = (load32(payload.data()) & kStreamIdMax) == header.streamId;
    payload = payload.subspan(5);
  }
  if (pad > payload.size()) return fail(ErrorCode::protocolError, "padding exceeds the frame");
  payload = payload.first(payload.size() - pad);
  if ((header.flags & kFlagEndHeaders) != 0) {
    return onBlock(header.streamId, header.flags, selfDependent, payload);
  }
  c_.headerStreamId_ = header.streamId;
  c_.headerFlags_ = header.flags;
  c_.headerSelfDependent_ = selfDependent;
  c_.headerBlock_.assign(payload.begin(), payload.end());
  return true;
}

bool FrameHandler::onContinuation(const FrameHeader& header, ByteSpan payload) {
  c_.headerBlock_.insert(c_.headerBlock_.end(), payload.begin(), payload.end());
  if ((header.flags & kFlagEndHeaders) == 0) return true;
  std::vector<uint8_t> block;
  block.swap(c_.headerBlock_);
  c_.headerStreamId_ = 0;
  return onBlock(header.streamId, c_.headerFlags_, c_.headerSelfDependent_, block);
}

bool FrameHandler::onPriority(const FrameHeader& header, ByteSpan payload) {
  if (!charge(Charge::glitch, "PRIORITY flood")) return false;
  ErrorCode code = ErrorCode::noError;
  if (payload.size() != 5) {
    code = ErrorCode::frameSizeError;
  } else if ((load32(payload.data()) & kStreamIdMax) == header.streamId) {
    code = ErrorCode::protocolError;
  }
  if (code == ErrorCode::noError) return true;  // otherwise ignored, RFC 9113 5.3.2
  // An idle stream cannot be reset (RFC 9113 5.1).
  if (isIdle(header.streamId)) return fail(code, "bad PRIORITY on an idle stream");
  return streamError(header.streamId, code);
}

bool FrameHandler::onReset(const FrameHeader& header, ByteSpan payload) {
  if (isIdle(header.streamId)) return fail(ErrorCode::protocolError, "RST_STREAM on an idle stream");
  Stream* stream = c_.findStream(header.streamId);
  if (stream == nullptr) return charge(Charge::glitch, "RST_STREAM of closed streams");
  // Work thrown away is what is counted: requests reset before their answer. An application that
  // resets its tunnels, or a server that resets what we opened, does no harm beyond one stream each.
  const auto code = static_cast<ErrorCode>(load32(payload.data()));
  const bool ours = c_.role_ == Role::client;
  const bool wasted = !ours && !stream->headersSent_;
  if (wasted && !charge(Charge::reset, "rapid reset")) return false;
  const CloseReason reason = ours ? CloseReason::upstreamReset : CloseReason::downstreamReset;
  c_.closeWithEvent(*stream, {reason, code, true, code == ErrorCode::refusedStream}, false);
  return alive();
}

bool FrameHandler::onPing(const FrameHeader& header, ByteSpan payload) {
  if ((header.flags & kFlagAck) == 0) {
    if (!charge(Charge::answered, "PING flood")) return false;
    c_.queueFrame(FrameType::ping, kFlagAck, 0, payload);
    return true;
  }
  if (c_.drain_ == Connection::Drain::waiting && load64(payload.data()) == c_.kDrainPing) {
    c_.nameLastStream();
    return true;
  }
  if (c_.pingSentAt_ == 0 || load64(payload.data()) != static_cast<uint64_t>(c_.pingSentAt_)) {
    return charge(Charge::glitch, "stray PING ACK");
  }
  const Nanos roundTrip = std::max<Nanos>(c_.now_ - c_.pingSentAt_, 0);
  c_.pingSentAt_ = 0;
  c_.windows_.noteRoundTrip(roundTrip);
  if (c_.pingByShares_) c_.windows_.endSample(roundTrip);
  const bool tell = c_.pingByOwner_;
  c_.pingByShares_ = c_.pingByOwner_ = false;
  if (tell) c_.events_.onPingAck(roundTrip);
  return alive();
}

bool FrameHandler::onGoaway(const FrameHeader&, ByteSpan payload) {
  const uint32_t last = load32(payload.data()) & kStreamIdMax;
  const auto code = static_cast<ErrorCode>(load32(payload.data() + 4));
  if (!charge(Charge::answered, "GOAWAY flood")) return false;  // each looks at every stream
  c_.goawayReceived_ = true;
  if (c_.role_ == Role::client) {
    std::vector<uint32_t> above;
    for (const auto& entry : c_.streams_) {
      if (entry.first > last) above.push_back(entry.first);
    }
    for (const uint32_t id : above) {
      Stream* stream = c_.findStream(id);
      if (stream != nullptr) {
        c_.closeWithEvent(*stream, {CloseReason::goaway, code, true, true}, true);
      }
    }
  }
  if (!alive()) return false;
  c_.events_.onGoaway(code, last);
  return alive();
}

// RFC 9113 6.9.
bool FrameHandler::onWindowUpdate(const FrameHeader& header, ByteSpan payload) {
  const int64_t increment = load32(payload.data()) & kStreamIdMax;
  if (header.streamId == 0) {
    if (increment == 0) return fail(ErrorCode::protocolError, "WINDOW_UPDATE of 0");
    if (c_.sendWindow_ + increment > kWindowMax) {
      return fail(ErrorCode::flowControlError, "connection window overflow");
    }
    c_.sendWindow_ += increment;
    return increment >= kCrumb || charge(Charge::glitch, "tiny WINDOW_UPDATEs");
  }
  if (isIdle(header.streamId)) {
    return fail(ErrorCode::protocolError, "WINDOW_UPDATE on an idle stream");
  }
  Stream* stream = c_.findStream(header.streamId);
  if (stream == nullptr) return charge(Charge::glitch, "WINDOW_UPDATE of closed streams");
  if (increment == 0) return streamError(header.streamId, ErrorCode::protocolError);
  if (stream->sendWindow_ + increment > kWindowMax) {
    return streamError(header.streamId, ErrorCode::flowControlError);
  }
  // A window opened by crumbs makes us send crumbs.
  if (increment < kCrumb && !charge(Charge::glitch, "tiny WINDOW_UPDATEs")) return false;
  stream->sendWindow_ += increment;
  if (stream->sendWindow_ >= Connection::kStallRelief) c_.noteRelieved(*stream);
  if (stream->sourceReady_) c_.sourceReady(*stream);
  return true;
}

}  // namespace onehop::h2
