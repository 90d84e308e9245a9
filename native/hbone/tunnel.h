#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "h2/output.h"
#include "h2/stream.h"
#include "io/stream.h"

namespace onehop::hbone {

class Tunnel;

// Payload of one tunnel in the receive block, waiting for one gathered write. One per carrier, part of
// it: allocated for every batch it cost more than the write it saves.
struct ReceiveGather {
  static constexpr int kPartsMax = 32;
  Tunnel* owner = nullptr;
  int count = 0;
  iovec parts[kPartsMax];
};

// What a tunnel needs of the client or server connection that carries it.
class TunnelCarrier {
 public:
  virtual void sourceReady(h2::Stream& stream) = 0;
  virtual void consumed(h2::Stream& stream, size_t bytes) = 0;
  virtual void resetTunnel(h2::Stream& stream, h2::ErrorCode code) = 0;
  virtual ReceiveGather& gather() = 0;
  // The tunnel object goes away: the carrier forgets it.
  virtual void tunnelGone(h2::Stream& stream) = 0;

 protected:
  ~TunnelCarrier() = default;
};

// One CONNECT stream as a ByteStream. Attached, it pulls from the local stream into record slots inside
// produce() and pushes received DATA with gathered writes; it holds no buffer while both ends keep up.
// Unattached, it serves readv from at most one stream window of kept bytes and writev from at most
// kWriteBytesMax. The carrier outlives it or calls onPeerReset().
//
// RST of the local stream -> RST_STREAM(CONNECT_ERROR); RST_STREAM of the peer -> reset of the local
// stream; FIN <-> END_STREAM, each direction alone (reference 2.6, 13.10). Destroying a tunnel whose
// directions are not both over sends RST_STREAM(CANCEL).
class Tunnel final : public io::ByteStream, public io::StreamDriver, public h2::DataSource,
                     private io::StreamObserver {
 public:
  static constexpr size_t kWriteBytesMax = 64 * 1024;

  Tunnel(TunnelCarrier& carrier, h2::Stream& stream) : carrier_(&carrier), stream_(&stream) {}
  ~Tunnel() override;

  io::IoResult readv(const iovec* parts, int count) override;
  io::IoResult writev(const iovec* parts, int count) override;
  void closeWrite() override;
  void reset(CloseReason reason) override;
  void setObserver(io::StreamObserver* observer) override { observer_ = observer; }
  io::StreamDriver* driver() override { return this; }

  // May call `events` before it returns when bytes or the end had already arrived. In events the owner
  // retires the tunnel and never destroys it.
  void attach(io::ByteStream& local, io::DriverEvents& events) override;
  void detach() override;
  h2::Pull pull(const iovec* parts, int count) override;

  // For the carrier. Payload lies in the receive block: valid until flushReceived().
  void onPayload(ByteSpan payload, bool end);
  // Before the receive block goes back or another stream's payload comes.
  void flushReceived();
  // Both directions of the stream are over in order; kept bytes are still delivered.
  void onStreamComplete() { unlink(); }
  // The peer reset the stream, or the connection under it is lost. NO_ERROR or CANCEL after its
  // END_STREAM says that it wants no more bytes (its application closed the socket; RFC 9113 8.1 and
  // reference 2.6): what it sent is still delivered with its FIN, and ours are refused by the kernel.
  void onPeerReset(CloseReason reason, uint32_t code);
  void carrierLost(CloseReason reason) { onPeerReset(reason, 0); }

  void* opening = nullptr;  // the carrier's record of a CONNECT not yet answered

 private:
  void onReadable() override;
  void onWritable() override;
  void onStreamFailed(CloseReason reason, int code) override;
  h2::Pull pullOnce(const iovec* parts, int count);
  void push(const iovec* parts, int count);
  bool noteWritten(const io::IoResult& result);
  bool pushKept();
  void passEnd();
  bool finishIfOver();
  void finish(CloseReason reason, int code, bool localFailed);
  void localFailed(CloseReason reason, int code);
  void unlink();
  size_t copyWritten(const iovec* parts, int count);

  TunnelCarrier* carrier_;  // both null when the stream is closed
  h2::Stream* stream_;
  io::ByteStream* local_ = nullptr;
  io::StreamObserver* observer_ = nullptr;
  io::DriverEvents* events_ = nullptr;
  std::vector<uint8_t> kept_;     // received, not passed on; no capacity when idle
  std::vector<uint8_t> written_;  // writev's, not pulled; no capacity when idle
  uint32_t keptHead_ = 0;
  uint32_t writtenHead_ = 0;
  uint32_t failCode_ = 0;
  CloseReason failReason_ = CloseReason::none;
  bool localEnded_ = false;   // END_STREAM is due or sent
  bool remoteEnded_ = false;  // END_STREAM received
  bool endPassedOn_ = false;
  bool endPulled_ = false;
  bool wantsWrite_ = false;
  bool inPull_ = false;
};
static_assert(sizeof(Tunnel) <= 160);

}  // namespace onehop::hbone
