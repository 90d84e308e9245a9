#pragma once

#include <optional>
#include <string_view>

namespace onehop::tls {

// Views into the parsed text: spiffe://<trust domain>/ns/<namespace>/sa/<service account>.
struct SpiffeId {
  std::string_view trustDomain;
  std::string_view space;
  std::string_view account;
  // Exactly five segments; they may be empty. Anything but visible ASCII is refused.
  static std::optional<SpiffeId> parse(std::string_view text);
};

}  // namespace onehop::tls
