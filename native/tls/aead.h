#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace onehop::tls {

// Whose AES-GCM: ours where the processor has the instructions (VectorGcm), which costs half per byte
// and a fifth per small record of what OpenSSL 3.0 does; or OpenSSL's everywhere, for whoever must use
// a validated module.
enum class AeadChoice : uint8_t { fastest, openssl };

enum class Direction : uint8_t { seal, open };

// AES-GCM under one key in one direction, in place. The tag is 16 bytes, the nonce 12.
class Aead {
 public:
  static constexpr size_t kTagBytes = 16;

  // `key` is 16 or 32 bytes (checked).
  static std::unique_ptr<Aead> create(ByteSpan key, Direction direction, AeadChoice choice);
  // 'vector' or 'openssl': what AeadChoice::fastest is here.
  static const char* fastest();

  virtual ~Aead() = default;
  virtual void seal(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data, uint8_t* tag) = 0;
  // False when the tag is wrong: `data` is wiped then.
  virtual bool open(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data,
                    const uint8_t* tag) = 0;
};

}  // namespace onehop::tls
