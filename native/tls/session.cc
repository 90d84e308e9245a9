#include "tls/session.h"

#include <algorithm>
#include <cstring>

#include "tls/handshake.h"

namespace onehop::tls {
namespace {
constexpr uint8_t kEmptyRecordsMax = 32;
constexpr uint8_t kKeyUpdateBurst = 32;
constexpr uint32_t kTicketBytesMax = 128 * 1024;
}  // namespace

Session::Session(Role role) : role_(role) {}
Session::~Session() = default;

std::unique_ptr<Session> Session::server(std::shared_ptr<const Credentials> credentials) {
  std::unique_ptr<Session> s(new Session(Role::server));
  s->handshake_ = std::make_unique<Handshake>(std::move(credentials), true,
                                              std::vector<std::string>{});
  return s;
}

std::unique_ptr<Session> Session::client(std::shared_ptr<const Credentials> credentials,
                                         std::vector<std::string> expectedPeers) {
  std::unique_ptr<Session> s(new Session(Role::client));
  s->handshake_ =
      std::make_unique<Handshake>(std::move(credentials), false, std::move(expectedPeers));
  s->failed_ = !s->handshake_->feed({}, s->output_).ok();
  return s;
}

std::unique_ptr<Session> Session::resume(const EstablishedState& state) {
  std::unique_ptr<Session> s(new Session(state.role));
  s->opener_ = std::make_unique<RecordOpener>(state.read);
  s->sealer_ = std::make_unique<RecordSealer>(state.write);
  s->peerIdentity_ = state.peerIdentity;
  return s;
}

bool Session::movable() const {
  return established() && !failed_ && !closing_ && !peerClosed_ && !hasOutput() &&
         messageHave_ == 0 && skip_ == 0;
}

EstablishedState Session::exportState() const {
  CHECK(movable());
  return {role_, opener_->state(), sealer_->state(), peerIdentity_};
}

Error Session::fail(uint8_t alert, const char* detail) {
  failed_ = true;
  queueAlert(alert);
  return makeError(established() ? CloseReason::tlsRecord : CloseReason::tlsFailed, detail, alert);
}

// Sealed where there are keys, in clear where none are in use yet; OpenSSL sends those between.
void Session::queueAlert(uint8_t alert) {
  alert_ = alert;
  sendAlert_ = sealer_ != nullptr;
  if (sendAlert_ || !handshake_->inClear()) return;
  const uint8_t record[] = {static_cast<uint8_t>(ContentType::alert), 3, 3, 0, 2, 2, alert};
  output_.insert(output_.end(), record, record + sizeof(record));
}

Status Session::feed(MutableByteSpan bytes, size_t* consumed, PlaintextSink& sink) {
  return feedRecords(bytes, consumed, &sink);
}

Status Session::advance(MutableByteSpan bytes, size_t* consumed) {
  return feedRecords(bytes, consumed, nullptr);
}

bool Session::startsWithRecord(ByteSpan bytes) {
  return bytes.size() >= kRecordHeader && bytes.size() >= kRecordHeader + load16(bytes.data() + 3);
}

// Without a sink only the records of the handshake.
Status Session::feedRecords(MutableByteSpan bytes, size_t* consumed, PlaintextSink* sink) {
  *consumed = 0;
  if (failed_) {
    if (handshake_ && handshake_->failed()) return handshake_->feed({}, output_);
    return makeError(CloseReason::tlsFailed, "session already failed");
  }
  bool stop = false;
  while (!stop && bytes.size() - *consumed >= kRecordHeader) {
    if (peerClosed_ || (established() && sink == nullptr)) break;
    uint8_t* at = bytes.data() + *consumed;
    const size_t size = kRecordHeader + load16(at + 3);
    Status header = checkHeader(at);
    if (!header.ok()) return header;
    if (size > bytes.size() - *consumed) break;
    *consumed += size;
    const MutableByteSpan record(at, size);
    Status status = established() ? feedRecord(record, *sink, &stop) : feedHandshake(record);
    if (!status.ok()) return status;
  }
  if (peerClosed_) *consumed = bytes.size();  // RFC 8446 6.1: what follows is ignored
  return {};
}

// Before the record is whole: what speaks no TLS is told so at once, not when its deadline passes.
Status Session::checkHeader(const uint8_t* header) {
  const uint8_t type = header[0];
  if (established()) {
    if (type != static_cast<uint8_t>(ContentType::data)) {
      return fail(kAlertUnexpectedMessage, "unprotected record");
    }
  } else if (type < static_cast<uint8_t>(ContentType::changeCipherSpec) ||
             type > static_cast<uint8_t>(ContentType::data) || header[1] != 3) {
    return fail(kAlertUnexpectedMessage, "not a TLS record");
  }
  if (kRecordHeader + load16(header + 3) > kRecordReceiveMax) {
    return fail(kAlertRecordOverflow, "record too long");
  }
  return {};
}

Status Session::feedEnd() {
  if (peerClosed_) return {};
  return established() ? makeError(CloseReason::tlsTruncated, "FIN without close_notify")
                       : makeError(CloseReason::tlsFailed, "FIN during the handshake");
}

Status Session::feedHandshake(MutableByteSpan record) {
  Status status = handshake_->feed(record, output_);
  const bool server = role_ == Role::server;
  if (!status.ok()) {
    failed_ = true;
    if (handshake_->alertDue() != 0) {
      if (handshake_->secretsKnown()) {
        sealer_ = std::make_unique<RecordSealer>(handshake_->traffic(server));
      }
      queueAlert(handshake_->alertDue());
    }
    return status;
  }
  if (!handshake_->done()) return {};
  opener_ = std::make_unique<RecordOpener>(handshake_->traffic(!server));
  sealer_ = std::make_unique<RecordSealer>(handshake_->traffic(server));
  peerIdentity_ = handshake_->peerIdentity();
  handshake_.reset();
  return {};
}

void Session::refillBudget() {
  if (++records_ < 64) return;
  records_ = 0;
  if (keyUpdateBudget_ < kKeyUpdateBurst) ++keyUpdateBudget_;
}

Status Session::feedRecord(MutableByteSpan record, PlaintextSink& sink, bool* stop) {
  Result<OpenedRecord> opened = opener_->open(record);
  if (!opened.ok()) {
    return fail(static_cast<uint8_t>(opened.error().code), opened.error().detail.c_str());
  }
  const MutableByteSpan content = opened.value().content;
  if (opened.value().type == ContentType::handshake) return feedPostHandshake(content);
  if (messageHave_ != 0 || skip_ != 0) {
    return fail(kAlertUnexpectedMessage, "record inside a handshake message");
  }
  if (opened.value().type == ContentType::alert) return feedAlert(content);
  if (opened.value().type != ContentType::data) {
    return fail(kAlertUnexpectedMessage, "unexpected content type");
  }
  if (content.empty()) {
    if (++emptyRecords_ > kEmptyRecordsMax) return fail(kAlertUnexpectedMessage, "empty records");
    return {};
  }
  emptyRecords_ = 0;
  refillBudget();
  *stop = !sink.onPlaintext(content);
  return {};
}

Status Session::feedPostHandshake(MutableByteSpan content) {
  constexpr uint8_t kNewSessionTicket = 4;
  constexpr uint8_t kKeyUpdate = 24;
  if (content.empty()) return fail(kAlertUnexpectedMessage, "empty handshake record");
  while (!content.empty()) {
    if (skip_ > 0) {
      const size_t n = std::min<size_t>(skip_, content.size());
      skip_ -= static_cast<uint32_t>(n);
      content = content.subspan(n);
      continue;
    }
    message_[messageHave_++] = content[0];
    content = content.subspan(1);
    if (messageHave_ < 4) continue;
    const uint32_t size = load24(message_ + 1);
    if (message_[0] == kNewSessionTicket && role_ == Role::client) {
      ticketBytes_ += std::min(size, kTicketBytesMax) + 4;
      if (ticketBytes_ > kTicketBytesMax) return fail(kAlertUnexpectedMessage, "ticket flood");
      skip_ = size;
      messageHave_ = 0;
      continue;
    }
    if (message_[0] != kKeyUpdate) return fail(kAlertUnexpectedMessage, "handshake message");
    if (size != 1) return fail(kAlertDecodeError, "KeyUpdate length");
    if (messageHave_ < 5) continue;
    if (!content.empty()) return fail(kAlertUnexpectedMessage, "bytes after KeyUpdate");
    messageHave_ = 0;
    return onKeyUpdate(message_[4]);
  }
  return {};
}

Status Session::onKeyUpdate(uint8_t request) {
  if (request > 1) return fail(kAlertIllegalParameter, "KeyUpdate request");
  if (keyUpdateBudget_ == 0) return fail(kAlertUnexpectedMessage, "KeyUpdate flood");
  --keyUpdateBudget_;
  ++keyUpdates_;
  opener_->update();
  sendKeyUpdate_ = sendKeyUpdate_ || request == 1;
  return {};
}

Status Session::feedAlert(MutableByteSpan content) {
  if (content.size() != 2) return fail(kAlertDecodeError, "alert length");
  if (content[1] == kAlertCloseNotify) {
    peerClosed_ = true;
    return {};
  }
  if (content[1] == kAlertUserCanceled && ++warnings_ < 4) return {};
  failed_ = true;
  return makeError(CloseReason::tlsFailed, "peer alert", content[1]);
}

bool Session::hasOutput() const {
  if (outputTaken_ < output_.size()) return true;
  if (!sealer_) return false;
  return sendAlert_ || (!closing_ && !failed_ &&
                        (sendKeyUpdate_ || sealer_->sequence() >= kKeyUpdateRecords));
}

size_t Session::takeOutput(MutableByteSpan room) {
  CHECK(room.size() >= 64);
  if (outputTaken_ < output_.size()) {
    const size_t n = std::min(room.size(), output_.size() - outputTaken_);
    std::memcpy(room.data(), output_.data() + outputTaken_, n);
    outputTaken_ += n;
    if (outputTaken_ == output_.size()) {
      std::vector<uint8_t>().swap(output_);
      outputTaken_ = 0;
    }
    return n;
  }
  if (!hasOutput()) return 0;
  uint8_t* body = room.data() + kRecordHeader;
  if (sendAlert_) {
    sendAlert_ = false;
    closing_ = true;
    body[0] = alert_ == kAlertCloseNotify ? 1 : 2;
    body[1] = alert_;
    return sealer_->seal(room.data(), 2, ContentType::alert);
  }
  const uint8_t update[5] = {24, 0, 0, 1, 0};
  std::memcpy(body, update, sizeof(update));
  const size_t n = sealer_->seal(room.data(), sizeof(update), ContentType::handshake);
  sealer_->update();
  sendKeyUpdate_ = false;
  ++keyUpdates_;
  return n;
}

size_t Session::seal(uint8_t* record, size_t plaintextBytes) {
  CHECK(established() && !closing_ && !failed_ && outputTaken_ >= output_.size());
  return sealer_->seal(record, plaintextBytes, ContentType::data);
}

void Session::close() {
  if (!established() || closing_ || failed_) return;
  alert_ = kAlertCloseNotify;
  sendAlert_ = closing_ = true;
}

}  // namespace onehop::tls
