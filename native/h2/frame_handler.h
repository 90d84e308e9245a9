#pragma once

#include "h2/connection.h"

namespace onehop::h2 {

// What each frame does to a Connection. Lives for one feed(). Every handler says whether to read on.
class FrameHandler final : public FrameReader::Sink {
 public:
  explicit FrameHandler(Connection& connection) : c_(connection) {}
  bool onFrameHeader(const FrameHeader& header) override;
  bool onDataPart(const FrameHeader& header, ByteSpan part, size_t left) override;
  bool onFrame(const FrameHeader& header, ByteSpan payload) override;

 private:
  bool checkLength(const FrameHeader& header);
  bool onDataHeader(const FrameHeader& header);
  bool onHeaders(const FrameHeader& header, ByteSpan payload);
  bool onContinuation(const FrameHeader& header, ByteSpan payload);
  bool onPriority(const FrameHeader& header, ByteSpan payload);
  bool onReset(const FrameHeader& header, ByteSpan payload);
  bool onSettings(const FrameHeader& header, ByteSpan payload);
  bool onSettingsAck();
  bool applySetting(uint16_t id, uint32_t value);
  bool applyInitialWindow();
  bool onPing(const FrameHeader& header, ByteSpan payload);
  bool onGoaway(const FrameHeader& header, ByteSpan payload);
  bool onWindowUpdate(const FrameHeader& header, ByteSpan payload);
  // A whole header block: decodes it whatever becomes of the stream, for the table's sake.
  bool onBlock(uint32_t streamId, uint8_t flags, bool selfDependent, ByteSpan block);
  bool onNewRequest(uint32_t streamId, bool end, bool selfDependent, HpackOutcome outcome,
                    const HeaderList& fields);
  bool onMoreHeaders(Stream& stream, bool end, HpackOutcome outcome, const HeaderList& fields);
  bool onTrailers(Stream& stream, bool end, const HeaderList& fields);
  bool onBlockOfClosed(uint32_t streamId);
  bool isIdle(uint32_t streamId) const;

  bool fail(ErrorCode code, const char* detail);
  bool flood(const char* detail);
  bool charge(Charge kind, const char* detail);
  // RST_STREAM for the peer's error: counted, whether the stream is open or not.
  bool streamError(uint32_t streamId, ErrorCode code);
  // The same for a reason of ours.
  bool reset(uint32_t streamId, ErrorCode code, CloseReason reason);
  bool onDataOfClosed(const FrameHeader& header);
  bool alive() const { return !c_.dead_; }

  Connection& c_;
  uint32_t initialWindow_ = 0;  // the last one of the SETTINGS frame being read
};

}  // namespace onehop::h2
