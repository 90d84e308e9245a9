#pragma once

#include <cstdint>

#include "base/intrusive_list.h"
#include "h2/frame.h"
#include "h2/output.h"

namespace onehop::h2 {

struct ReadyTag {};
struct CreditTag {};

// One HTTP/2 stream. Owned by its Connection; a reference is good until onStreamClosed returned or
// resetStream was called.
class Stream : public ListLink<ReadyTag>, public ListLink<CreditTag> {
 public:
  uint32_t id() const { return id_; }
  // We sent END_STREAM, or the peer did.
  bool localEnded() const { return localEnded_; }
  bool remoteEnded() const { return remoteEnded_; }
  bool isConnect() const { return isConnect_; }
  // What the peer still lets us send, and what arrived and was not consumed().
  int64_t sendWindow() const { return sendWindow_; }
  uint32_t unconsumedBytes() const { return unconsumed_; }

  void* user = nullptr;  // the owner's; the connection never looks at it

 private:
  friend class Connection;
  friend class FrameHandler;
  friend class Producer;
  friend class Scheduler;
  friend class WindowShares;

  explicit Stream(uint32_t id) : id_(id) {}

  DataSource* source_ = nullptr;
  int64_t contentLeft_ = -1;  // of a declared content-length; -1 when none counts
  int64_t sendWindow_ = 0;    // may be negative (RFC 9113 6.9.2)
  int64_t receiveWindow_ = 0;
  uint32_t id_;
  uint32_t unconsumed_ = 0;
  uint32_t creditDue_ = 0;   // WINDOW_UPDATE waiting to be written
  int32_t deficit_ = 0;      // deficit round robin, bytes
  uint32_t turnBytes_ = 0;   // sent in the scheduler's epoch `epoch_`
  uint32_t epoch_ = 0;
  bool localEnded_ : 1 = false;
  bool remoteEnded_ : 1 = false;
  bool closed_ : 1 = false;
  bool isConnect_ : 1 = false;
  bool isHead_ : 1 = false;
  bool connected_ : 1 = false;      // CONNECT answered with 2xx: carries DATA and nothing else
  bool headersSeen_ : 1 = false;    // final (not 1xx) headers of the peer
  bool headersSent_ : 1 = false;
  bool sourceReady_ : 1 = false;    // the source has bytes, or its end
  bool bulk_ : 1 = false;           // the last pull filled all it was given
  bool starved_ : 1 = false;        // has bytes, and the peer keeps its window shut (no tunnels)
  bool starvedLong_ : 1 = false;    // was so at the last look
  bool wasBulk_ : 1 = false;        // for the scheduler: bulk in the epoch before epoch_
  uint8_t busyRound_ = 0;           // the round of window shares it was counted in
  uint16_t grantRest_ = 0;          // what the peer may send in all, beyond whole records
};
static_assert(sizeof(Stream) <= 160);

}  // namespace onehop::h2
