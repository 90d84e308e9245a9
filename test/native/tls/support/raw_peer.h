#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/support/hex.h"
#include "tls/support/raw_record.h"
#include "tls/support/session_pair.h"

namespace onehop::tls {

// An established session and the record keys of its peer, so that a test can send any record.
struct RawPeer {
  explicit RawPeer(Role role = Role::server, Suite suite = Suite::aes128GcmSha256,
                   uint64_t readSequence = 0, uint64_t writeSequence = 0)
      : session(Session::resume({role, state(suite, "01", readSequence),
                                 state(suite, "02", writeSequence), "spiffe://t/ns/n/sa/peer"})),
        sealer(state(suite, "01", readSequence)),
        opener(state(suite, "02", writeSequence)) {}

  static TrafficState state(Suite suite, std::string_view byte, uint64_t sequence) {
    std::string secret;
    for (size_t i = 0; i < suiteHashBytes(suite); ++i) secret += byte;
    return trafficState(suite, secret, sequence);
  }
  // One record to the session; false when the session failed.
  bool send(ByteSpan plaintext, ContentType type) {
    return session.feed(sealRecord(sealer, plaintext, type));
  }
  bool sendData(std::string_view text) { return send(asBytes(text), ContentType::data); }
  bool sendMessage(std::initializer_list<int> bytes) {
    return send(fromBytes(bytes), ContentType::handshake);
  }
  bool sendAlert(std::initializer_list<int> bytes) {
    return send(fromBytes(bytes), ContentType::alert);
  }
  // A KeyUpdate of the peer, which then goes on with its next key.
  bool sendKeyUpdate(int request = 0) {
    const bool good = sendMessage({24, 0, 0, 1, request});
    sealer.update();
    return good;
  }
  struct Got {
    ContentType type;
    std::string bytes;
  };
  // Opens the next record the session sent; none when there is none.
  std::optional<Got> receive() {
    session.drain();
    if (session.wire.empty()) return std::nullopt;
    const size_t size = kRecordHeader + load16(session.wire.data() + 3);
    auto opened = opener.open(MutableByteSpan(session.wire).first(size));
    if (!opened.ok()) return Got{ContentType{}, opened.error().detail};
    Got got{opened.value().type, std::string(asText(opened.value().content))};
    session.wire.erase(session.wire.begin(), session.wire.begin() + static_cast<ptrdiff_t>(size));
    return got;
  }
  // The code of the fatal alert the session sends next; -1 when it sends none.
  int alert() {
    const std::optional<Got> got = receive();
    if (!got || got->type != ContentType::alert || got->bytes.size() != 2) return -1;
    return got->bytes[0] == 2 ? static_cast<uint8_t>(got->bytes[1]) : -1;
  }

  Endpoint session;
  RecordSealer sealer;
  RecordOpener opener;
};

}  // namespace onehop::tls
