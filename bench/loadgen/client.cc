#include "client.h"

#include <algorithm>
#include <deque>

#include "histogram.h"
#include "net.h"
#include "wire.h"

namespace loadgen {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr int64_t kDueNone = -1;

struct Flow {
  int fd = -1;
  unsigned target = 0;
  bool connected = false;
  bool busy = false;            // an operation is on its way
  int64_t due = kDueNone;       // when the running operation was due
  uint64_t sentAt = 0;          // pattern offset of the next byte to send
  uint64_t receivedAt = 0;      // pattern offset of the next byte expected
  uint32_t unsent = 0;          // bytes of the running message still to send
  uint32_t missing = 0;         // bytes of its answer still to come
  uint8_t head[Hello::kBytes];
  unsigned headSent = 0;
};

class Client {
 public:
  explicit Client(const Plan& plan) : plan_(plan), buffer_(kBufferBytes), flows_(plan.flows) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (const std::string& target : plan.targets) targets_.push_back(parseAddress(target));
  }
  ~Client() {
    for (Flow& flow : flows_) {
      if (flow.fd >= 0) close(flow.fd);
    }
    close(epoll_);
  }

  Report run() {
    for (unsigned i = 0; i < flows_.size(); ++i) {
      flows_[i].target = i;
      open(flows_[i]);
      if (i % 64 == 63) pass(0);
    }
    if (plan_.work != Work::connectClose) waitConnected();
    if (plan_.work == Work::idle) {
      std::printf("{\"connected\":%zu}\n", connectedCount_);
      std::fflush(stdout);
    }
    const int64_t begin = nowNanos();
    const auto warm = begin + static_cast<int64_t>(plan_.warmupSeconds * 1e9);
    const auto end = warm + static_cast<int64_t>(plan_.seconds * 1e9);
    nextDue_ = begin;
    started_ = true;
    for (Flow& flow : flows_) kick(flow);
    int64_t now = begin;
    double cpu = 0;
    int64_t windowBegin = warm;
    while (now < end) {
      if (!measuring_ && now >= warm) {
        measuring_ = true;
        windowBegin = now;
        cpu = cpuSeconds();
        for (int pid : plan_.peers) report_.peersCpuSeconds.push_back(cpuSecondsOf(pid));
      }
      startDue(now);
      pass(waitMs(now, measuring_ ? end : warm));
      now = nowNanos();
    }
    report_.seconds = static_cast<double>(now - windowBegin) / 1e9;
    report_.cpuSeconds = cpuSeconds() - cpu;
    for (size_t i = 0; i < report_.peersCpuSeconds.size(); ++i) {
      const double after = cpuSecondsOf(plan_.peers[i]);
      double& spent = report_.peersCpuSeconds[i];
      spent = after < 0 || spent < 0 ? -1 : after - spent;
    }
    report_.late = backlog_.size();
    report_.p50 = latency_.quantile(0.5);
    report_.p90 = latency_.quantile(0.9);
    report_.p99 = latency_.quantile(0.99);
    report_.p999 = latency_.quantile(0.999);
    report_.max = latency_.max();
    return report_;
  }

 private:
  bool openLoop() const { return plan_.rate > 0; }

  void fail(Flow& flow, const char* what) {
    ++report_.failures;
    if (report_.firstError.empty()) {
      report_.firstError = std::string(what) + (errno != 0 ? std::string(": ") + strerror(errno) : "");
    }
    if (flow.fd >= 0) close(flow.fd);
    flow.fd = -1;
    flow.busy = flow.connected = false;
    if (report_.failures > 20000) die("too many failures: " + report_.firstError);
    // Without this a dead target would make a busy loop of refused connections.
    usleep(200);
    open(flow);
  }

