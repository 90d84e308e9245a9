// The frame reader: any bytes, and the same frames however they are split.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "h2/frame_reader.h"

using namespace onehop;
using namespace onehop::h2;

namespace {

struct Log final : FrameReader::Sink {
  bool onFrameHeader(const FrameHeader& header) override {
    text += '<' + std::to_string(header.type) + ',' + std::to_string(header.length);
    if (header.type > 9 && header.flags % 2 == 0) reader->skipPayload();
    return header.type != 200;
  }
  bool onDataPart(const FrameHeader& header, ByteSpan part, size_t left) override {
    CHECK(part.size() + left <= header.length);
    text += asText(part);
    return true;
  }
  bool onFrame(const FrameHeader& header, ByteSpan payload) override {
    CHECK(payload.size() == header.length);
    text += '[';
    text += asText(payload);
    return header.type != 201;
  }
  std::string text;
  FrameReader* reader = nullptr;
};

std::string read(ByteSpan bytes, bool preface, size_t step) {
  FrameReader reader(preface);
  Log log;
  log.reader = &reader;
  while (!bytes.empty()) {
    const ByteSpan part = bytes.first(std::min(step, bytes.size()));
    bytes = bytes.subspan(part.size());
    const FrameReader::Outcome outcome = reader.feed(part, log);
    if (outcome != FrameReader::Outcome::ok) {
      return log.text + "!" + std::to_string(static_cast<int>(outcome));
    }
  }
  return log.text + (reader.midFrame() ? "~" : "");
}

}  // namespace

// The first byte says whether a preface is expected, and how the bytes are split.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  if (length == 0) return 0;
  const bool preface = (bytes[0] & 1) != 0;
  const ByteSpan rest(bytes + 1, length - 1);
  const std::string whole = read(rest, preface, SIZE_MAX);
  CHECK(read(rest, preface, 1u + bytes[0] / 2) == whole);
  CHECK(read(rest, preface, 1) == whole);
  return 0;
}
