#include "h2/frame_reader.h"

#include <algorithm>

#include "base/check.h"

namespace onehop::h2 {

FrameReader::Outcome FrameReader::feed(ByteSpan bytes, Sink& sink) {
  while (prefaceLeft_ > 0 && !bytes.empty()) {
    const size_t done = kClientPreface.size() - prefaceLeft_;
    if (bytes[0] != static_cast<uint8_t>(kClientPreface[done])) return Outcome::badPreface;
    bytes = bytes.subspan(1);
    --prefaceLeft_;
  }
  // A frame with an empty payload is complete although no byte is left.
  while (!bytes.empty() || (inPayload_ && payloadLeft_ == 0)) {
    if (inPayload_) {
      if (!takePayload(bytes, sink)) return Outcome::stopped;
      continue;
    }
    const size_t take = std::min<size_t>(kFrameHeaderBytes - headerHave_, bytes.size());
    std::copy_n(bytes.data(), take, headerBytes_ + headerHave_);
    headerHave_ = static_cast<uint8_t>(headerHave_ + take);
    bytes = bytes.subspan(take);
    if (headerHave_ < kFrameHeaderBytes) break;
    headerHave_ = 0;
    header_ = parseFrameHeader(headerBytes_);
    payloadLeft_ = header_.length;
    skip_ = false;
    inPayload_ = true;
    if (!sink.onFrameHeader(header_)) return Outcome::stopped;
  }
  return Outcome::ok;
}

bool FrameReader::takePayload(ByteSpan& bytes, Sink& sink) {
  const size_t take = std::min<size_t>(payloadLeft_, bytes.size());
  const ByteSpan part = bytes.first(take);
  bytes = bytes.subspan(take);
  payloadLeft_ -= static_cast<uint32_t>(take);
  inPayload_ = payloadLeft_ > 0;
  if (skip_) return true;
  if (header_.type == static_cast<uint8_t>(FrameType::data)) {
    return sink.onDataPart(header_, part, payloadLeft_);
  }
  if (partial_.empty() && payloadLeft_ == 0) return sink.onFrame(header_, part);
  partial_.insert(partial_.end(), part.begin(), part.end());
  if (payloadLeft_ > 0) return true;
  CHECK(partial_.size() == header_.length);
  // Taken out, so that an idle connection keeps no buffer.
  std::vector<uint8_t> whole;
  whole.swap(partial_);
  return sink.onFrame(header_, whole);
}

}  // namespace onehop::h2