  void open(Flow& flow) {
    const int keepTarget = static_cast<int>(flow.target);
    flow = Flow{};
    flow.target = static_cast<unsigned>(keepTarget);
    flow.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (flow.fd < 0) die(std::string("socket: ") + strerror(errno));
    setNoDelay(flow.fd);
    if (plan_.work == Work::connectClose) spreadSource(flow.fd);
    const sockaddr_in& to = targets_[flow.target % targets_.size()];
    flow.due = nowNanos();
    if (connect(flow.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      return fail(flow, "connect");
    }
    const Hello hello{plan_.work == Work::upload     ? Hello::kUpload
                      : plan_.work == Work::download ? Hello::kDownload
                                                     : Hello::kEcho,
                      plan_.messageBytes};
    hello.encode(flow.head);
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &flow}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, flow.fd, &event);
  }

  // One source address has some 28,000 ports, each kept for a minute after use; loopback has many addresses.
  void spreadSource(int fd) {
    const sockaddr_in& to = targets_[0];
    if ((ntohl(to.sin_addr.s_addr) >> 24) != 127) return;
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl((127u << 24) | (200u << 16) | (nextSource_++ % 60000 + 256));
    const int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) die("bind a loopback source");
  }

  void waitConnected() {
    const int64_t limit = nowNanos() + 60'000'000'000;
    while (connectedCount_ < flows_.size()) {
      pass(10);
      if (nowNanos() > limit) die("flows did not connect in 60 s: " + report_.firstError);
    }
  }

  int waitMs(int64_t now, int64_t until) const {
    int64_t wake = until;
    if (openLoop() && nextDue_ < wake) wake = nextDue_;
    const int64_t ms = (wake - now) / 1000000;
    return ms > 100 ? 100 : ms < 0 ? 0 : static_cast<int>(ms);
  }

  void pass(int timeoutMs) {
    epoll_event events[256];
    const int n = epoll_wait(epoll_, events, 256, timeoutMs);
    for (int i = 0; i < n; ++i) {
      Flow& flow = *static_cast<Flow*>(events[i].data.ptr);
      if (flow.fd < 0) continue;
      const int fd = flow.fd;
      if ((events[i].events & EPOLLOUT) != 0) writable(flow);
      if (flow.fd == fd && (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
        readable(flow);
      }
    }
  }

  // Open loop: starts every operation whose time has come, on a free flow or later on the next free one.
  void startDue(int64_t now) {
    if (!openLoop()) return;
    const auto step = static_cast<int64_t>(1e9 / plan_.rate);
    while (nextDue_ <= now) {
      backlog_.push_back(nextDue_);
      nextDue_ += step;
    }
    for (Flow& flow : flows_) {
      if (backlog_.empty()) break;
      if (!flow.busy) kick(flow);
    }
  }

  void kick(Flow& flow) {
    if (!started_ || !flow.connected || flow.busy || plan_.work == Work::idle) return;
    if (plan_.work == Work::pingPong || plan_.work == Work::connectClose) {
      int64_t due = plan_.work == Work::connectClose ? flow.due : nowNanos();
      if (openLoop()) {
        if (backlog_.empty()) return;
        due = backlog_.front();
        backlog_.pop_front();
      }
      flow.due = due;
      flow.unsent = flow.missing = plan_.messageBytes;
    }
    flow.busy = true;
    send(flow);
  }

  void writable(Flow& flow) {
    if (!flow.connected) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(flow.fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) {
        errno = error;
        return fail(flow, "connect");
      }
      const ssize_t n = ::send(flow.fd, flow.head, Hello::kBytes, MSG_NOSIGNAL | MSG_MORE);
      if (n != static_cast<ssize_t>(Hello::kBytes)) return fail(flow, "send");
      flow.connected = true;
      ++connectedCount_;
      if (plan_.work == Work::idle || !started_) {
        const int off = 0;  // MSG_MORE held the greeting; an idle flow must still set itself up
        setsockopt(flow.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
      }
      kick(flow);
    } else if (flow.busy) {
      send(flow);
    }
  }

  void send(Flow& flow) {
    if (plan_.work == Work::download || plan_.work == Work::idle) return flushHead(flow);
    for (int round = 0; round < 4; ++round) {
      const bool bulk = plan_.work == Work::upload;
      const size_t want = bulk ? kBufferBytes : flow.unsent;
      if (want == 0) return;
      const ssize_t n = ::send(flow.fd, pattern_.at(flow.sentAt), want, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return fail(flow, "send");
      flow.sentAt += static_cast<uint64_t>(n);
      if (bulk) {
        if (measuring_) report_.bytes += static_cast<uint64_t>(n);
      } else {
        flow.unsent -= static_cast<uint32_t>(n);
      }
    }
    if (plan_.work == Work::upload) rearm(flow);
  }

  void flushHead(Flow& flow) {
    const int off = 0;
    setsockopt(flow.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
  }

  // After its turn a bulk flow asks for another edge, so that 16 flows share the thread fairly.
  void rearm(Flow& flow) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &flow}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, flow.fd, &event);
  }

  void readable(Flow& flow) {
    for (int round = 0; round < 4; ++round) {
      const ssize_t n = recv(flow.fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        if (n == 0) errno = 0;
        return fail(flow, n == 0 ? "ended early" : "recv");
      }
      const auto bytes = static_cast<size_t>(n);
      if (!pattern_.matches(flow.receivedAt, buffer_.data(), bytes)) {
        ++report_.corrupt;
        errno = 0;
        return fail(flow, "corrupt bytes");
      }
      flow.receivedAt += bytes;
      if (measuring_ && plan_.work == Work::download) report_.bytes += bytes;
      if (flow.busy && plan_.work != Work::download && plan_.work != Work::upload) {
        if (bytes > flow.missing) {
          ++report_.corrupt;
          errno = 0;
          return fail(flow, "more bytes than were sent");
        }
        flow.missing -= static_cast<uint32_t>(bytes);
        if (flow.missing == 0) return done(flow);
      }
      if (bytes < buffer_.size() && plan_.work != Work::download) return;
    }
    rearm(flow);
  }

  void done(Flow& flow) {
    flow.busy = false;
    if (measuring_) {
      ++report_.operations;
      report_.bytes += plan_.messageBytes;
      latency_.add(nowNanos() - flow.due);
    }
    if (plan_.work == Work::connectClose) {
      close(flow.fd);
      open(flow);
    } else {
      kick(flow);
    }
  }

  const Plan& plan_;
  Pattern pattern_;
  Histogram latency_;
  Report report_;
  std::vector<uint8_t> buffer_;
  std::vector<Flow> flows_;
  std::vector<sockaddr_in> targets_;
  std::deque<int64_t> backlog_;
  int epoll_ = -1;
  int64_t nextDue_ = 0;
  uint32_t nextSource_ = static_cast<uint32_t>(getpid()) * 977u;
  size_t connectedCount_ = 0;
  bool started_ = false;
  bool measuring_ = false;
};

}  // namespace

Report runClient(const Plan& plan) {
  raiseFileLimit();
  return Client(plan).run();
}

}  // namespace loadgen
