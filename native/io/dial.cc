#include "io/dial.h"

#include <cerrno>
#include <utility>

namespace onehop::io {

Dial::~Dial() { cancel(); }

void Dial::cancel() {
  if (std::exchange(watched_, false)) loop_.unwatch(fd_.get(), *this);
  fd_ = Fd();
  early_.reset();
  Timer::cancel();
  unschedule();
}

void Dial::start(const SocketAddress& to, const BindChoice& bind, const NetContext& context,
                 const SocketOptions& options, Nanos deadline) {
  CHECK(!fd_ && !early_);
  to_ = to;
  Result<Connecting> begun = startConnect(to, bind, context, options);
  if (!begun.ok()) {
    early_ = std::make_unique<Error>(begun.error());
    return schedule(loop_);
  }
  fd_ = std::move(begun.value().fd);
  mayBeItself_ = !begun.value().bound || bind.address->ip == to.ip;
  if (begun.value().connected) return schedule(loop_);
  const Status watched = loop_.watch(fd_.get(), *this);
  watched_ = watched.ok();
  if (watched_) return arm(loop_, deadline);
  fd_ = Fd();
  early_ = std::make_unique<Error>(watched.error());
  schedule(loop_);
}

void Dial::onPassEnd() {
  if (early_ == nullptr) return succeed();
  const Error error = *std::exchange(early_, nullptr);
  events_.onDialFailed(error);
}

void Dial::fail(CloseReason reason, const char* what, int code) {
  cancel();
  events_.onDialFailed(makeError(reason, what, code));
}

void Dial::onIo(uint32_t events) {
  // The first edge of a fresh socket may tell EPOLLHUP before connect(2) took effect.
  if ((events & (EPOLLOUT | EPOLLERR)) == 0) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    const int error = connectError(fd_.get());
    if (error != 0) return fail(dialReason(error), "connect", error);
  }
  succeed();  // a connecting socket is not writable
}

void Dial::succeed() {
  // Where nobody listens the kernel may have picked the destination's own port for us (simultaneous
  // open, RFC 9293 3.5): what we sent would come back.
  if (mayBeItself_ && localAddress(fd_.get()) == to_) {
    return fail(CloseReason::dialRefused, "connected to itself", ECONNREFUSED);
  }
  Timer::cancel();
  IoWatcher* const watcher = std::exchange(watched_, false) ? this : nullptr;
  Result<std::unique_ptr<TcpStream>> stream = TcpStream::adopt(loop_, std::move(fd_), watcher);
  fd_ = Fd();
  if (!stream.ok()) return events_.onDialFailed(stream.error());
  events_.onDialled(std::move(stream.value()));
}

void Dial::onTimer() { fail(CloseReason::dialTimeout, "connect: no answer in time", ETIMEDOUT); }

}  // namespace onehop::io
