#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace loadgen {

// A message is shorter than the pattern's period, so that it can be sent from any offset at once.
inline constexpr uint32_t kMessageMax = 1'000'000;

// The first 16 bytes a client sends on each connection, unless it speaks HTTP: what it wants from
// the server. Numbers are little-endian; both ends run on one machine.
struct Hello {
  static constexpr size_t kBytes = 16;
  enum Mode : uint8_t {
    kEcho = 'R',    // messages of `messageBytes`, each answered with the same bytes
    kUpload = 'U',  // pattern bytes; now and then answered with the count so far (8 bytes), or
                    // with kCorrupt when one of them was wrong
    kDownload = 'D' // pattern bytes until the client goes away
  };
  static constexpr uint64_t kCorrupt = ~0ull;
  Mode mode = kEcho;
  uint32_t messageBytes = 0;
  uint32_t start = 0;  // pattern offset of the first byte: bytes of two flows must not look alike

  void encode(uint8_t* out) const {
    std::memset(out, 0, kBytes);
    std::memcpy(out, "OHLG", 4);
    out[4] = mode;
    std::memcpy(out + 8, &messageBytes, 4);
    std::memcpy(out + 12, &start, 4);
  }
  static bool decode(const uint8_t* in, Hello& hello) {
    if (std::memcmp(in, "OHLG", 4) != 0) return false;
    if (in[4] != kEcho && in[4] != kUpload && in[4] != kDownload) return false;
    hello.mode = static_cast<Mode>(in[4]);
    std::memcpy(&hello.messageBytes, in + 8, 4);
    std::memcpy(&hello.start, in + 12, 4);
    return true;
  }
};

// Bytes that repeat with a period no buffer size divides, so a lost, doubled or moved byte shows.
class Pattern {
 public:
  static constexpr size_t kPeriod = 1048573;  // the largest prime below 2^20
  static_assert(kMessageMax < kPeriod);
  Pattern() : bytes_(kPeriod * 2) {
    uint64_t state = 0x243f6a8885a308d3ull;
    for (size_t i = 0; i < kPeriod; ++i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      bytes_[i] = static_cast<uint8_t>(state >> 56);
    }
    std::memcpy(bytes_.data() + kPeriod, bytes_.data(), kPeriod);
  }
  // At least kPeriod readable bytes from stream offset `offset`.
  const uint8_t* at(uint64_t offset) const { return bytes_.data() + offset % kPeriod; }
  bool matches(uint64_t offset, const uint8_t* data, size_t bytes) const {
    while (bytes > 0) {
      const size_t part = bytes < kPeriod ? bytes : kPeriod;
      if (std::memcmp(at(offset), data, part) != 0) return false;
      offset += part;
      data += part;
      bytes -= part;
    }
    return true;
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace loadgen
