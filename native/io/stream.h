#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "base/close_reason.h"

namespace onehop::io {

enum class IoState : uint8_t {
  ok,          // `bytes` moved; there may be more
  wouldBlock,  // nothing now; the observer hears when to try again
  end,         // orderly end of the direction (FIN, END_STREAM); reads only
  failed,      // the stream is dead, see `reason`
};

struct IoResult {
  IoState state = IoState::wouldBlock;
  size_t bytes = 0;  // may be > 0 with any state on writes; only with ok on reads
  CloseReason reason = CloseReason::none;
  int code = 0;  // errno or HTTP/2 error code behind `failed`
};

// Edge semantics: after wouldBlock (or a short write) the matching call comes once. Calls come from the
// event loop, never from inside a method of the stream. Whoever drops a stream from inside one of these
// calls hands it to EventLoop::retire (see RetiredStream) instead of destroying it.
class StreamObserver {
 public:
  virtual void onReadable() = 0;
  virtual void onWritable() = 0;
  // The stream died without being asked: reset by its peer, or liveness ran out. Last call it makes.
  virtual void onStreamFailed(CloseReason reason, int code) = 0;

 protected:
  ~StreamObserver() = default;
};

class StreamDriver;

// A connected, bidirectional, non-blocking byte stream: TCP, unix socket, TLS, or one CONNECT tunnel.
// Owned by whoever holds it; destroying it without closeWrite resets it.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Reads into the parts, in order. A read that fills less than asked is not yet the end.
  virtual IoResult readv(const iovec* parts, int count) = 0;
  // Takes as many bytes as there is room for; `bytes` says how many.
  virtual IoResult writev(const iovec* parts, int count) = 0;
  // Ends our direction in order, after what was written. Reading goes on. Idempotent.
  virtual void closeWrite() = 0;
  // Aborts both directions so that the peer can tell (RST, RST_STREAM). Idempotent.
  virtual void reset(CloseReason reason) = 0;
  // Null stops the calls. The observer must outlive the stream or unset itself.
  virtual void setObserver(StreamObserver* observer) = 0;
  // >= 0 when the kernel may move plain bytes from this descriptor, or to it.
  enum class RawUse : uint8_t { read, write };
  virtual int rawFd(RawUse use) const {
    static_cast<void>(use);
    return -1;
  }
  // After splice(2) on rawFd() met EAGAIN on our side: counts as wouldBlock.
  virtual void noteKernelBlocked(bool reading) { static_cast<void>(reading); }
  // Non-null when this stream multiplexes and wants to pull and push by itself.
  virtual StreamDriver* driver() { return nullptr; }
};

// What a driven relay reports. `a` is the driver's own stream, `b` the attached one.
class DriverEvents {
 public:
  virtual void onMoved(bool toDriver, size_t bytes) = 0;
  // One direction ended in order (FIN seen and passed on).
  virtual void onDirectionEnd(bool toDriver) = 0;
  // Everything is over. Both streams have been closed or reset accordingly. `localFailed` tells whether
  // the attached stream was the one that failed.
  virtual void onDriverDone(CloseReason reason, int code, bool localFailed) = 0;

 protected:
  ~DriverEvents() = default;
};

// A tunnel shares records and a connection with its neighbours, so it decides when bytes move: it pulls
// from the attached stream straight into its record buffers when it is this stream's turn, and pushes
// decrypted bytes straight from the receive buffer. Nothing is copied or held while both ends keep up.
class StreamDriver {
 public:
  // Takes over observing `local` until onDriverDone. Both must stay alive until then or detach().
  virtual void attach(ByteStream& local, DriverEvents& events) = 0;
  virtual void detach() = 0;

 protected:
  ~StreamDriver() = default;
};

}  // namespace onehop::io
