#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "support/certificates.h"
#include "tls/support/raw_peer.h"

namespace onehop::tls {
namespace {

// Anything at all, to a session that waits for its handshake.
void playHandshake(bool server, ByteSpan input) {
  static const auto ours = test::testCredentials(test::kServerId);
  Endpoint end(server ? Session::server(ours) : Session::client(ours, {test::kClientId}));
  const size_t half = input.size() / 2;
  const bool good = end.feed(input.first(half)) && end.feed(input.subspan(half));
  end.drain();
  CHECK(!end.session->established() && end.received.empty());
  if (good) return;
  CHECK(end.reason() == CloseReason::tlsFailed);
  size_t consumed = 0;
  CHECK(!end.session->feed({}, &consumed, end).ok());
}

// A script against an established session: each step is an action and up to 63 or 16 K bytes.
class Script {
 public:
  Script(Role role, Suite suite, ByteSpan input) : peer_(role, suite), input_(input) {}

  void play() {
    while (!input_.empty() && alive_) {
      const uint8_t step = input_[0];
      input_ = input_.subspan(1);
      act(step & 7, argument(step >> 3));
      readBack();
    }
    CHECK(peer_.session.received == sent_);
    if (alive_ || closed_) return;
    CHECK(peer_.session.error.has_value());
    size_t consumed = 0;
    CHECK(!peer_.session.session->feed({}, &consumed, peer_.session).ok());
    CHECK(!peer_.session.session->movable());
  }

 private:
  // Large sizes for the top two of 32.
  ByteSpan argument(size_t size) {
    if (size >= 30) size = size == 30 ? 2000 : kRecordPlaintextMax;
    const ByteSpan part = input_.first(std::min(size, input_.size()));
    input_ = input_.subspan(part.size());
    return part;
  }

  void act(unsigned action, ByteSpan bytes) {
    switch (action) {
      case 0:
        alive_ = peer_.send(bytes, ContentType::data);
        if (alive_ && arrives()) sent_ += asText(bytes);
        break;
      case 1: alive_ = peer_.send(bytes, ContentType::handshake); break;
      case 2: alive_ = peer_.send(bytes, ContentType::alert); break;
      case 3: alive_ = peer_.sendKeyUpdate(bytes.size() & 1); break;
      case 4: alive_ = sendInner(bytes); break;
      case 5: alive_ = peer_.session.feed(bytes); break;
      case 6: sealOurs(bytes); break;
      default:
        if (bytes.size() == 9) {
          peer_.session.session->close();
          closed_ = true;
        } else {
          move();
        }
    }
  }

  // Not behind a close, nor behind the beginning of a record that will never be whole.
  bool arrives() const {
    return !peer_.session.session->peerClosed() && peer_.session.pending.empty();
  }

  bool sendInner(ByteSpan bytes) {
    const std::vector<uint8_t> inner(bytes.begin(), bytes.end());
    const bool good = peer_.session.feed(sealInner(peer_.sealer.state(), inner));
    std::vector<uint8_t> same(kRecordMax);
    peer_.sealer.seal(same.data(), 0, ContentType::data);  // steps its sequence
    if (good && arrives()) noteInner(bytes);
    return good;
  }

  void noteInner(ByteSpan bytes) {
    while (!bytes.empty() && bytes.back() == 0) bytes = bytes.first(bytes.size() - 1);
    if (!bytes.empty() && bytes.back() == 23) sent_ += asText(bytes.first(bytes.size() - 1));
  }

  void sealOurs(ByteSpan bytes) {
    readBack();
    if (closed_ || peer_.session.session->hasOutput()) return;
    peer_.session.sendRecord(asText(bytes));
  }

  // The session lives on elsewhere.
  void move() {
    if (!peer_.session.session->movable() || !peer_.session.pending.empty()) return;
    peer_.session.session = Session::resume(peer_.session.session->exportState());
  }

  // Whatever the session sends must open, in order, by the keys it announced.
  void readBack() {
    while (const auto got = peer_.receive()) {
      CHECK(got->type == ContentType::data || got->type == ContentType::alert ||
            got->type == ContentType::handshake);
      if (got->type == ContentType::handshake) {
        CHECK(got->bytes == std::string("\x18\0\0\1\0", 5));
        peer_.opener.update();
      }
    }
  }

  RawPeer peer_;
  ByteSpan input_;
  std::string sent_;
  bool alive_ = true;
  bool closed_ = false;
};

}  // namespace
}  // namespace onehop::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  using namespace onehop::tls;
  if (length == 0 || length > 100'000) return 0;
  const onehop::ByteSpan input(bytes + 1, length - 1);
  const uint8_t mode = bytes[0];
  if ((mode & 1) != 0) {
    playHandshake((mode & 2) != 0, input);
  } else {
    const Suite suite = (mode & 4) != 0 ? Suite::aes256GcmSha384 : Suite::aes128GcmSha256;
    Script((mode & 2) != 0 ? Role::server : Role::client, suite, input).play();
  }
  return 0;
}
