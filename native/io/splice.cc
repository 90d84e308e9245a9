#include "io/splice.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace onehop::io {

namespace {
constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
}

bool SplicePipe::open() {
  int fds[2];
  if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) return false;
  out_ = Fd(fds[0]);
  in_ = Fd(fds[1]);
  // More than the default 64 KiB when the user's pipe quota allows; works with less too.
  fcntl(in_.get(), F_SETPIPE_SZ, kBytes);
  return true;
}

void SplicePipe::close() {
  in_ = Fd();
  out_ = Fd();
  held_ = 0;
}

SpliceResult SplicePipe::move(int fromFd, int toFd, size_t most) {
  SpliceResult result;
  while (result.bytes < most) {
    if (held_ == 0) {
      if (fromFd < 0) return result;
      const ssize_t taken = ::splice(fromFd, nullptr, in_.get(), nullptr,
                                     std::min<size_t>(most - result.bytes, kBytes), kFlags);
      if (taken == 0) {
        result.state = SpliceState::end;
        return result;
      }
      if (taken < 0) {
        result.state = errno == EAGAIN ? SpliceState::wouldBlockIn : SpliceState::failed;
        result.code = errno;
        result.failedIn = true;
        return result;
      }
      held_ = static_cast<size_t>(taken);
    }
    const ssize_t given = ::splice(out_.get(), nullptr, toFd, nullptr, held_, kFlags);
    if (given <= 0) {
      result.state = errno == EAGAIN ? SpliceState::wouldBlockOut : SpliceState::failed;
      result.code = errno;
      return result;
    }
    held_ -= static_cast<size_t>(given);
    result.bytes += static_cast<size_t>(given);
  }
  return result;
}

}  // namespace onehop::io
