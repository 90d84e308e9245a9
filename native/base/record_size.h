#pragma once

#include <cstddef>

namespace onehop {

// TLS 1.3 record geometry (RFC 8446 5.1, 5.2), here because tls fills records, transport lays them out
// and io lends blocks that hold a whole number of them.
inline constexpr size_t kRecordHeader = 5;
inline constexpr size_t kRecordPlaintextMax = 16384;
inline constexpr size_t kRecordTrailer = 1 + 16;  // content type and AEAD tag
inline constexpr size_t kRecordMax = kRecordHeader + kRecordPlaintextMax + kRecordTrailer;
// What a peer may send: plaintext, type, tag and padding up to 256 bytes in all beyond the plaintext.
inline constexpr size_t kRecordReceiveMax = kRecordHeader + kRecordPlaintextMax + 256;
inline constexpr size_t kRecordsPerSendBlock = 16;
inline constexpr size_t kSendBlockBytes = kRecordsPerSendBlock * kRecordMax;

}  // namespace onehop
