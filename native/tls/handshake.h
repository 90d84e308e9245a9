#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tls/credentials.h"
#include "tls/record.h"

struct ssl_st;

namespace onehop::tls {

// One handshake by OpenSSL over memory BIOs; freed when the traffic secrets have been taken.
class Handshake {
 public:
  Handshake(std::shared_ptr<const Credentials> credentials, bool server,
            std::vector<std::string> expectedPeers);
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;
  ~Handshake();
  // One whole record, or nothing to start a client. Output is appended also on failure (the alert).
  // After a failure every call returns the same error.
  Status feed(ByteSpan record, std::vector<uint8_t>& output);
  bool done() const { return done_; }
  bool secretsKnown() const { return secrets_ == 3; }  // traffic() serves
  bool failed() const { return failure_.has_value(); }
  // Nothing is encrypted yet: an alert may go out in clear.
  bool inClear() const { return server_ ? bytesOut_ == 0 : bytesFed_ == 0; }
  // After a failure: an alert OpenSSL did not send, because to it all was well. 0 when there is none.
  uint8_t alertDue() const { return alertDue_; }
  TrafficState traffic(bool serverWrites) const;
  const std::string& peerIdentity() const { return peerIdentity_; }

  // Called by OpenSSL's callbacks.
  void onSecret(std::string_view line);
  void onAlert(bool received, int code);
  // The peer's identity is the name that satisfied the check; names that are no SPIFFE ids are skipped.
  bool checkPeer(const std::vector<std::string>& uris);

 private:
  Status step(ByteSpan record, std::vector<uint8_t>& output);
  Status finish();
  Error refuse(const char* text, uint8_t alert);
  Error explain();

  std::shared_ptr<const Credentials> credentials_;
  std::vector<std::string> expected_;
  bool server_;
  bool done_ = false;
  bool identityFailed_ = false;
  bool alertReceived_ = false;
  uint8_t alertDue_ = 0;
  int alert_ = 0;
  unsigned secrets_ = 0;  // bit 0 client's, bit 1 server's
  size_t bytesFed_ = 0;
  size_t bytesOut_ = 0;
  std::array<std::array<uint8_t, 48>, 2> secret_{};
  std::array<size_t, 2> secretBytes_{};
  std::string peerIdentity_;
  std::string detail_;
  std::optional<Error> failure_;
  ssl_st* ssl_ = nullptr;
};

}  // namespace onehop::tls
