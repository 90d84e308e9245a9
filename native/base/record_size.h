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
// As many as fit into four of the packets that the kernel hands to a device at once, at most 64 KiB each
// and whole segments (65,160 bytes with an MTU of 1500, 65,483 on loopback; about as much with others).
// One record more would leave a crumb that is paced, sent and acknowledged by itself.
inline constexpr size_t kRecordsPerSendBlock = size_t{4} * 65160 / kRecordMax;
static_assert(kRecordsPerSendBlock == 15);
inline constexpr size_t kSendBlockBytes = kRecordsPerSendBlock * kRecordMax;

}  // namespace onehop
