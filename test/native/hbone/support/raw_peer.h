#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "h2/frame.h"
#include "io/listener.h"
#include "io/socket.h"
#include "support/certificates.h"
#include "transport/tls_stream.h"

namespace onehop::hbone {

struct RawFrame {
  h2::FrameType type;
  uint8_t flags;
  uint32_t streamId;
  std::string payload;
};

// A TLS end that speaks HTTP/2 frame by frame, as the test says: for peers that misbehave.
class RawPeer final : public transport::TlsEvents {
 public:
  RawPeer(io::EventLoop& loop, io::Fd fd, std::unique_ptr<tls::Session> session, bool server);
  ~RawPeer();
  void frame(h2::FrameType type, uint8_t flags, uint32_t streamId, std::string payload = {});
  void bytes(std::string_view text);
  void settings(uint32_t maxStreams = 0);  // 0: none named
  void goaway(uint32_t lastStreamId, uint32_t code = 0);
  void reset(uint32_t streamId, uint32_t code);
  void accept(uint32_t streamId, bool end = false);  // :status 200
  void deafen();  // takes its socket out of the loop
  size_t count(h2::FrameType type) const;
  const RawFrame* last(h2::FrameType type) const;

  std::function<void(const RawFrame&)> onFrame;
  std::vector<RawFrame> frames;
  bool established = false;
  bool closed = false;
  bool released = false;
  Error error;
  std::unique_ptr<transport::TlsStream> stream;

 private:
  void onEstablished() override { established = true; }
  void onPlaintext(MutableByteSpan text) override;
  void onBatchEnd() override {}
  void onRoom() override { stream->flush(); }
  void onClosed(const Error& e) override {
    closed = true;
    error = e;
  }
  void onReleased() override { released = true; }

  io::EventLoop& loop_;
  int fd_;
  std::string text_;
  bool preface_;
};

// Accepts connections; each becomes a RawPeer, or is kept silent.
class RawServer final : public io::ListenerEvents {
 public:
  explicit RawServer(io::EventLoop& loop);
  void onAccepted(io::Fd fd, const SocketAddress& peer) override;
  void onAcceptPaused(int) override {}

  std::function<void(RawPeer&)> onPeer;
  SocketAddress address;
  bool silent = false;  // accepts and says nothing, not even TLS
  std::vector<std::unique_ptr<RawPeer>> peers;
  std::vector<io::Fd> held;

 private:
  io::EventLoop& loop_;
  std::unique_ptr<io::Listener> listener_;
};

}  // namespace onehop::hbone
