#pragma once

#include <memory>

#include "io/event_loop.h"
#include "io/socket.h"
#include "io/tcp_stream.h"

namespace onehop::io {

// Hears how a dial ended: one call, from the event loop, unless cancelled.
class DialEvents {
 public:
  virtual void onDialled(std::unique_ptr<TcpStream> stream) = 0;
  // dialRefused, dialTimeout, dialUnreachable, dialFailed or overload; `code` is the errno.
  virtual void onDialFailed(const Error& error) = 0;

 protected:
  ~DialEvents() = default;
};

// One TCP connect in progress. Destroying it cancels it; that is allowed inside its own events.
class Dial final : private IoWatcher, private Timer, private PassHook {
 public:
  explicit Dial(EventLoop& loop, DialEvents& events) : loop_(loop), events_(events) {}
  ~Dial();
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

  // Never calls the events from inside: what is known at once is told at the end of the pass.
  void start(const SocketAddress& to, const BindChoice& bind, const NetContext& context,
             const SocketOptions& options, Nanos deadline);
  void cancel();

 private:
  void onIo(uint32_t events) override;
  void onTimer() override;
  void onPassEnd() override;
  void succeed();
  void fail(CloseReason reason, const char* what, int code);

  EventLoop& loop_;
  DialEvents& events_;
  Fd fd_;
  SocketAddress to_;
  bool mayBeItself_ = false;  // the source address may be the destination's
  bool watched_ = false;
  std::unique_ptr<Error> early_;
};

}  // namespace onehop::io
