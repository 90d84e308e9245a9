#pragma once

#include <array>
#include <memory>
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
  Status feed(ByteSpan record, std::vector<uint8_t>& output);
  bool done() const { return done_; }
  TrafficState traffic(bool serverWrites) const;
  const std::string& peerIdentity() const { return peerIdentity_; }

  // Called by OpenSSL's callbacks.
  void onSecret(std::string_view line);
  void onAlert(bool received, int code);
  bool checkPeer(const std::vector<std::string>& uris);

 private:
  std::shared_ptr<const Credentials> credentials_;
  std::vector<std::string> expected_;
  bool server_;
  bool done_ = false;
  bool identityFailed_ = false;
  bool alertReceived_ = false;
  int alert_ = 0;
  unsigned secrets_ = 0;  // bit 0 client's, bit 1 server's
  size_t bytesFed_ = 0;
  std::array<std::array<uint8_t, 48>, 2> secret_{};
  std::array<size_t, 2> secretBytes_{};
  std::string peerIdentity_;
  std::string detail_;
  ssl_st* ssl_ = nullptr;
};

}  // namespace onehop::tls
