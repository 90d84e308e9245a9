#include "tls/versions.h"

#include "tls/openssl.h"

namespace onehop::tls {
namespace {

std::string runningVersion() {
  return std::to_string(OPENSSL_version_major()) + "." + std::to_string(OPENSSL_version_minor()) +
         "." + std::to_string(OPENSSL_version_patch());
}

bool hasGroup(const char* name) {
  SslContextPtr context(SSL_CTX_new(TLS_method()));
  const bool has = context != nullptr && SSL_CTX_set1_groups_list(context.get(), name) == 1;
  takeOpensslError();
  return has;
}

}  // namespace

Versions versions() {
  Versions found{runningVersion(), OPENSSL_VERSION_STR,
                 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "", opensslMismatch()};
  if (!found.mismatch.empty()) return found;
  found.groups = hasGroup("X25519MLKEM768") ? "X25519MLKEM768:X25519:P-256" : "X25519:P-256";
  return found;
}

bool opensslFits(unsigned long built, unsigned long running) {
  constexpr unsigned kMajor = 28;
  constexpr unsigned kMinor = 20;
  if (built >> kMajor != 3 || running >> kMajor != 3) return false;
  return (running >> kMinor & 0xff) >= (built >> kMinor & 0xff);
}

std::string opensslMismatch() {
  if (opensslFits(OPENSSL_VERSION_NUMBER, OpenSSL_version_num())) return {};
  return std::string("built for " OPENSSL_VERSION_TEXT ", running in ") +
         OpenSSL_version(OPENSSL_VERSION);
}

}  // namespace onehop::tls
