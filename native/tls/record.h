#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/record_size.h"
#include "base/result.h"

struct evp_cipher_ctx_st;

namespace onehop::tls {

enum class ContentType : uint8_t { changeCipherSpec = 20, alert = 21, handshake = 22, data = 23 };
enum class Suite : uint8_t { aes128GcmSha256, aes256GcmSha384 };

// TLS alerts this room sends by itself (RFC 8446 6).
inline constexpr uint8_t kAlertCloseNotify = 0;
inline constexpr uint8_t kAlertUnexpectedMessage = 10;
inline constexpr uint8_t kAlertBadRecordMac = 20;
inline constexpr uint8_t kAlertRecordOverflow = 22;
inline constexpr uint8_t kAlertIllegalParameter = 47;
inline constexpr uint8_t kAlertDecodeError = 50;
inline constexpr uint8_t kAlertInternalError = 80;
inline constexpr uint8_t kAlertUserCanceled = 90;
inline constexpr uint8_t kAlertNoApplicationProtocol = 120;

// A new key is asked for here; AES-GCM may seal 2^24.5 records with one key (RFC 8446 5.5).
inline constexpr uint64_t kKeyUpdateRecords = uint64_t{1} << 23;
inline constexpr uint64_t kKeyRecordsMax = uint64_t{1} << 24;

// All that one direction is: what a handover would move. Wiped when destroyed.
struct TrafficState {
  ~TrafficState();
  Suite suite = Suite::aes128GcmSha256;
  std::array<uint8_t, 48> secret{};  // 32 bytes used with SHA-256
  uint64_t sequence = 0;
};
static_assert(sizeof(TrafficState) == 64);

size_t suiteHashBytes(Suite suite);
size_t suiteKeyBytes(Suite suite);
// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
void expandLabel(Suite suite, const uint8_t* secret, const char* label, MutableByteSpan out);

struct AeadFree {
  void operator()(evp_cipher_ctx_st* context) const;
};

// Key, nonce and sequence of one direction; one AEAD context, keyed once per traffic secret.
class RecordKey {
 public:
  RecordKey(const TrafficState& state, bool seal);
  RecordKey(const RecordKey&) = delete;
  RecordKey& operator=(const RecordKey&) = delete;
  ~RecordKey();
  const TrafficState& state() const { return state_; }
  uint64_t sequence() const { return state_.sequence; }
  // Moves to the next traffic secret (RFC 8446 7.2); the sequence starts at 0 again.
  void update();

 protected:
  void nonce(uint8_t* out12) const;
  void install();
  TrafficState state_;
  std::array<uint8_t, 12> iv_{};
  bool seal_;
  std::unique_ptr<evp_cipher_ctx_st, AeadFree> aead_;
};
static_assert(sizeof(RecordKey) <= 96);

class RecordSealer : public RecordKey {
 public:
  explicit RecordSealer(const TrafficState& state) : RecordKey(state, true) {}
  // `record` holds [5 header][plaintext][1 type][16 tag]; the caller has filled only the plaintext.
  // Returns the record's length. plaintextBytes <= kRecordPlaintextMax (checked).
  size_t seal(uint8_t* record, size_t plaintextBytes, ContentType type);
};

struct OpenedRecord {
  ContentType type = ContentType::data;
  MutableByteSpan content;
};

class RecordOpener : public RecordKey {
 public:
  explicit RecordOpener(const TrafficState& state) : RecordKey(state, false) {}
  // Opens one whole record in place. Error code: the alert to send. On failure the bytes are wiped.
  Result<OpenedRecord> open(MutableByteSpan record);
};

}  // namespace onehop::tls
