#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "h2/output.h"

namespace onehop::h2 {

// RFC 9113 6.
enum class FrameType : uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  rstStream = 3,
  settings = 4,
  pushPromise = 5,
  ping = 6,
  goaway = 7,
  windowUpdate = 8,
  continuation = 9,
};

// RFC 9113 7, and 0xa by name because HBONE maps TCP errors to it.
enum class ErrorCode : uint32_t {
  noError = 0x0,
  protocolError = 0x1,
  internalError = 0x2,
  flowControlError = 0x3,
  settingsTimeout = 0x4,
  streamClosed = 0x5,
  frameSizeError = 0x6,
  refusedStream = 0x7,
  cancel = 0x8,
  compressionError = 0x9,
  connectError = 0xa,
  enhanceYourCalm = 0xb,
  inadequateSecurity = 0xc,
  http11Required = 0xd,
};

inline constexpr uint8_t kFlagEndStream = 0x1;
inline constexpr uint8_t kFlagAck = 0x1;
inline constexpr uint8_t kFlagEndHeaders = 0x4;
inline constexpr uint8_t kFlagPadded = 0x8;
inline constexpr uint8_t kFlagPriority = 0x20;

// RFC 9113 6.5.2.
enum class SettingId : uint16_t {
  headerTableSize = 1,
  enablePush = 2,
  maxConcurrentStreams = 3,
  initialWindowSize = 4,
  maxFrameSize = 5,
  maxHeaderListSize = 6,
  // Ours, of the range for experiments (RFC 9113 11.3); whoever does not know it ignores it. 1 from a
  // server: DATA that comes before the answer to its CONNECT is kept, within the stream's window, and
  // delivered if the answer is 2xx, dropped if not.
  optimisticConnect = 0xf0c1,
};

inline constexpr uint32_t kFrameSizeDefault = 16384;
inline constexpr uint32_t kFrameSizeLimit = (1u << 24) - 1;
inline constexpr int64_t kWindowMax = 0x7fffffff;
inline constexpr int32_t kWindowDefault = 65535;
inline constexpr uint32_t kStreamIdMax = 0x7fffffff;
inline constexpr std::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct FrameHeader {
  uint32_t length = 0;
  uint8_t type = 0;  // may be unknown
  uint8_t flags = 0;
  uint32_t streamId = 0;  // reserved bit cleared
};

inline FrameHeader parseFrameHeader(const uint8_t* p) {
  return {load24(p), p[3], p[4], load32(p + 5) & kStreamIdMax};
}

inline void storeFrameHeader(uint8_t* p, size_t length, FrameType type, uint8_t flags,
                             uint32_t streamId) {
  store24(p, static_cast<uint32_t>(length));
  p[3] = static_cast<uint8_t>(type);
  p[4] = flags;
  store32(p + 5, streamId);
}

}  // namespace onehop::h2
