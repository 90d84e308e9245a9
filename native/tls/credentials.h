#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct ssl_ctx_st;

namespace onehop::tls {

// Who we are and whom we trust: key, chain and roots as two OpenSSL contexts. Immutable, shared by the
// shards; live sessions keep the one they began with.
class Credentials {
 public:
  // PEM. The chain is leaf first, then intermediates. Errors are `noCredential` and name the part.
  //
  // A peer's chain must lead to one of `rootsPem` (which may be intermediates) with at most 4 between,
  // and is held to the purpose: clientAuth or serverAuth where an extended key usage is present, none
  // needed where it is absent (as rustls-webpki does for ztunnel). A CA's certificate is no leaf.
  static Result<std::shared_ptr<const Credentials>> parse(std::string_view chainPem,
                                                          std::string_view keyPem,
                                                          std::string_view rootsPem);
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;
  ~Credentials();

  // First SPIFFE id of the leaf; '' when it carries none (then it serves nobody: fail closed).
  const std::string& identity() const { return identity_; }
  const std::string& trustDomain() const { return trustDomain_; }
  const std::string& serial() const { return serial_; }  // lower-case hex
  int64_t notBeforeMs() const { return notBeforeMs_; }
  int64_t notAfterMs() const { return notAfterMs_; }
  ssl_ctx_st* serverContext() const { return server_; }
  ssl_ctx_st* clientContext() const { return client_; }

 private:
  Credentials() = default;
  std::string identity_;
  std::string trustDomain_;
  std::string serial_;
  int64_t notBeforeMs_ = 0;
  int64_t notAfterMs_ = 0;
  ssl_ctx_st* server_ = nullptr;
  ssl_ctx_st* client_ = nullptr;
};

}  // namespace onehop::tls
