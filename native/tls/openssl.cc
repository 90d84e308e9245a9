#include "tls/openssl.h"

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

}  // namespace onehop::tls
