#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "h2/frame.h"

namespace onehop::h2 {

// Cuts a byte stream into frames at any split. DATA is handed on as it comes, other known frames whole,
// unknown ones only by their header. A whole frame in one span is not copied.
class FrameReader {
 public:
  // False from any call stops the reader at once.
  class Sink {
   public:
    // Before any payload: may refuse by size or type.
    virtual bool onFrameHeader(const FrameHeader& header) = 0;
    // Part of a DATA frame's payload, padding included; `left` bytes of it are to come.
    virtual bool onDataPart(const FrameHeader& header, ByteSpan part, size_t left) = 0;
    virtual bool onFrame(const FrameHeader& header, ByteSpan payload) = 0;

   protected:
    ~Sink() = default;
  };

  explicit FrameReader(bool expectPreface) : prefaceLeft_(expectPreface ? 24 : 0) {}
  enum class Outcome : uint8_t { ok, stopped, badPreface };
  Outcome feed(ByteSpan bytes, Sink& sink);
  // In the middle of a frame, or of the preface.
  bool midFrame() const { return prefaceLeft_ > 0 || headerHave_ > 0 || inPayload_; }
  bool prefaceDone() const { return prefaceLeft_ == 0; }
  // Bytes kept of a split frame.
  size_t memoryBytes() const { return partial_.capacity(); }
  // Payload of a frame that the sink does not want: it is skipped. Called from onFrameHeader.
  void skipPayload() { skip_ = true; }

 private:
  bool takePayload(ByteSpan& bytes, Sink& sink);

  std::vector<uint8_t> partial_;
  FrameHeader header_;
  uint32_t payloadLeft_ = 0;
  uint8_t headerBytes_[kFrameHeaderBytes] = {};
  uint8_t headerHave_ = 0;
  uint8_t prefaceLeft_;
  bool inPayload_ = false;
  bool skip_ = false;
};

}  // namespace onehop::h2
