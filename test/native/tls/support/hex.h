#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tls/record.h"

namespace onehop::tls {

inline int digitOf(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

// Lower-case hex; blanks between bytes are skipped.
inline std::vector<uint8_t> fromHex(std::string_view text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    bytes.push_back(static_cast<uint8_t>(digitOf(text[i]) << 4 | digitOf(text[i + 1])));
    ++i;
  }
  return bytes;
}

inline std::string toHex(ByteSpan bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

inline TrafficState trafficState(Suite suite, std::string_view secretHex, uint64_t sequence = 0) {
  TrafficState state;
  state.suite = suite;
  state.sequence = sequence;
  const std::vector<uint8_t> secret = fromHex(secretHex);
  std::copy(secret.begin(), secret.end(), state.secret.begin());
  return state;
}

// One record with its plaintext already in place.
inline std::vector<uint8_t> sealRecord(RecordSealer& sealer, ByteSpan plaintext,
                                       ContentType type = ContentType::data) {
  std::vector<uint8_t> record(kRecordHeader + plaintext.size() + kRecordTrailer);
  std::copy(plaintext.begin(), plaintext.end(), record.begin() + kRecordHeader);
  sealer.seal(record.data(), plaintext.size(), type);
  return record;
}
inline std::vector<uint8_t> sealRecord(RecordSealer& sealer, std::string_view plaintext,
                                       ContentType type = ContentType::data) {
  return sealRecord(sealer, asBytes(plaintext), type);
}

}  // namespace onehop::tls
