#include "server.h"

#include <deque>
#include <memory>
#include <vector>

#include "net.h"
#include "wire.h"

namespace loadgen {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;

struct Peer {
  int fd = -1;
  Hello hello;
  uint8_t head[Hello::kBytes];
  size_t headBytes = 0;
  uint64_t offset = 0;      // pattern position of the bulk modes
  bool corrupt = false;
  bool ended = false;
  std::vector<uint8_t> unsent;  // echo bytes the socket did not take
  size_t unsentAt = 0;
};

class Server {
 public:
  explicit Server(const std::string& address) : buffer_(kBufferBytes) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in bound = parseAddress(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&bound), sizeof bound) != 0 ||
        listen(listener_, 4096) != 0) {
      die("listen on " + address + ": " + std::strerror(errno));
    }
    socklen_t length = sizeof bound;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
    std::printf("{\"listening\":%u}\n", ntohs(bound.sin_port));
    std::fflush(stdout);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int n = epoll_wait(epoll_, events, 256, -1);
      for (int i = 0; i < n; ++i) {
        auto* peer = static_cast<Peer*>(events[i].data.ptr);
        if (peer == nullptr) {
          acceptAll();
        } else {
          serve(peer, events[i].events);
        }
      }
    }
  }

 private:
  void acceptAll() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      setNoDelay(fd);
      auto* peer = new Peer;  // freed in drop()
      peer->fd = fd;
      epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.ptr = peer}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    }
  }
  void drop(Peer* peer) {
    close(peer->fd);
    delete peer;
  }
  void interest(Peer* peer, uint32_t events) {
    epoll_event event{.events = events, .data = {.ptr = peer}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, peer->fd, &event);
  }

  void serve(Peer* peer, uint32_t events) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) return drop(peer);
    if ((events & EPOLLOUT) != 0) {
      if (peer->hello.mode == Hello::kDownload) return send(peer);
      if (!flush(peer)) return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) receive(peer);
  }

  void receive(Peer* peer) {
    for (int round = 0; round < 4; ++round) {
      const ssize_t n = recv(peer->fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return drop(peer);
      if (n == 0) return end(peer);
      const uint8_t* data = buffer_.data();
      auto bytes = static_cast<size_t>(n);
      if (peer->headBytes < Hello::kBytes) {
        const size_t part = std::min(bytes, Hello::kBytes - peer->headBytes);
        std::memcpy(peer->head + peer->headBytes, data, part);
        peer->headBytes += part;
        data += part;
        bytes -= part;
        if (peer->headBytes < Hello::kBytes) return;
        if (!Hello::decode(peer->head, peer->hello)) return drop(peer);
        if (peer->hello.mode == Hello::kDownload) {
          interest(peer, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
          return;
        }
      }
      if (bytes == 0) continue;
      if (peer->hello.mode == Hello::kUpload) {
        peer->corrupt = peer->corrupt || !pattern_.matches(peer->offset, data, bytes);
        peer->offset += bytes;
      } else if (!echo(peer, data, bytes)) {
        return;
      }
      if (static_cast<size_t>(n) < buffer_.size()) return;
    }
  }

  bool echo(Peer* peer, const uint8_t* data, size_t bytes) {
    size_t sent = 0;
    if (peer->unsent.empty()) {
      const ssize_t n = ::send(peer->fd, data, bytes, MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return drop(peer), false;
      sent = n > 0 ? static_cast<size_t>(n) : 0;
    }
    if (sent < bytes) {
      peer->unsent.insert(peer->unsent.end(), data + sent, data + bytes);
      interest(peer, EPOLLOUT);  // no more reading until this is gone
      return false;
    }
    return true;
  }

  bool flush(Peer* peer) {
    while (peer->unsentAt < peer->unsent.size()) {
      const ssize_t n = ::send(peer->fd, peer->unsent.data() + peer->unsentAt,
                               peer->unsent.size() - peer->unsentAt, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return false;
      if (n < 0) return drop(peer), false;
      peer->unsentAt += static_cast<size_t>(n);
    }
    peer->unsent.clear();
    peer->unsent.shrink_to_fit();
    peer->unsentAt = 0;
    interest(peer, EPOLLIN | EPOLLRDHUP);
    return true;
  }

  void send(Peer* peer) {
    for (int round = 0; round < 4; ++round) {
      const ssize_t n = ::send(peer->fd, pattern_.at(peer->offset), kBufferBytes, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return drop(peer);
      peer->offset += static_cast<uint64_t>(n);
    }
  }

  void end(Peer* peer) {
    if (peer->headBytes == Hello::kBytes && peer->hello.mode == Hello::kUpload) {
      const uint64_t answer = peer->corrupt ? ~0ull : peer->offset;
      ::send(peer->fd, &answer, sizeof answer, MSG_NOSIGNAL);
    }
    drop(peer);
  }

  int listener_ = -1;
  int epoll_ = -1;
  Pattern pattern_;
  std::vector<uint8_t> buffer_;
};

}  // namespace

void runServer(const std::string& address) {
  raiseFileLimit();
  Server(address).run();
}

}  // namespace loadgen
