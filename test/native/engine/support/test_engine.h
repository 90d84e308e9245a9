#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/address.h"
#include "engine/engine.h"

namespace onehop::engine {

// A blocking client socket of the test, with a time limit on every call.
class TestSocket {
 public:
  static TestSocket connect(const std::string& address) {
    TestSocket made;
    const auto to = SocketAddress::parse(address);
    made.fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{10, 0};
    setsockopt(made.fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(made.fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_port = htons(to->port);
    memcpy(&raw.sin_addr, to->ip.bytes(), 4);
    if (::connect(made.fd_, reinterpret_cast<sockaddr*>(&raw), sizeof raw) != 0) made.close();
    return made;
  }
  TestSocket() = default;
  explicit TestSocket(int fd) : fd_(fd) {}
  TestSocket(TestSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  TestSocket& operator=(TestSocket&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~TestSocket() { close(); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void resetHard() {
    const linger abort{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
    close();
  }
  bool ok() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Exactly `bytes`, or what came before the end, an error or the time limit.
  std::string receive(size_t bytes) {
    std::string text(bytes, 0);
    size_t have = 0;
    while (have < bytes) {
      const ssize_t n = ::recv(fd_, text.data() + have, bytes - have, 0);
      if (n <= 0) {
        lastErrno = n == 0 ? 0 : errno;
        break;
      }
      have += static_cast<size_t>(n);
    }
    text.resize(have);
    return text;
  }
  void shutdownWrite() { ::shutdown(fd_, SHUT_WR); }
  int lastErrno = 0;

 private:
  int fd_ = -1;
};

// Sends back what it receives, on any number of connections; ends a connection after its FIN.
class EchoServer {
 public:
  EchoServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in raw{};
    raw.sin_family = AF_INET;
    raw.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof raw;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&raw), size), 0);
    EXPECT_EQ(listen(listener_, 4096), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&raw), &size);
    port_ = ntohs(raw.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~EchoServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  void run() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener_;
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener_, &event);
    std::vector<int> open;
    std::vector<char> buffer(65536);
    while (!stop_) {
      epoll_event events[64];
      const int count = epoll_wait(epoll, events, 64, 20);
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          const int taken = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
          if (taken < 0) continue;
          event.data.fd = taken;
          epoll_ctl(epoll, EPOLL_CTL_ADD, taken, &event);
          open.push_back(taken);
          continue;
        }
        const ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n > 0) {
          ::send(fd, buffer.data(), static_cast<size_t>(n), MSG_NOSIGNAL);
        } else if (n == 0 || errno != EAGAIN) {
          std::erase(open, fd);
          ::close(fd);
        }
      }
    }
    for (const int fd : open) ::close(fd);
    ::close(epoll);
  }
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// An engine with a thread that plays JavaScript: answers upcalls with `decide`, keeps what else comes.
class TestEngine final : public EngineObserver {
 public:
  using Decide = std::function<Verdict(const Upcall&)>;

  explicit TestEngine(EngineOptions options = {}) {
    auto started = Engine::start(options, *this);
    EXPECT_TRUE(started.ok());
    engine_ = std::move(started.value());
    thread_ = std::thread([this] { run(); });
  }
  ~TestEngine() {
    stop();
    engine_.reset();
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      engine_->stop();
      absorb(engine_->takeBatch());
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  template <typename F>
  auto with(F&& call) {
    const std::lock_guard lock(mutex_);
    return call(*engine_);
  }
  void decide(Decide decide) {
    const std::lock_guard lock(mutex_);
    decide_ = std::move(decide);
  }
  std::string listen(ListenSpec spec) {
    if (spec.address.empty()) spec.address = "127.0.0.1:0";
    auto listening = with([&](Engine& engine) { return engine.listen(spec); });
    EXPECT_TRUE(listening.ok()) << listening.error().detail;
    lastListener = listening.value().handle;
    return listening.value().address;
  }
  uint64_t cell(EngineCell cell) {
    uint64_t sum = 0;
    const auto cells = engine_->engineCounters();
    for (size_t at = static_cast<size_t>(cell); at < cells.size(); at += kEngineCells) {
      sum += std::atomic_ref<uint64_t>(cells[at]).load();
    }
    return sum;
  }
  // Gauges are published after a loop's pass: waits until `cell` is `value`, 10 s at most.
  bool untilCell(EngineCell which, uint64_t value) {
    for (int i = 0; i < 5000 && cell(which) != value; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(cell(which), value) << kEngineCellNames[static_cast<size_t>(which)];
    return cell(which) == value;
  }
  uint64_t counter(uint32_t slot, CounterCell cell) {
    const auto slots = engine_->counters();
    return std::atomic_ref<uint64_t>(slots[slot * kCounterCells + static_cast<size_t>(cell)])
        .load();
  }
  // Waits until `ready(everything so far)` holds, 10 s at most.
  bool until(const std::function<bool(const Batch&)>& ready) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return ready(seen_); });
  }
  FlowSummary summary(size_t index) {
    EXPECT_TRUE(until([&](const Batch& b) { return b.events.summaries.size() > index; }));
    const std::lock_guard lock(mutex_);
    return index < seen_.events.summaries.size() ? seen_.events.summaries[index] : FlowSummary{};
  }
  Batch seen() {
    const std::lock_guard lock(mutex_);
    return std::move(seen_);
  }

  HandleValue lastListener = 0;

 private:
  void onBatchReady() override {
    const std::lock_guard lock(readyMutex_);
    ready_ = true;
    wake_.notify_all();
  }
  void absorb(Batch batch) {
    const auto append = [](auto& to, auto& from) {
      to.insert(to.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
    };
    append(seen_.events.upcalls, batch.events.upcalls);
    append(seen_.events.summaries, batch.events.summaries);
    append(seen_.events.notices, batch.events.notices);
    append(seen_.events.deliveries, batch.events.deliveries);
    append(seen_.events.evicted, batch.events.evicted);
    append(seen_.dials, batch.dials);
    append(seen_.flows, batch.flows);
    append(seen_.tunnels, batch.tunnels);
    append(seen_.drained, batch.drained);
  }
  void run() {
    while (true) {
      {
        std::unique_lock lock(readyMutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(50), [&] { return ready_; });
        ready_ = false;
      }
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      Batch batch = engine_->takeBatch();
      std::vector<Verdict> verdicts;
      for (const Upcall& upcall : batch.events.upcalls) {
        if (!decide_) continue;
        Verdict verdict = decide_(upcall);
        verdict.shard = upcall.shard;
        verdict.key = upcall.key;
        verdicts.push_back(std::move(verdict));
      }
      if (!verdicts.empty()) {
        const Status answered = engine_->answer(std::move(verdicts));
        EXPECT_TRUE(answered.ok()) << answered.error().detail;
      }
      absorb(std::move(batch));
      changed_.notify_all();
    }
  }

  std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::mutex readyMutex_;
  std::condition_variable wake_;
  std::condition_variable changed_;
  Decide decide_;
  Batch seen_;
  bool ready_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

inline Verdict allowTcp(const std::string& dial) {
  Verdict verdict;
  verdict.allow = true;
  verdict.reason = CloseReason::none;
  Endpoint endpoint;
  endpoint.dial = dial;
  endpoint.counters = 1;
  verdict.endpoints.push_back(endpoint);
  return verdict;
}

inline Verdict deny(CloseReason reason = CloseReason::denied) {
  Verdict verdict;
  verdict.reason = reason;
  verdict.counters = 2;
  return verdict;
}

}  // namespace onehop::engine
