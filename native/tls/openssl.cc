#include "tls/openssl.h"

#include "tls/openssl_version.h"

namespace onehop::tls {

std::string takeOpensslError() {
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  if (code == 0) return {};
  const char* reason = ERR_reason_error_string(code);
  if (reason != nullptr) return reason;
  char text[160];
  ERR_error_string_n(code, text, sizeof(text));
  return text;
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
