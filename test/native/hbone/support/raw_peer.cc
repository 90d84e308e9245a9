#include "hbone/support/raw_peer.h"

#include <cstring>

#include "base/check.h"

namespace onehop::hbone {

RawPeer::RawPeer(io::EventLoop& loop, io::Fd fd, std::unique_ptr<tls::Session> session, bool server)
    : loop_(loop), fd_(fd.get()), preface_(server) {
  auto socket = io::TcpStream::adopt(loop, std::move(fd));
  CHECK(socket.ok());
  transport::TlsEvents& events = *this;
  stream = std::make_unique<transport::TlsStream>(std::move(socket.value()), std::move(session),
                                                  events);
  stream->start(5 * kSecond);
}

RawPeer::~RawPeer() { stream->abort(); }

void RawPeer::bytes(std::string_view text) {
  while (!text.empty()) {
    const MutableByteSpan room = stream->room(1);
    if (room.empty()) break;
    const size_t count = std::min(room.size(), text.size());
    std::memcpy(room.data(), text.data(), count);
    stream->commit(count);
    text.remove_prefix(count);
  }
  stream->flush();
}

void RawPeer::frame(h2::FrameType type, uint8_t flags, uint32_t streamId, std::string payload) {
  uint8_t header[9];
  h2::storeFrameHeader(header, payload.size(), type, flags, streamId);
  bytes(std::string(reinterpret_cast<char*>(header), 9) + payload);
}

void RawPeer::settings(uint32_t maxStreams) {
  std::string payload;
  if (maxStreams > 0) {
    payload.resize(6);
    auto* at = reinterpret_cast<uint8_t*>(payload.data());
    store16(at, 3);
    store32(at + 2, maxStreams);
  }
  frame(h2::FrameType::settings, 0, 0, payload);
}

void RawPeer::goaway(uint32_t lastStreamId, uint32_t code) {
  uint8_t payload[8];
  store32(payload, lastStreamId);
  store32(payload + 4, code);
  frame(h2::FrameType::goaway, 0, 0, std::string(reinterpret_cast<char*>(payload), 8));
}

void RawPeer::reset(uint32_t streamId, uint32_t code) {
  uint8_t payload[4];
  store32(payload, code);
  frame(h2::FrameType::rstStream, 0, streamId, std::string(reinterpret_cast<char*>(payload), 4));
}

void RawPeer::accept(uint32_t streamId, bool end) {
  frame(h2::FrameType::headers, end ? 5 : 4, streamId, "\x20\x88");
}

void RawPeer::deafen() {
  struct Nobody final : io::IoWatcher {
    void onIo(uint32_t) override {}
  } nobody;
  loop_.unwatch(fd_, nobody);
}

size_t RawPeer::count(h2::FrameType type) const {
  size_t found = 0;
  for (const RawFrame& f : frames) found += f.type == type ? 1 : 0;
  return found;
}

const RawFrame* RawPeer::last(h2::FrameType type) const {
  for (auto at = frames.rbegin(); at != frames.rend(); ++at) {
    if (at->type == type) return &*at;
  }
  return nullptr;
}

void RawPeer::onPlaintext(MutableByteSpan text) {
  text_.append(asText(text));
  if (preface_) {
    if (text_.size() < 24) return;
    text_.erase(0, 24);
    preface_ = false;
  }
  while (text_.size() >= 9) {
    const auto* head = reinterpret_cast<const uint8_t*>(text_.data());
    const size_t length = load24(head);
    if (text_.size() < 9 + length) return;
    RawFrame f{static_cast<h2::FrameType>(head[3]), head[4], load32(head + 5),
               text_.substr(9, length)};
    text_.erase(0, 9 + length);
    frames.push_back(f);
    if (onFrame) onFrame(f);
  }
}

RawServer::RawServer(io::EventLoop& loop) : loop_(loop) {
  io::ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  auto socket = io::openListener(options);
  CHECK(socket.ok());
  address = socket.value().bound;
  listener_ = std::make_unique<io::Listener>(loop, std::move(socket.value().fd), *this);
  CHECK(listener_->start().ok());
}

void RawServer::onAccepted(io::Fd fd, const SocketAddress&) {
  if (silent) {
    held.push_back(std::move(fd));
    return;
  }
  peers.push_back(std::make_unique<RawPeer>(
      loop_, std::move(fd), tls::Session::server(test::testCredentials(test::kServerId)), true));
  if (onPeer) onPeer(*peers.back());
}

}  // namespace onehop::hbone
