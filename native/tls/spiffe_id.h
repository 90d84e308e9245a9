#pragma once

#include <optional>
#include <string_view>

namespace onehop::tls {

// Views into the parsed text: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
struct SpiffeId {
  std::string_view trustDomain;
  std::string_view space;
  std::string_view account;
  // Exactly five segments, none empty, visible ASCII only, 2048 bytes at most. As lib/model/spiffe_id.
  static std::optional<SpiffeId> parse(std::string_view text);
};

}  // namespace onehop::tls
