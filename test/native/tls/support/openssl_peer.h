#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/certificates.h"
#include "tls/support/session_pair.h"

struct ssl_ctx_st;
struct ssl_st;

namespace onehop::tls {

struct PeerOptions {
  std::string suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
  std::string groups = "X25519:P-256";
  std::string alpn = std::string("\x02h2");  // wire form; '' offers or selects nothing
  int versionMax = 0x0304;
  size_t tickets = 0;
  bool certificate = true;
};

// The other side of a Session by OpenSSL alone, which trusts everybody.
class OpensslPeer {
 public:
  OpensslPeer(bool server, const test::Issued& identity, PeerOptions options = {});
  OpensslPeer(const OpensslPeer&) = delete;
  OpensslPeer& operator=(const OpensslPeer&) = delete;
  ~OpensslPeer();

  // Exchanges bytes with the session until both are quiet. False once either failed.
  bool pump(Endpoint& session);
  bool established() const;
  void write(std::string_view text);
  void keyUpdate(bool requestBack);
  void closeNotify();
  const std::string& received() const { return received_; }
  bool sawCloseNotify() const;
  // The last alert the session sent it; -1 when none.
  int alert() const { return alert_; }
  std::string suite() const;
  std::string group() const;
  int peerCertificates() const;  // how many the session sent
  bool failed() const { return failed_; }

 private:
  void take(ByteSpan bytes);
  void give(Endpoint& session);
  bool server_;
  bool failed_ = false;
  PeerOptions options_;
  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
  std::string received_;
  int alert_ = -1;
};

}  // namespace onehop::tls
