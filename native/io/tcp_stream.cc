#include "io/tcp_stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace onehop::io {

Result<std::unique_ptr<TcpStream>> TcpStream::adopt(EventLoop& loop, Fd fd, IoWatcher* watcher) {
  std::unique_ptr<TcpStream> stream(new TcpStream(loop, std::move(fd)));
  const int raw = stream->fd_.get();
  const Status watched =
      watcher == nullptr ? loop.watch(raw, *stream) : loop.rewatch(raw, *watcher, *stream);
  if (!watched.ok()) {
    stream->fd_ = Fd();
    return watched.error();
  }
  return stream;
}

TcpStream::~TcpStream() {
  if (!fd_) return;
  if (wroteEnd_ && !failed_) {
    closeInOrder();
  } else {
    reset(CloseReason::localClosed);
  }
}

IoResult TcpStream::failure(int error, bool reading) {
  if (error == EAGAIN) {
    (reading ? readable_ : writable_) = false;
    (reading ? wantsRead_ : wantsWrite_) = true;
    return {IoState::wouldBlock, 0, CloseReason::none, 0};
  }
  failed_ = true;
  return {IoState::failed, 0, CloseReason::downstreamReset, error};
}

IoResult TcpStream::readv(const iovec* parts, int count) {
  if (!fd_ || failed_) return {IoState::failed, 0, CloseReason::downstreamReset, ECONNRESET};
  if (sawEnd_) return {IoState::end, 0, CloseReason::none, 0};
  if (!readable_) {
    wantsRead_ = true;
    return {};
  }
  size_t asked = 0;
  for (int i = 0; i < count; ++i) asked += parts[i].iov_len;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t bytes;
  do {
    bytes = count == 1 ? recv(fd_.get(), parts[0].iov_base, parts[0].iov_len, 0)
                       : recvmsg(fd_.get(), &message, 0);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) return failure(errno, true);
  if (bytes == 0) {
    sawEnd_ = true;
    return {IoState::end, 0, CloseReason::none, 0};
  }
  // A short read drained the socket; the next edge tells of more. After RDHUP there is no next edge.
  if (static_cast<size_t>(bytes) < asked && !peerEnded_ && !urgent_) readable_ = false;
  return {IoState::ok, static_cast<size_t>(bytes), CloseReason::none, 0};
}

IoResult TcpStream::writev(const iovec* parts, int count) {
  if (!fd_ || failed_ || wroteEnd_) {
    return {IoState::failed, 0, CloseReason::downstreamReset, EPIPE};
  }
  if (!writable_) {
    wantsWrite_ = true;
    return {};
  }
  size_t asked = 0;
  for (int i = 0; i < count; ++i) asked += parts[i].iov_len;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<size_t>(count);
  ssize_t bytes;
  do {
    bytes = count == 1 ? send(fd_.get(), parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                       : sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (bytes < 0 && errno == EINTR);
  if (bytes < 0) return failure(errno, false);
  if (static_cast<size_t>(bytes) < asked) {
    writable_ = false;
    wantsWrite_ = true;
    return {IoState::wouldBlock, static_cast<size_t>(bytes), CloseReason::none, 0};
  }
  return {IoState::ok, static_cast<size_t>(bytes), CloseReason::none, 0};
}

void TcpStream::noteKernelBlocked(bool reading) { failure(EAGAIN, reading); }

void TcpStream::closeWrite() {
  if (!fd_ || wroteEnd_) return;
  wroteEnd_ = true;
  shutdown(fd_.get(), SHUT_WR);
}

void TcpStream::shut() {
  loop_.unwatch(fd_.get(), *this);
  fd_ = Fd();
}

void TcpStream::reset(CloseReason) {
  if (!fd_) return;
  const linger abort{1, 0};  // RST instead of FIN
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  shut();
}

void TcpStream::closeInOrder() {
  if (fd_) shut();
}

void TcpStream::onIo(uint32_t events) {
  if ((events & EPOLLRDHUP) != 0) peerEnded_ = true;
  if ((events & EPOLLPRI) != 0) urgent_ = true;
  if ((events & EPOLLERR) != 0 && !failed_) {
    const int error = connectError(fd_.get());
    if (error != 0) {
      failed_ = true;
      if (observer_ != nullptr) {
        const CloseReason reason =
            error == ETIMEDOUT ? CloseReason::peerGone : CloseReason::downstreamReset;
        observer_->onStreamFailed(reason, error);
      }
      return;
    }
  }
  const bool canRead = (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0;
  if (canRead) readable_ = true;
  if ((events & EPOLLOUT) != 0) {
    writable_ = true;
    if (wantsWrite_ && observer_ != nullptr) {
      wantsWrite_ = false;
      // The observer may drop this stream in its call; a retired one is still alive here.
      observer_->onWritable();
    }
  }
  if (canRead && fd_ && wantsRead_ && observer_ != nullptr) {
    wantsRead_ = false;
    observer_->onReadable();
  }
}

}  // namespace onehop::io
