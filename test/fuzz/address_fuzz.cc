#include "base/address.h"
#include "base/bytes.h"
#include "base/check.h"

// What parses is written in one way, and that way parses to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using onehop::IpAddress;
  using onehop::SocketAddress;
  const std::string_view text = onehop::asText({data, size});
  if (const auto ip = IpAddress::parse(text)) {
    CHECK(IpAddress::parse(ip->format()) == ip);
    CHECK(hashValue(*ip) == hashValue(*IpAddress::parse(ip->format())));
  }
  if (const auto address = SocketAddress::parse(text)) {
    CHECK(SocketAddress::parse(address->format()) == address);
    CHECK(!IpAddress::parse(text));
  }
  return 0;
}
