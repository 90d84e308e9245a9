#include "io/listener.h"

namespace onehop::io {

Status Listener::start() {
  const Status watched = loop_.watch(fd_.get(), *this);
  watched_ = watched.ok();
  return watched;
}

void Listener::close() {
  if (watched_) loop_.unwatch(fd_.get(), *this);
  watched_ = false;
  fd_ = Fd();
  Timer::cancel();
  unschedule();
}

void Listener::onIo(uint32_t) {
  if (!armed()) acceptSome();
}

void Listener::acceptSome() {
  for (int i = 0; i < kBatch && fd_; ++i) {
    Result<Accepted> accepted = acceptOne(fd_.get());
    if (!accepted.ok()) {
      arm(loop_, kRetryDelay);
      return events_.onAcceptPaused(accepted.error().code);
    }
    if (!accepted.value().fd) return;
    events_.onAccepted(std::move(accepted.value().fd), accepted.value().peer);
    if (fd_ && acceptQueue(fd_.get()) == 0) return;
  }
  // Edge-triggered: what is left makes no further event.
  if (fd_) schedule(loop_);
}

}  // namespace onehop::io
