#include <cstdlib>
#include <string>

#include "base/check.h"
#include "engine/socks5.h"

// One byte of the input says how finely the rest is cut: the outcome must not depend on it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using onehop::engine::Socks5;
  if (size == 0) return 0;
  const size_t most = data[0] == 0 ? SIZE_MAX : data[0];
  const auto run = [&](size_t step, std::string* output) {
    Socks5 socks;
    for (size_t at = 1; at < size && socks.wants() > 0;) {
      CHECK(socks.wants() <= 262);
      const size_t bytes = std::min({socks.wants(), step, size - at});
      socks.feed({data + at, bytes}, *output);
      at += bytes;
    }
    return socks;
  };
  std::string output, whole;
  const Socks5 cut = run(most, &output);
  const Socks5 same = run(SIZE_MAX, &whole);
  CHECK(output == whole && cut.state() == same.state() && output.size() <= 12);
  if (cut.state() != Socks5::State::ready) return 0;
  CHECK(cut.port() == same.port() && cut.isDomain() == same.isDomain());
  if (!cut.isDomain()) {
    CHECK(cut.destination() == same.destination());
  } else {
    CHECK(!cut.domain().empty() && cut.domain() == same.domain());
    for (const char c : cut.domain()) CHECK(c > 0x20 && c < 0x7f && c != ':' && c != '/');
  }
  return 0;
}
