#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "io/event_loop.h"
#include "io/splice.h"
#include "io/stream.h"

namespace onehop::io {

// Which stream ended a relay: `a` is the downstream's, `b` the upstream's.
enum class RelayEnd : uint8_t { none, a, b };

class RelayEvents {
 public:
  // `up` is from a to b.
  virtual void onMoved(bool up, size_t bytes) = 0;
  // FIN seen from one stream and passed on to the other.
  virtual void onDirectionEnd(bool up) = 0;
  // Last call. Both streams have been ended or reset; the owner retires the relay.
  virtual void onRelayDone(CloseReason reason, RelayEnd end, int code) = 0;

 protected:
  ~RelayEvents() = default;
};

// Moves bytes between two streams, both ways, until both directions have ended or one stream failed. A
// stream with a driver moves them itself. Plain sockets are read into the loop's scratch and written on
// at once; only what could not be written is kept, and reading that stream then waits. Between two
// sockets a large transfer turns to splice(2). Idle it holds no buffer and no pipe.
class Relay final : private DriverEvents, private PassHook {
 public:
  // One direction may move this much before others get a turn.
  static constexpr size_t kBytesPerTurn = 256 * 1024;
  static constexpr size_t kStuckReadBytes = 64 * 1024;

  Relay(EventLoop& loop, std::unique_ptr<ByteStream> a, std::unique_ptr<ByteStream> b,
        RelayEvents& events);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // May call the events before it returns, onRelayDone included.
  void start();
  // Resets both streams. No event follows.
  void abort(CloseReason reason);

 private:
  struct End final : StreamObserver {
    End(Relay& owner, bool first) : relay(owner), isA(first) {}
    void onReadable() override { relay.pump(isA); }
    void onWritable() override { relay.pump(!isA); }
    void onStreamFailed(CloseReason reason, int code) override {
      relay.finish(reason, isA ? RelayEnd::a : RelayEnd::b, code);
    }
    Relay& relay;
    bool isA;
  };
  // What a direction holds only while it is large or stuck.
  struct Busy {
    std::vector<uint8_t> rest;
    size_t head = 0;
    SplicePipe pipe;
  };
  struct Direction {
    std::unique_ptr<Busy> busy;
    uint32_t streak = 0;  // bytes moved without a pause
    bool ended = false;
    bool again = false;  // its turn was over before its bytes were
    bool wasStuck = false;
  };

  // DriverEvents: toDriver is up when b drives.
  void onMoved(bool toDriver, size_t bytes) override { events_.onMoved(toDriver == driverIsB_, bytes); }
  void onDirectionEnd(bool toDriver) override { events_.onDirectionEnd(toDriver == driverIsB_); }
  void onDriverDone(CloseReason reason, int code, bool localFailed) override;
  void onPassEnd() override;

  enum class Step : uint8_t { moved, blocked, stop };
  void pump(bool up);
  Step step(bool up, size_t* moved);
  Step flushRest(bool up);
  Step spliceStep(bool up, size_t* moved);
  Step endDirection(bool up);
  void pause(bool up);
  Direction& direction(bool up) { return up ? up_ : down_; }
  ByteStream& from(bool up) { return up ? *a_ : *b_; }
  ByteStream& to(bool up) { return up ? *b_ : *a_; }
  int fromFd(bool up) { return from(up).rawFd(ByteStream::RawUse::read); }
  int toFd(bool up) { return to(up).rawFd(ByteStream::RawUse::write); }
  void finish(CloseReason reason, RelayEnd end, int code);

  EventLoop& loop_;
  RelayEvents& events_;
  std::unique_ptr<ByteStream> a_;
  std::unique_ptr<ByteStream> b_;
  StreamDriver* driver_ = nullptr;
  End endA_;
  End endB_;
  Direction up_;
  Direction down_;
  bool driverIsB_ = false;
  bool done_ = false;
};
static_assert(sizeof(Relay) <= 208);

}  // namespace onehop::io
