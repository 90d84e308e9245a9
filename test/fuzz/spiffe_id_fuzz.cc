#include <string>

#include "base/check.h"
#include "tls/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), length);
  const auto id = onehop::tls::SpiffeId::parse(text);
  if (!id) return 0;
  CHECK(!id->trustDomain.empty() && !id->space.empty() && !id->account.empty());
  std::string again = "spiffe://";
  again += id->trustDomain;
  again += "/ns/";
  again += id->space;
  again += "/sa/";
  again += id->account;
  CHECK(again == text);
  return 0;
}
