// Our AES-GCM and OpenSSL's say the same of any key, nonce, additional data and message, and open only
// what was sealed.
#include "tls/aead.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace onehop::tls {
namespace {

using Bytes = std::vector<uint8_t>;

void compare(ByteSpan key, const uint8_t* nonce, ByteSpan aad, ByteSpan message, size_t flip) {
  const AeadChoice choices[] = {AeadChoice::fastest, AeadChoice::openssl};
  Bytes sealed[2];
  uint8_t tags[2][Aead::kTagBytes];
  for (int i = 0; i < 2; ++i) {
    sealed[i].assign(message.begin(), message.end());
    Aead::create(key, Direction::seal, choices[i])->seal(nonce, aad, sealed[i], tags[i]);
  }
  CHECK(sealed[0] == sealed[1]);
  CHECK(std::memcmp(tags[0], tags[1], Aead::kTagBytes) == 0);
  for (int i = 0; i < 2; ++i) {
    const auto opener = Aead::create(key, Direction::open, choices[i]);
    Bytes data = sealed[i];
    CHECK(opener->open(nonce, aad, data, tags[i]));
    CHECK(std::equal(data.begin(), data.end(), message.begin(), message.end()));
    // One bit changed somewhere in ciphertext and tag.
    Bytes changed = sealed[i];
    uint8_t tag[Aead::kTagBytes];
    std::memcpy(tag, tags[i], sizeof(tag));
    const size_t bit = flip % ((changed.size() + sizeof(tag)) * 8);
    uint8_t& byte = bit / 8 < changed.size() ? changed[bit / 8] : tag[bit / 8 - changed.size()];
    byte ^= static_cast<uint8_t>(1 << bit % 8);
    CHECK(!opener->open(nonce, aad, changed, tag));
    CHECK(std::all_of(changed.begin(), changed.end(), [](uint8_t b) { return b == 0; }));
  }
}

}  // namespace
}  // namespace onehop::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  using namespace onehop;
  constexpr size_t kFixed = 1 + 2 + 32 + 12 + 16;  // choices, flip, key, nonce, additional data
  if (length < kFixed || length > 70'000) return 0;
  const size_t keyBytes = (bytes[0] & 1) != 0 ? 32 : 16;
  const size_t aadBytes = (bytes[0] >> 1) % 17;
  const uint8_t* key = bytes + 3;
  const uint8_t* nonce = key + 32;
  const uint8_t* aad = nonce + 12;
  tls::compare({key, keyBytes}, nonce, {aad, aadBytes}, {bytes + kFixed, length - kFixed},
               load16(bytes + 1));
  return 0;
}
