#include "tls/record.h"

#include <cstring>

#include "tls/openssl.h"

namespace onehop::tls {

size_t suiteHashBytes(Suite suite) { return suite == Suite::aes256GcmSha384 ? 48 : 32; }
size_t suiteKeyBytes(Suite suite) { return suite == Suite::aes256GcmSha384 ? 32 : 16; }

TrafficState::~TrafficState() { OPENSSL_cleanse(secret.data(), secret.size()); }

void AeadFree::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }

void expandLabel(Suite suite, const uint8_t* secret, const char* label, MutableByteSpan out) {
  const size_t hash = suiteHashBytes(suite);
  const size_t labelBytes = std::strlen(label);
  CHECK(out.size() <= hash && labelBytes <= 32);
  // One block suffices: T(1) = HMAC(secret, HkdfLabel || 0x01).
  uint8_t text[64];
  size_t n = 0;
  store16(text, static_cast<uint16_t>(out.size()));
  n = 2;
  text[n++] = static_cast<uint8_t>(6 + labelBytes);
  std::memcpy(text + n, "tls13 ", 6);
  n += 6;
  std::memcpy(text + n, label, labelBytes);
  n += labelBytes;
  text[n++] = 0;
  text[n++] = 1;
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  const EVP_MD* md = hash == 48 ? EVP_sha384() : EVP_sha256();
  CHECK(HMAC(md, secret, static_cast<int>(hash), text, n, digest, &length) != nullptr);
  CHECK(length == hash);
  std::memcpy(out.data(), digest, out.size());
  OPENSSL_cleanse(digest, sizeof(digest));
}

RecordKey::RecordKey(const TrafficState& state, bool seal)
    : state_(state), seal_(seal), aead_(EVP_CIPHER_CTX_new()) {
  CHECK(aead_ != nullptr);
  install();
}

RecordKey::~RecordKey() { OPENSSL_cleanse(iv_.data(), iv_.size()); }

void RecordKey::install() {
  uint8_t key[32];
  const MutableByteSpan keySpan(key, suiteKeyBytes(state_.suite));
  expandLabel(state_.suite, state_.secret.data(), "key", keySpan);
  expandLabel(state_.suite, state_.secret.data(), "iv", iv_);
  const EVP_CIPHER* cipher =
      state_.suite == Suite::aes256GcmSha384 ? EVP_aes_256_gcm() : EVP_aes_128_gcm();
  CHECK(EVP_CipherInit_ex(aead_.get(), cipher, nullptr, key, nullptr, seal_ ? 1 : 0) == 1);
  OPENSSL_cleanse(key, sizeof(key));
}

void RecordKey::update() {
  std::array<uint8_t, 48> next{};
  const MutableByteSpan span(next.data(), suiteHashBytes(state_.suite));
  expandLabel(state_.suite, state_.secret.data(), "traffic upd", span);
  state_.secret = next;
  state_.sequence = 0;
  OPENSSL_cleanse(next.data(), next.size());
  install();
}

void RecordKey::nonce(uint8_t* out12) const {
  std::memcpy(out12, iv_.data(), 12);
  store64(out12 + 4, load64(out12 + 4) ^ state_.sequence);
}

size_t RecordSealer::seal(uint8_t* record, size_t plaintextBytes, ContentType type) {
  CHECK(plaintextBytes <= kRecordPlaintextMax);
  CHECK(state_.sequence < kKeyRecordsMax);
  const size_t inner = plaintextBytes + 1;
  record[0] = static_cast<uint8_t>(ContentType::data);
  record[1] = 3;
  record[2] = 3;
  store16(record + 3, static_cast<uint16_t>(inner + 16));
  uint8_t* body = record + kRecordHeader;
  body[plaintextBytes] = static_cast<uint8_t>(type);
  uint8_t iv[12];
  nonce(iv);
  int n = 0;
  EVP_CIPHER_CTX* c = aead_.get();
  CHECK(EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, iv) == 1);
  CHECK(EVP_EncryptUpdate(c, nullptr, &n, record, kRecordHeader) == 1);
  CHECK(EVP_EncryptUpdate(c, body, &n, body, static_cast<int>(inner)) == 1);
  CHECK(EVP_EncryptFinal_ex(c, body + inner, &n) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, body + inner) == 1);
  ++state_.sequence;
  return kRecordHeader + inner + 16;
}

Result<OpenedRecord> RecordOpener::open(MutableByteSpan record) {
  const auto bad = [](const char* text, uint8_t alert) {
    return makeError(CloseReason::tlsRecord, text, alert);
  };
  CHECK(record.size() >= kRecordHeader);
  uint8_t* body = record.data() + kRecordHeader;
  const size_t length = record.size() - kRecordHeader;
  if (record.size() > kRecordReceiveMax) return bad("record too long", kAlertRecordOverflow);
  if (length < kRecordTrailer) return bad("record too short", kAlertBadRecordMac);
  if (state_.sequence == UINT64_MAX) return bad("record sequence exhausted", kAlertBadRecordMac);
  const size_t inner = length - 16;
  uint8_t iv[12];
  nonce(iv);
  int n = 0;
  EVP_CIPHER_CTX* c = aead_.get();
  CHECK(EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, iv) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, body + inner) == 1);
  CHECK(EVP_DecryptUpdate(c, nullptr, &n, record.data(), kRecordHeader) == 1);
  bool good = EVP_DecryptUpdate(c, body, &n, body, static_cast<int>(inner)) == 1;
  good = EVP_DecryptFinal_ex(c, body + inner, &n) == 1 && good;
  if (!good) {
    OPENSSL_cleanse(body, inner);
    ERR_clear_error();
    return bad("record authentication failed", kAlertBadRecordMac);
  }
  ++state_.sequence;
  if (inner > kRecordPlaintextMax + 1) return bad("plaintext too long", kAlertRecordOverflow);
  size_t end = inner;
  while (end > 0 && body[end - 1] == 0) --end;
  if (end == 0) return bad("record without a content type", kAlertUnexpectedMessage);
  return OpenedRecord{static_cast<ContentType>(body[end - 1]), MutableByteSpan(body, end - 1)};
}

}  // namespace onehop::tls
