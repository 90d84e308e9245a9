// HPACK: blocks of any bytes on one decoder, under small caps; what was decoded survives our encoder.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "h2/hpack.h"

using namespace onehop;
using namespace onehop::h2;

// Each block: its length in one byte, then its bytes. The first byte picks the table limit.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  if (length == 0) return 0;
  const uint32_t limit = bytes[0] * 32u;
  const HpackCaps caps{2000, 20};
  HpackDecoder decoder(limit);
  HpackDecoder mirror;
  HpackEncoder encoder;
  ByteSpan left(bytes + 1, length - 1);
  while (!left.empty()) {
    const size_t size = std::min<size_t>(left[0], left.size() - 1);
    const ByteSpan block = left.subspan(1, size);
    left = left.subspan(1 + size);
    if (size == 255) decoder.setTableLimit(limit / 2);
    HeaderList fields;
    const HpackOutcome outcome = decoder.decode(block, caps, fields);
    CHECK(decoder.tableBytes() <= limit);
    CHECK(fields.size() <= caps.fieldsMax && fields.listBytes() <= caps.listBytesMax);
    if (outcome != HpackOutcome::ok) {
      if (outcome == HpackOutcome::tooLarge) continue;
      return 0;
    }
    std::vector<uint8_t> coded;
    encoder.encode(fields, coded);
    HeaderList again;
    CHECK(mirror.decode(coded, caps, again) == HpackOutcome::ok);
    CHECK(again.size() == fields.size());
    for (size_t i = 0; i < fields.size(); ++i) {
      CHECK(again[i].name == fields[i].name && again[i].value == fields[i].value);
    }
  }
  return 0;
}
