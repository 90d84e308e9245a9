#pragma once

#include <cstdint>

#include "io/event_loop.h"
#include "io/socket.h"

namespace onehop::io {

class ListenerEvents {
 public:
  virtual void onAccepted(Fd fd, const SocketAddress& peer) = 0;
  // accept(2) failed with `error` (EMFILE and its like): accepting rests for kRetryDelay.
  virtual void onAcceptPaused(int error) = 0;

 protected:
  ~ListenerEvents() = default;
};

// Accepts from one listening socket, at most kBatch connections a pass. Out of descriptors or memory it
// rests and tries again by a timer: the queue stays in the kernel, and nothing spins.
class Listener final : private IoWatcher, private Timer, private PassHook {
 public:
  static constexpr int kBatch = 32;
  static constexpr Nanos kRetryDelay = 100 * kMillisecond;

  Listener(EventLoop& loop, Fd fd, ListenerEvents& events)
      : loop_(loop), events_(events), fd_(std::move(fd)) {}
  ~Listener() { close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Status start();
  void close();
  bool open() const { return static_cast<bool>(fd_); }

 private:
  void onIo(uint32_t events) override;
  void onTimer() override { acceptSome(); }
  void onPassEnd() override { acceptSome(); }
  void acceptSome();

  EventLoop& loop_;
  ListenerEvents& events_;
  Fd fd_;
  bool watched_ = false;
};

}  // namespace onehop::io
