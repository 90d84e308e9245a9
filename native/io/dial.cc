#include "io/dial.h"

#include <cerrno>
#include <utility>

namespace onehop::io {

Dial::~Dial() { cancel(); }

void Dial::cancel() {
  if (fd_) loop_.unwatch(fd_.get(), *this);
  fd_ = Fd();
  early_.reset();
  Timer::cancel();
  unschedule();
}

void Dial::start(const SocketAddress& to, const BindChoice& bind, const NetContext& context,
                 const SocketOptions& options, Nanos deadline) {
  CHECK(!fd_ && !early_);
  to_ = to;
  // An address of the other family is not bound.
  mayBeItself_ = !bind.address || bind.address->ip == to.ip ||
                 bind.address->ip.isV6() != to.ip.isV6();
  Result<Fd> begun = startConnect(to, bind, context, options);
  if (begun.ok()) {
    fd_ = std::move(begun.value());
    const Status watched = loop_.watch(fd_.get(), *this);
    if (watched.ok()) {
      arm(loop_, deadline);
      return;
    }
    fd_ = Fd();
    early_ = std::make_unique<Error>(watched.error());
  } else {
    early_ = std::make_unique<Error>(begun.error());
  }
  schedule(loop_);
}

void Dial::onPassEnd() {
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
  // A connecting socket is not writable, so this one is connected.
  // Where nobody listens the kernel may have picked the destination's own port for us (simultaneous
  // open, RFC 9293 3.5): what we sent would come back.
  if (mayBeItself_ && localAddress(fd_.get()) == to_) {
    return fail(CloseReason::dialRefused, "connected to itself", ECONNREFUSED);
  }
  Timer::cancel();
  Result<std::unique_ptr<TcpStream>> stream = TcpStream::adopt(loop_, std::move(fd_), this);
  fd_ = Fd();
  if (!stream.ok()) return events_.onDialFailed(stream.error());
  events_.onDialled(std::move(stream.value()));
}

void Dial::onTimer() { fail(CloseReason::dialTimeout, "connect: no answer in time", ETIMEDOUT); }

}  // namespace onehop::io
