#pragma once

#include <cstddef>
#include <cstdint>

namespace onehop::tls {

// AES-GCM (NIST SP 800-38D) with a 12-byte nonce and a 16-byte tag, by the instructions of x86-64 that
// work on 32 bytes at once: VAES and VPCLMULQDQ with AVX2. No branch and no address depends on a key or
// on data. In place; one key serves any number of messages.
class alignas(32) VectorGcm {
 public:
  static constexpr size_t kNonceBytes = 12;
  static constexpr size_t kTagBytes = 16;
  static constexpr size_t kAadMax = 16;
  static constexpr size_t kMessageMax = size_t{1} << 24;

  // Whether this processor has the instructions. Nothing else here may be called where it has not.
  static bool supported();

  // `keyBytes` is 16 or 32 (checked).
  VectorGcm(const uint8_t* key, size_t keyBytes);
  VectorGcm(const VectorGcm&) = delete;
  VectorGcm& operator=(const VectorGcm&) = delete;
  ~VectorGcm();

  // Both write the tag of `aad` and the ciphertext; whoever opens compares it, and gives away no byte
  // of a message whose tag differs. aadBytes <= kAadMax, bytes <= kMessageMax (checked).
  void encrypt(const uint8_t* nonce, const uint8_t* aad, size_t aadBytes, uint8_t* data,
               size_t bytes, uint8_t* tag) const;
  void decrypt(const uint8_t* nonce, const uint8_t* aad, size_t aadBytes, uint8_t* data,
               size_t bytes, uint8_t* tag) const;

 private:
  friend struct VectorGcmCode;
  static constexpr size_t kPowers = 20;
  uint8_t powers_[(kPowers + 1) * 16];  // of the hash key: 20th to first, then zeros to read over
  uint8_t rounds_[15 * 16];             // AES round keys
  bool wide_;                           // a key of 32 bytes
};

}  // namespace onehop::tls
