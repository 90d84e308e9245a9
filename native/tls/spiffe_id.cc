#include "tls/spiffe_id.h"

#include <array>

namespace onehop::tls {

std::optional<SpiffeId> SpiffeId::parse(std::string_view text) {
  constexpr std::string_view kScheme = "spiffe://";
  constexpr size_t kBytesMax = 2048;
  if (text.size() > kBytesMax || !text.starts_with(kScheme)) return std::nullopt;
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return std::nullopt;
  }
  text.remove_prefix(kScheme.size());
  std::array<std::string_view, 5> part;
  for (size_t i = 0; i < part.size(); ++i) {
    const size_t slash = text.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == part.size())) return std::nullopt;
    part[i] = text.substr(0, slash);
    if (slash != std::string_view::npos) text.remove_prefix(slash + 1);
  }
  if (part[1] != "ns" || part[3] != "sa") return std::nullopt;
  if (part[0].empty() || part[2].empty() || part[4].empty()) return std::nullopt;
  return SpiffeId{part[0], part[2], part[4]};
}

}  // namespace onehop::tls
