#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace onehop::h2 {

// Bytes from hex digits; blanks are ignored.
inline std::string hex(std::string_view text) {
  std::string bytes;
  int half = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;
    if (half < 0) {
      half = digit;
    } else {
      bytes.push_back(static_cast<char>(half << 4 | digit));
      half = -1;
    }
  }
  return bytes;
}

}  // namespace onehop::h2
