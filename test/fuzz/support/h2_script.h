#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "../../native/h2/support/raw.h"

namespace onehop::h2 {

// Plays an input as a script against one connection: frames, well formed or not, raw bytes, what an
// owner does, and time. After each step the connection's own promises are checked.
class Script {
 public:
  Script(Role role, const uint8_t* bytes, size_t length)
      : in_(bytes, length), limits_(smallLimits()), ledger_(30000), peer_(role, limits_, &ledger_) {}

  void play() {
    const uint8_t mode = byte();
    c().start(peer_.now);
    peer_.autoAccept = (mode & 1) != 0;
    peer_.autoConsume = (mode & 2) != 0;
    if ((mode & 4) == 0) {
      if (c().role() == Role::server) feed(kPreface);
      feed(settingsFrame() + frame(4, 1, 0));
    }
    while (!in_.empty()) step();
    peer_.records.bytesMax = 1 << 30;
    peer_.records.unitsMax = kUnitsPerPull;
    peer_.produce(1 << 30);
    CHECK(!c().wantsProduce());
    c().abort(CloseReason::localClosed);
    CHECK(c().streamsActive() == 0 && ledger_.bytes() == 0);
  }

 private:
  static Limits smallLimits() {
    Limits limits;
    limits.streamsMax = 5;
    limits.headerTableBytes = 200;
    limits.headerListBytesMax = 600;
    limits.headerFieldsMax = 8;
    limits.headerBlockBytesMax = 1000;
    limits.controlBytesMax = 2000;
    limits.windows = {8000, 2000, 66000, 200000};
    limits.floods = {30, 5, 40, 5, 20, 5, 10, 5, 4};
    return limits;
  }
  Connection& c() { return peer_.connection; }

  uint8_t byte() {
    if (in_.empty()) return 0;
    const uint8_t value = in_[0];
    in_ = in_.subspan(1);
    return value;
  }
  std::string text(size_t bytes) {
    const ByteSpan part = in_.first(std::min(bytes, in_.size()));
    in_ = in_.subspan(part.size());
    return std::string(asText(part));
  }
  Endpoint::Flow* anyFlow() {
    if (peer_.order.empty()) return nullptr;
    Endpoint::Flow* f = peer_.order[byte() % peer_.order.size()];
    return f->stream == nullptr ? nullptr : f;
  }

  // Split at a point the script picks.
  void feed(std::string_view bytes) {
    const size_t cut = std::min<size_t>(byte(), bytes.size());
    for (const std::string_view part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      const bool wasDead = c().dead();
      const bool good = peer_.feed(part).ok();
      CHECK(good == !c().dead());
      CHECK(!wasDead || c().dead());
    }
    CHECK(c().memoryBytes() < 64 * 1024);
  }
  void write() {
    const std::string bytes = peer_.produce(byte() * 100u + 1);
    output_ += bytes;
    // What goes out is frames, and none is larger than allowed.
    std::string_view left(output_);
    if (c().role() == Role::client && left.size() >= kPreface.size() && !prefaceSeen_) {
      CHECK(left.starts_with(kPreface));
      left.remove_prefix(kPreface.size());
      prefaceSeen_ = true;
    }
    while (left.size() >= kFrameHeaderBytes) {
      const FrameHeader header = parseFrameHeader(reinterpret_cast<const uint8_t*>(left.data()));
      CHECK(header.length <= kFrameSizeDefault && header.type <= 9);
      if (left.size() < kFrameHeaderBytes + header.length) break;
      if (header.type == 6 && (header.flags & kFlagAck) == 0) {
        ping_ = left.substr(kFrameHeaderBytes, header.length);
      }
      left.remove_prefix(kFrameHeaderBytes + header.length);
    }
    output_.erase(0, output_.size() - left.size());
  }

  void step() {
    switch (byte() % 16) {
      case 0:
        return feed(text(byte()));
      case 1:
      case 2:
      case 3: {
        const int type = byte() % 11;
        const int flags = byte();
        const uint32_t stream = byte() % 16;
        return feed(frame(type, flags, stream, text(byte())));
      }
      case 4: {
        const uint32_t stream = byte() % 32;
        const int flags = byte() % 2 == 0 ? 4 : 5;
        const std::string get = literal(":method", "GET") + literal(":scheme", "https") +
                                literal(":path", "/") + literal("content-length", "40");
        const std::string blocks[] = {connectBlock(), okBlock(), get, literal("a", "b")};
        return feed(headersFrame(stream, blocks[byte() % 4], flags));
      }
      case 5:
        return feed(dataFrame(byte() % 16, std::string(byte() * 50u, 'd'), byte() % 2));
      case 6: {
        const uint32_t stream = byte() % 16;
        return feed(windowFrame(stream, static_cast<uint32_t>(byte()) << (byte() % 24)));
      }
      case 7:
        return feed(settingsFrame({{byte() % 8, static_cast<uint32_t>(byte()) << (byte() % 25)}}));
      case 8:
        return write();
      case 9:
        peer_.records.bytesMax = byte() % 4 == 0 ? 0 : byte() * 200u;
        peer_.records.unitsMax = byte() % 17;
        return;
      case 10:
        peer_.now += static_cast<Nanos>(byte()) << (byte() % 31);
        CHECK(c().nextDeadline() >= 0);
        return c().onTimer(peer_.now);
      case 11:
        return feed(frame(6, 1, 0, ping_));
      default:
        return own();
    }
  }

  // What an owner may do.
  void own() {
    const uint8_t what = byte() % 14;
    if (what == 0 && c().role() == Role::client) {
      peer_.open("a:1", byte() % 4 == 0);
      return;
    }
    if (what == 1) return c().shutdownGraceful();
    if (what == 2) return static_cast<void>(c().ping(peer_.now));
    if (what == 3 && byte() == 77) return c().goaway(ErrorCode::internalError);
    if (what == 4) return c().holdSlot(), c().releaseSlot();
    Endpoint::Flow* f = anyFlow();
    if (f == nullptr) return;
    const bool server = c().role() == Role::server;
    const bool answered = !server || f->answered;
    if (what < 6 && !answered) return peer_.answer(*f, "103", false);
    if (what < 8 && !answered) return peer_.answer(*f, byte() % 4 == 0 ? "503" : "200", byte() % 4 == 0);
    if (f->stream == nullptr) return;
    if (what == 8) return peer_.reset(*f, ErrorCode::cancel);
    if (what == 9 && byte() % 8 == 0) f->failCode = 8;
    if (what == 10 && f->keptBytes > 0) return peer_.consume(*f);
    if (what == 11 && answered && f->out.empty() && !f->outEnd && server) {
      HeaderList trailers;
      trailers.add("x-end", "1");
      f->outEnd = true;
      Stream& stream = *f->stream;
      if (f->inEnd) f->stream = nullptr;
      return c().sendTrailers(stream, trailers);
    }
    if (!f->outEnd) peer_.send(*f, std::string(byte() * 100u, 's'), byte() % 4 == 0);
  }

  ByteSpan in_;
  Limits limits_;
  WindowLedger ledger_;
  Endpoint peer_;
  std::string output_;
  std::string ping_ = "12345678";
  bool prefaceSeen_ = false;
};

}  // namespace onehop::h2
