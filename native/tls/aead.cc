#include "tls/aead.h"

#include "base/check.h"
#include "tls/openssl.h"
#include "tls/vector_gcm.h"

namespace onehop::tls {
namespace {

class VectorAead final : public Aead {
 public:
  explicit VectorAead(ByteSpan key) : gcm_(key.data(), key.size()) {}

  void seal(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data, uint8_t* tag) override {
    gcm_.encrypt(nonce, aad.data(), aad.size(), data.data(), data.size(), tag);
  }

  bool open(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data, const uint8_t* tag) override {
    uint8_t right[kTagBytes];
    gcm_.decrypt(nonce, aad.data(), aad.size(), data.data(), data.size(), right);
    const bool good = CRYPTO_memcmp(right, tag, kTagBytes) == 0;
    // Whoever could read the tag that would have been right could forge this message.
    OPENSSL_cleanse(right, sizeof(right));
    if (!good) OPENSSL_cleanse(data.data(), data.size());
    return good;
  }

 private:
  VectorGcm gcm_;
};

class OpensslAead final : public Aead {
 public:
  OpensslAead(ByteSpan key, Direction direction) : context_(EVP_CIPHER_CTX_new()) {
    const EVP_CIPHER* cipher = key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
    CHECK(context_ != nullptr);
    CHECK(EVP_CipherInit_ex(context_.get(), cipher, nullptr, key.data(), nullptr,
                            direction == Direction::seal ? 1 : 0) == 1);
  }

  void seal(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data, uint8_t* tag) override {
    EVP_CIPHER_CTX* c = context_.get();
    int n = 0;
    CHECK(EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, nonce) == 1);
    CHECK(EVP_EncryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1);
    CHECK(EVP_EncryptUpdate(c, data.data(), &n, data.data(), static_cast<int>(data.size())) == 1);
    CHECK(EVP_EncryptFinal_ex(c, data.data() + data.size(), &n) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1);
  }

  bool open(const uint8_t* nonce, ByteSpan aad, MutableByteSpan data, const uint8_t* tag) override {
    EVP_CIPHER_CTX* c = context_.get();
    int n = 0;
    CHECK(EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, nonce) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTagBytes, const_cast<uint8_t*>(tag)) == 1);
    CHECK(EVP_DecryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1);
    const int size = static_cast<int>(data.size());
    bool good = EVP_DecryptUpdate(c, data.data(), &n, data.data(), size) == 1;
    good = EVP_DecryptFinal_ex(c, data.data() + data.size(), &n) == 1 && good;
    if (good) return true;
    OPENSSL_cleanse(data.data(), data.size());
    ERR_clear_error();
    return false;
  }

 private:
  std::unique_ptr<EVP_CIPHER_CTX, OpensslFree<EVP_CIPHER_CTX_free>> context_;
};

bool vectorHere() {
  static const bool supported = VectorGcm::supported();
  return supported;
}

}  // namespace

std::unique_ptr<Aead> Aead::create(ByteSpan key, Direction direction, AeadChoice choice) {
  CHECK(key.size() == 16 || key.size() == 32);
  if (choice == AeadChoice::fastest && vectorHere()) return std::make_unique<VectorAead>(key);
  return std::make_unique<OpensslAead>(key, direction);
}

const char* Aead::fastest() { return vectorHere() ? "vector" : "openssl"; }

}  // namespace onehop::tls
