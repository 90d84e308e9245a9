#include <algorithm>

#include "base/check.h"
#include "h2/connection_scope.h"

namespace onehop::h2 {
namespace {

constexpr size_t kWindowUpdateBytes = kFrameHeaderBytes + 4;
// Room asked for a small DATA frame: less would cut frames into crumbs at the end of a record.
constexpr size_t kSmallRoom = 1024;

}  // namespace

// One produce() call.
class Producer {
 public:
  Producer(Connection& connection, Output& output, size_t budget)
      : c_(connection), output_(output), budget_(budget) {}

  size_t run() {
    if (!flushControl() || c_.dead_) return written_;
    if (!flushCredit()) return written_;
    while (written_ < budget_ && c_.sendWindow_ > 0) {
      int32_t allowance = 0;
      Stream* stream = c_.scheduler_.next(&allowance);
      if (stream == nullptr || !serve(*stream, static_cast<size_t>(allowance))) break;
    }
    flushControl();  // the resets of sources that failed
    return written_;
  }

 private:
  bool flushControl() {
    auto& queue = c_.control_;
    while (c_.controlHead_ < queue.size()) {
      const MutableByteSpan room = output_.room(1);
      if (room.empty()) return false;
      const size_t take = std::min(room.size(), queue.size() - c_.controlHead_);
      std::copy_n(queue.data() + c_.controlHead_, take, room.data());
      output_.commit(take);
      c_.controlHead_ += take;
      written_ += take;
    }
    if (c_.controlHead_ > 0) c_.appendControl(0);  // forgets what was written
    return true;
  }

  bool writeWindowUpdate(uint32_t streamId, uint32_t credit) {
    const MutableByteSpan room = output_.room(kWindowUpdateBytes);
    if (room.empty()) return false;
    storeFrameHeader(room.data(), 4, FrameType::windowUpdate, 0, streamId);
    store32(room.data() + kFrameHeaderBytes, credit);
    output_.commit(kWindowUpdateBytes);
    written_ += kWindowUpdateBytes;
    return true;
  }

  bool flushCredit() {
    if (c_.windows_.connectionCreditDue()) {
      // Asked for first: credit taken must be credit sent.
      if (output_.room(kWindowUpdateBytes).empty()) return false;
      const uint32_t credit = c_.windows_.takeConnectionCredit();
      const bool sent = writeWindowUpdate(0, credit);
      CHECK(sent);
    }
    while (Stream* stream = c_.creditList_.front()) {
      if (!writeWindowUpdate(stream->id_, stream->creditDue_)) return false;
      stream->receiveWindow_ += stream->creditDue_;
      stream->creditDue_ = 0;
      c_.creditList_.remove(*stream);
    }
    return true;
  }

  // False when the output is full.
  bool serve(Stream& stream, size_t allowance) {
    if (stream.sendWindow_ <= 0) {
      c_.scheduler_.remove(stream);  // WINDOW_UPDATE brings it back
      c_.noteStarved(stream);
      return true;
    }
    const size_t window = static_cast<size_t>(std::min(stream.sendWindow_, c_.sendWindow_));
    // The budget is no reason to cut a record.
    const size_t limit = std::min({allowance, window, std::max(budget_ - written_, kUnitPayloadMax)});
    CHECK(limit > 0 && stream.source_ != nullptr);
    if (stream.bulk_ && limit >= kUnitPayloadMax) return serveUnits(stream, limit);
    return serveSmall(stream, limit);
  }

  bool serveSmall(Stream& stream, size_t limit) {
    const size_t least = kFrameHeaderBytes + std::min(limit, kSmallRoom);
    const MutableByteSpan room = output_.room(least);
    if (room.empty()) return false;
    CHECK(room.size() >= least);
    const size_t most =
        std::min({room.size() - kFrameHeaderBytes, limit, size_t{c_.peer_.frameBytesMax}});
    const iovec part{room.data() + kFrameHeaderBytes, most};
    const Pull pull = pullFrom(stream, &part, 1);
    CHECK(pull.bytes <= most);
    const bool end = pull.state == PullState::end;
    if (pull.bytes > 0 || end) {
      storeFrameHeader(room.data(), pull.bytes, FrameType::data, end ? kFlagEndStream : 0,
                       stream.id_);
      output_.commit(kFrameHeaderBytes + pull.bytes);
      written_ += kFrameHeaderBytes + pull.bytes;
    }
    stream.bulk_ = pull.bytes == most;
    settle(stream, pull);
    return true;
  }

