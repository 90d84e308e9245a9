#include "relay.h"

#include <vector>

#include "buffer.h"
#include "net.h"

namespace loadgen {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr int kRounds = 4;  // reads of one end in its turn, so that flows share the thread fairly

// One of the two sockets of a flow.
struct End {
  int fd = -1;
  End* other = nullptr;
  bool readable = false;        // there may be bytes, or an end, to read
  bool peerEnded = false;       // an end has come, or will with the next reads
  bool ended = false;           // and has been read
  bool queued = false;          // its turn was over before its bytes were
  std::vector<uint8_t> unsent{};  // what the other end read and this socket did not take
  size_t unsentAt = 0;
};

class Relay {
 public:
  Relay(int listener, const sockaddr_in& destination, const std::string& congestion)
      : listener_(listener),
        destination_(destination),
        congestion_(congestion),
        buffer_(kBufferBytes) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int n = epoll_wait(epoll_, events, 256, queue_.empty() ? -1 : 0);
      for (int i = 0; i < n; ++i) {
        auto* end = static_cast<End*>(events[i].data.ptr);
        if (end == nullptr) {
          acceptAll();
        } else if (end->fd >= 0) {
          serve(end, events[i].events);
        }
      }
      std::vector<End*> queue;
      queue.swap(queue_);
      for (End* end : queue) {
        end->queued = false;
        if (end->fd >= 0) pump(end);
      }
      if (gone_.empty()) continue;
      std::erase_if(queue_, [](const End* end) { return end->fd < 0; });
      for (End* end : gone_) delete end;
      gone_.clear();
    }
  }

 private:
  void acceptAll() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int onward = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (onward < 0) {
        close(fd);
        continue;
      }
      setNoDelay(fd);
      setNoDelay(onward);
      setCongestion(onward, congestion_);
      auto* near = new End{.fd = fd};  // both are freed after the pass in which they close
      auto* far = new End{.fd = onward, .other = near};
      near->other = far;
      const auto* to = reinterpret_cast<const sockaddr*>(&destination_);
      if (connect(onward, to, sizeof destination_) != 0 && errno != EINPROGRESS) {
        reset(near);
        continue;
      }
      watch(far);
      watch(near);
    }
  }

  void watch(End* end) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = end}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, end->fd, &event);
  }

  void serve(End* end, uint32_t events) {
    if ((events & EPOLLERR) != 0) return reset(end);
    if ((events & EPOLLOUT) != 0 && !end->unsent.empty()) {
      if (!flush(end)) return;
      if (end->unsent.empty() && end->other->readable) pump(end->other);
    }
    if (end->fd < 0 || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) == 0) return;
    end->readable = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) end->peerEnded = true;
    pump(end);
  }

  // Reads from this end, writes to the other one.
  void pump(End* end) {
    End* to = end->other;
    for (int round = 0; round < kRounds; ++round) {
      if (!to->unsent.empty() || end->ended || !end->readable) return;
      const ssize_t n = recv(end->fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) {
        end->readable = false;
        return;
      }
      if (n < 0) return reset(end);
      if (n == 0) return endOf(end);
      if (!transmit(to, static_cast<size_t>(n))) return;
      // A later byte makes a new edge; an end that came with these does not.
      if (static_cast<size_t>(n) < buffer_.size() && !end->peerEnded) {
        end->readable = false;
        return;
      }
    }
    if (end->queued) return;
    end->queued = true;
    queue_.push_back(end);
  }

  bool transmit(End* to, size_t bytes) {
    const ssize_t n = ::send(to->fd, buffer_.data(), bytes, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return reset(to), false;
    const size_t sent = n > 0 ? static_cast<size_t>(n) : 0;
    if (sent < bytes) to->unsent.assign(buffer_.data() + sent, buffer_.data() + bytes);
    return true;
  }

  // False: the flow is gone.
  bool flush(End* to) {
    while (to->unsentAt < to->unsent.size()) {
      const ssize_t n = ::send(to->fd, to->unsent.data() + to->unsentAt,
                               to->unsent.size() - to->unsentAt, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return true;
      if (n < 0) return reset(to), false;
      to->unsentAt += static_cast<size_t>(n);
    }
    std::vector<uint8_t>().swap(to->unsent);
    to->unsentAt = 0;
    return true;
  }

  void endOf(End* end) {
    end->ended = true;
    End* to = end->other;
    if (to->ended) {
      drop(end);
    } else {
      shutdown(to->fd, SHUT_WR);
    }
  }

  void reset(End* end) {
    const linger hard{.l_onoff = 1, .l_linger = 0};
    for (const End* one : {end, end->other}) {
      setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    drop(end);
  }

  void drop(End* end) {
    for (End* one : {end, end->other}) {
      close(one->fd);
      one->fd = -1;
      gone_.push_back(one);
    }
  }

  int listener_;
  int epoll_ = -1;
  sockaddr_in destination_;
  std::string congestion_;
  Buffer buffer_;
  std::vector<End*> queue_;
  std::vector<End*> gone_;
};

}  // namespace

void runRelay(const std::string& listen, const std::string& destination,
              const std::string& congestion) {
  const sockaddr_in to = parseAddress(destination);
  raiseFileLimit();
  const int listener = listenOn(listen, congestion);
  announce(listener);
  Relay(listener, to, congestion).run();
}

}  // namespace loadgen
