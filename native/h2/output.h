#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace onehop::h2 {

inline constexpr size_t kFrameHeaderBytes = 9;
// A DATA frame that fills exactly one TLS record together with its header (16384 - 9).
inline constexpr size_t kUnitPayloadMax = 16375;
// The most units one pull is asked to fill.
inline constexpr size_t kUnitsPerPull = 15;

// One whole record's worth of plaintext: the frame header goes directly before the payload.
struct OutputUnit {
  uint8_t* header = nullptr;  // kFrameHeaderBytes; payload == header + kFrameHeaderBytes
  uint8_t* payload = nullptr;
  size_t payloadMax = 0;  // kUnitPayloadMax, or less for a short unit; never 0
};

// Where produce() writes plaintext. Implemented by the owner of the record layer; its own bound on what
// may be queued is how it stops produce(). No call re-enters the Connection.
class Output {
 public:
  // Contiguous room of at least `least` (1 .. 4096) bytes in the record being filled, or in a new one
  // when that one is nearly full. Empty when the output is full: produce() then stops.
  virtual MutableByteSpan room(size_t least) = 0;
  // The first `bytes` of the last room() are written. Not called when nothing was written.
  virtual void commit(size_t bytes) = 0;
  // Up to `count` (<= kUnitsPerPull) whole records, after closing the one being filled; 0 when full.
  // Nothing is kept of units that the next call does not commit.
  virtual size_t reserveUnits(OutputUnit* units, size_t count) = 0;
  // The first `fullUnits` units carry header and payloadMax bytes. When lastBytes > 0, one more unit
  // carries lastBytes bytes, its header included. Called once after each successful reserveUnits, with
  // (0, 0) when nothing was written.
  virtual void commitUnits(size_t fullUnits, size_t lastBytes) = 0;

 protected:
  ~Output() = default;
};

enum class PullState : uint8_t {
  more,        // there may be more: stays in the round
  wouldBlock,  // nothing now: Connection::sourceReady() when there is
  end,         // `bytes` are the last: END_STREAM is sent
  failed,      // broken: RST_STREAM with `code` is sent, the stream closes without an event
};

struct Pull {
  PullState state = PullState::wouldBlock;
  size_t bytes = 0;   // written into the parts, in order; 0 with failed
  uint32_t code = 0;  // HTTP/2 error code for `failed`
};

// Where a stream's outgoing payload comes from: pulled when it is the stream's turn, straight into the
// record buffer. pull() may call sourceReady() and consumed() of the connection, nothing else.
class DataSource {
 public:
  // `count` >= 1 and every part is non-empty.
  virtual Pull pull(const iovec* parts, int count) = 0;

 protected:
  ~DataSource() = default;
};

}  // namespace onehop::h2
