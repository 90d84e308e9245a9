#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hex.h"

#include "h2/frame.h"
#include "endpoint.h"

namespace onehop::h2 {

// Frames as bytes: an independent way to write them for attacks and errors.
inline std::string number(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}
inline std::string frame(int type, int flags, uint32_t stream, std::string_view payload = {}) {
  return number(payload.size(), 3) + number(static_cast<unsigned>(type), 1) +
         number(static_cast<unsigned>(flags), 1) + number(stream, 4).append(payload);
}
inline std::string dataFrame(uint32_t stream, std::string_view payload, int flags = 0) {
  return frame(0, flags, stream, payload);
}
inline std::string headersFrame(uint32_t stream, std::string_view block, int flags = 0x4) {
  return frame(1, flags, stream, block);
}
inline std::string resetFrame(uint32_t stream, uint32_t code = 8) {
  return frame(3, 0, stream, number(code, 4));
}
inline std::string settingsFrame(const std::vector<std::pair<int, uint32_t>>& entries = {}) {
  std::string payload;
  for (const auto& [id, value] : entries) {
    payload += number(static_cast<unsigned>(id), 2) + number(value, 4);
  }
  return frame(4, 0, 0, payload);
}
inline std::string windowFrame(uint32_t stream, uint32_t increment) {
  return frame(8, 0, stream, number(increment, 4));
}
// A literal without indexing; texts below 127 bytes.
inline std::string literal(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + number(name.size(), 1).append(name) +
         number(value.size(), 1).append(value);
}
inline std::string connectBlock(std::string_view authority = "10.0.0.1:80") {
  return literal(":method", "CONNECT") + literal(":authority", authority);
}
inline std::string okBlock() { return "\x88"; }
inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Frame {
  int type;
  int flags;
  uint32_t stream;
  std::string payload;
  uint32_t word(size_t at = 0) const {
    return load32(reinterpret_cast<const uint8_t*>(payload.data()) + at);
  }
};
inline std::vector<Frame> parseFrames(std::string_view bytes) {
  std::vector<Frame> frames;
  while (bytes.size() >= 9) {
    const FrameHeader header = parseFrameHeader(reinterpret_cast<const uint8_t*>(bytes.data()));
    CHECK(bytes.size() >= 9 + header.length);
    frames.push_back({header.type, header.flags, header.streamId,
                      std::string(bytes.substr(9, header.length))});
    bytes.remove_prefix(9 + header.length);
  }
  CHECK(bytes.empty());
  return frames;
}

// A connection under test whose peer is a script of raw bytes. After the greeting, SETTINGS are
// exchanged and acknowledged and nothing waits. The default table: blocks need not begin by resizing it.
struct Attacked {
  explicit Attacked(Role role, const Limits& limits = {}, WindowLedger* ledger = nullptr)
      : endpoint(role, withTable(limits), ledger) {
    endpoint.connection.start(endpoint.now);
    const std::string hello = settingsFrame() + frame(4, 1, 0);
    CHECK(endpoint.feed(role == Role::server ? kPreface + hello : hello).ok());
    endpoint.produce();
  }
  static Limits withTable(Limits limits) {
    limits.headerTableBytes = 4096;
    return limits;
  }
  bool feed(std::string_view bytes) { return endpoint.feed(bytes).ok(); }
  std::vector<Frame> written() {
    std::string bytes = endpoint.produce();
    if (bytes.starts_with(kPreface)) bytes.erase(0, kPreface.size());
    return parseFrames(bytes);
  }
  // How often `bytes` can be fed before the connection is given up; `most` when it never is.
  int repeat(std::string_view bytes, int most, Nanos between = 0) {
    for (int i = 0; i < most; ++i) {
      if (!feed(bytes)) return i;
      endpoint.now += between;
      endpoint.produce();
    }
    return most;
  }
  // The code of the GOAWAY that ends the connection; -1 for none.
  int goawayCode() {
    int code = -1;
    for (const Frame& f : written()) {
      if (f.type == 7) code = static_cast<int>(f.word(4));
    }
    return code;
  }
  // The code of the last RST_STREAM written for `stream`; -1 for none.
  int resetCode(uint32_t stream) {
    int code = -1;
    for (const Frame& f : written()) {
      if (f.type == 3 && f.stream == stream) code = static_cast<int>(f.word());
    }
    return code;
  }
  bool open(uint32_t stream = 1, int flags = 0x4) {
    return feed(headersFrame(stream, connectBlock(), flags));
  }

  Endpoint endpoint;
};

}  // namespace onehop::h2