  bool serveUnits(Stream& stream, size_t limit) {
    OutputUnit units[kUnitsPerPull];
    iovec parts[kUnitsPerPull];
    const size_t wanted = std::min(limit / kUnitPayloadMax, kUnitsPerPull);
    const size_t count = output_.reserveUnits(units, wanted);
    if (count == 0) return false;
    CHECK(count <= wanted);
    for (size_t i = 0; i < count; ++i) {
      CHECK(units[i].payloadMax > 0 && units[i].payloadMax <= kUnitPayloadMax);
      parts[i] = {units[i].payload, units[i].payloadMax};
    }
    const Pull pull = pullFrom(stream, parts, static_cast<int>(count));
    const bool end = pull.state == PullState::end;
    size_t left = pull.bytes;
    size_t full = 0;
    size_t lastBytes = 0;
    for (size_t i = 0; i < count && left > 0; ++i) {
      const size_t bytes = std::min(left, units[i].payloadMax);
      left -= bytes;
      const uint8_t flags = end && left == 0 ? kFlagEndStream : 0;
      storeFrameHeader(units[i].header, bytes, FrameType::data, flags, stream.id_);
      if (bytes == units[i].payloadMax) {
        ++full;
      } else {
        lastBytes = kFrameHeaderBytes + bytes;
      }
      written_ += kFrameHeaderBytes + bytes;
    }
    CHECK(left == 0);
    if (end && pull.bytes == 0) {
      storeFrameHeader(units[0].header, 0, FrameType::data, kFlagEndStream, stream.id_);
      lastBytes = kFrameHeaderBytes;
      written_ += kFrameHeaderBytes;
    }
    output_.commitUnits(full, lastBytes);
    stream.bulk_ = pull.bytes >= kUnitPayloadMax;
    settle(stream, pull);
    return true;
  }

  Pull pullFrom(Stream& stream, const iovec* parts, int count) {
    stream.sourceReady_ = false;
    const Pull pull = stream.source_->pull(parts, count);
    CHECK(!stream.closed_ && (pull.state != PullState::failed || pull.bytes == 0));
    return pull;
  }

  void settle(Stream& stream, const Pull& pull) {
    stream.sendWindow_ -= static_cast<int64_t>(pull.bytes);
    c_.sendWindow_ -= static_cast<int64_t>(pull.bytes);
    CHECK(stream.sendWindow_ >= 0 && c_.sendWindow_ >= 0);
    const auto crumbs = static_cast<uint32_t>(pull.bytes / kBytesPerGlitch);
    if (pull.bytes > 0) c_.guard_.earn(Charge::glitch, kGlitchesPerDataFrame + crumbs);
    switch (pull.state) {
      case PullState::more:
        stream.sourceReady_ = stream.sourceReady_ || pull.bytes > 0;
        break;
      case PullState::wouldBlock:
        break;
      case PullState::end:
        c_.scheduler_.remove(stream);
        c_.noteRelieved(stream);
        stream.localEnded_ = true;
        stream.source_ = nullptr;
        c_.finishIfEnded(stream, false);
        return;
      case PullState::failed:
        c_.resetStream(stream, static_cast<ErrorCode>(pull.code));
        return;
    }
    if (stream.sourceReady_) {
      c_.scheduler_.sent(stream, pull.bytes);
    } else {
      c_.scheduler_.ranDry(stream, pull.bytes);
      c_.noteRelieved(stream);  // nothing waits
    }
  }

  Connection& c_;
  Output& output_;
  size_t budget_;
  size_t written_ = 0;
};

size_t Connection::produce(Output& output, size_t budget, Nanos now) {
  CHECK(depth_ == 0);
  Scope scope(*this);
  now_ = now;
  if (!dead_ && pingSentAt_ == 0 && windows_.wantsSample(now)) {
    sendPing(now);
    windows_.startSample(now);
    pingByShares_ = true;
  }
  if (drain_ == Drain::announced) {
    drain_ = Drain::waiting;
    drainDeadline_ = now + limits_.drainTimeout;
  }
  const size_t written = Producer(*this, output, budget).run();
  if (!dead_) watchStall();
  return written;
}

bool Connection::wantsProduce() const {
  if (controlHead_ < control_.size()) return true;
  if (dead_) return false;
  return windows_.connectionCreditDue() || !creditList_.empty() ||
         (sendWindow_ > 0 && !scheduler_.empty());
}

}  // namespace onehop::h2
