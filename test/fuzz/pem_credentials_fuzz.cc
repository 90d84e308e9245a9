#include <openssl/err.h>

#include "base/check.h"
#include "tls/credentials.h"

// Input: chain, key and roots, divided by a byte 0.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  std::string_view rest(reinterpret_cast<const char*>(bytes), length);
  std::string_view parts[3];
  for (std::string_view& part : parts) {
    part = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  }
  const auto made = onehop::tls::Credentials::parse(parts[0], parts[1], parts[2]);
  CHECK(ERR_peek_error() == 0);
  if (made.ok()) {
    CHECK(made.value()->serverContext() != nullptr && made.value()->clientContext() != nullptr);
  } else {
    CHECK(made.error().reason == onehop::CloseReason::noCredential);
    CHECK(!made.error().detail.empty());
  }
  return 0;
}
