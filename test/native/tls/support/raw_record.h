#pragma once

#include <openssl/evp.h>

#include <cstring>
#include <vector>

#include "tls/record.h"

namespace onehop::tls {

// A record around any inner plaintext (content, type, padding), lawful or not. Written apart from
// RecordSealer, so that the two check each other.
inline std::vector<uint8_t> sealInner(const TrafficState& state, const std::vector<uint8_t>& inner) {
  std::vector<uint8_t> record(kRecordHeader + inner.size() + 16);
  record[0] = 23;
  record[1] = record[2] = 3;
  record[3] = static_cast<uint8_t>((inner.size() + 16) >> 8);
  record[4] = static_cast<uint8_t>((inner.size() + 16) & 0xff);
  uint8_t key[32];
  uint8_t iv[12];
  expandLabel(state.suite, state.secret.data(), "key", {key, suiteKeyBytes(state.suite)});
  expandLabel(state.suite, state.secret.data(), "iv", iv);
  for (int i = 0; i < 8; ++i) iv[11 - i] ^= static_cast<uint8_t>(state.sequence >> 8 * i);
  EVP_CIPHER_CTX* c = EVP_CIPHER_CTX_new();
  int n = 0;
  EVP_EncryptInit_ex(c, suiteKeyBytes(state.suite) == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(),
                     nullptr, key, iv);
  EVP_EncryptUpdate(c, nullptr, &n, record.data(), kRecordHeader);
  uint8_t* body = record.data() + kRecordHeader;
  if (!inner.empty()) {
    EVP_EncryptUpdate(c, body, &n, inner.data(), static_cast<int>(inner.size()));
  }
  EVP_EncryptFinal_ex(c, body + inner.size(), &n);
  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, body + inner.size());
  EVP_CIPHER_CTX_free(c);
  return record;
}

}  // namespace onehop::tls
