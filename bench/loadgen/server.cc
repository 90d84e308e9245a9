#include "server.h"

#include <memory>
#include <thread>
#include <vector>

#include "buffer.h"
#include "http.h"
#include "net.h"
#include "wire.h"

namespace loadgen {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr int64_t kReceiptNanos = 10'000'000;  // uploads are receipted this often
constexpr int64_t kForever = 3600ll * 1'000'000'000;

enum class Kind : uint8_t { unknown, echo, upload, download, http };
enum class Sent : uint8_t { all, part, gone };

struct Peer {
  int fd = -1;
  Kind kind = Kind::unknown;
  bool corrupt = false;
  bool owed = false;            // a receipt is due
  bool closing = false;         // once all is sent
  uint8_t head[Hello::kBytes];
  size_t headBytes = 0;
  uint32_t start = 0;           // pattern offset of the first bulk byte
  uint64_t offset = 0;          // bulk bytes so far
  std::unique_ptr<RequestReader> requests;
  std::string input;            // requests that wait until `unsent` is gone
  std::vector<uint8_t> unsent;  // what the socket did not take
  size_t unsentAt = 0;
};

// One thread's connections.
class Loop {
 public:
  // `bulk`: where bulk connections go; null when this is that one.
  explicit Loop(Loop* bulk) : bulk_(bulk), buffer_(kBufferBytes) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }

  void listen(int listener) {
    listener_ = listener;
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event);
  }

  // From another loop's thread; that one no longer knows it.
  void adopt(Peer* peer) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data = {.ptr = peer}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, peer->fd, &event);
  }

  [[noreturn]] void run() {
    epoll_event events[256];
    for (;;) {
      const int n = waitEvents(epoll_, events, 256, owing_.empty() ? kForever : kReceiptNanos);
      for (int i = 0; i < n; ++i) {
        auto* peer = static_cast<Peer*>(events[i].data.ptr);
        if (peer == nullptr) {
          acceptAll();
        } else {
          serve(peer, events[i].events);
        }
      }
      if (!owing_.empty() && nowNanos() >= nextReceipts_) sendReceipts();
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
    if (peer->owed) std::erase(owing_, peer);
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
      if (peer->kind == Kind::download) return sendBulk(peer);
      if (peer->kind == Kind::upload) {  // just adopted, perhaps with bytes
        owe(peer);
        interest(peer, EPOLLIN | EPOLLRDHUP);
      } else if (!flush(peer)) {
        return;
      }
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) receive(peer);
  }

  void receive(Peer* peer) {
    for (int round = 0; round < 4; ++round) {
      const ssize_t n = recv(peer->fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return drop(peer);
      const uint8_t* data = buffer_.data();
      auto bytes = static_cast<size_t>(n);
      if (peer->kind == Kind::unknown && !greet(peer, data, bytes)) return;
      if (bytes > 0 && !take(peer, data, bytes)) return;
      if (static_cast<size_t>(n) < buffer_.size()) return;
    }
  }

  // Finds out what the client speaks. False: the peer is gone, or elsewhere, or has more to say.
  bool greet(Peer* peer, const uint8_t*& data, size_t& bytes) {
    const size_t part = std::min(bytes, Hello::kBytes - peer->headBytes);
    std::memcpy(peer->head + peer->headBytes, data, part);
    peer->headBytes += part;
    data += part;
    bytes -= part;
    if (peer->headBytes < 4) return false;
    if (std::memcmp(peer->head, "GET ", 4) == 0) {
      peer->kind = Kind::http;
      peer->requests = std::make_unique<RequestReader>();
      return takeHttp(peer, {reinterpret_cast<const char*>(peer->head), peer->headBytes});
    }
    if (peer->headBytes < Hello::kBytes) return false;
    Hello hello;
    if (!Hello::decode(peer->head, hello)) return drop(peer), false;
    if (hello.mode == Hello::kEcho) {
      peer->kind = Kind::echo;
      return true;
    }
    peer->kind = hello.mode == Hello::kUpload ? Kind::upload : Kind::download;
    peer->start = hello.start;
    peer->corrupt = !pattern_.matches(peer->start, data, bytes);
    peer->offset = peer->kind == Kind::upload ? bytes : 0;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, peer->fd, nullptr);
    bulk_->adopt(peer);
    return false;
  }

  bool take(Peer* peer, const uint8_t* data, size_t bytes) {
    if (peer->kind == Kind::echo) return transmit(peer, data, bytes) == Sent::all;
    if (peer->kind == Kind::http) {
      return takeHttp(peer, {reinterpret_cast<const char*>(data), bytes});
    }
    peer->corrupt = peer->corrupt || !pattern_.matches(peer->start + peer->offset, data, bytes);
    peer->offset += bytes;
    owe(peer);
    return true;
  }

  void owe(Peer* peer) {
    if (peer->owed) return;
    if (owing_.empty()) nextReceipts_ = nowNanos() + kReceiptNanos;
    owing_.push_back(peer);
    peer->owed = true;
  }

  bool takeHttp(Peer* peer, std::string_view input) {
    while (!input.empty()) {
      if (!peer->unsent.empty()) {
        peer->input += input;
        return false;
      }
      HttpRequest request;
      const RequestReader::Outcome outcome = peer->requests->next(input, request);
      if (outcome == RequestReader::Outcome::more) return true;
      if (outcome == RequestReader::Outcome::bad) return drop(peer), false;
      out_.clear();
      encodeResponseHead(request, out_);
      const std::string_view body(
          reinterpret_cast<const char*>(pattern_.at(request.offset)), request.bytes);
      if (request.chunked) {
        appendChunks(body, out_);
      } else {
        out_ += body;
      }
      peer->closing = request.close;
      const auto* answer = reinterpret_cast<const uint8_t*>(out_.data());
      if (transmit(peer, answer, out_.size()) == Sent::gone) return false;
    }
    return peer->unsent.empty();
  }

  // `gone` also when the peer asked for an end after this. After `part` nothing is read until the
  // rest is out.
  Sent transmit(Peer* peer, const uint8_t* data, size_t bytes) {
    const ssize_t n = ::send(peer->fd, data, bytes, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return drop(peer), Sent::gone;
    const size_t sent = n > 0 ? static_cast<size_t>(n) : 0;
    if (sent < bytes) {
      peer->unsent.assign(data + sent, data + bytes);
      interest(peer, EPOLLOUT);
      return Sent::part;
    }
    if (peer->closing) return drop(peer), Sent::gone;
    return Sent::all;
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
    if (peer->closing) return drop(peer), false;
    interest(peer, EPOLLIN | EPOLLRDHUP);
    if (peer->input.empty()) return true;
    const std::string waiting = std::move(peer->input);
    peer->input.clear();
    return takeHttp(peer, waiting);
  }

  void sendBulk(Peer* peer) {
    for (int round = 0; round < 4; ++round) {
      const uint8_t* data = pattern_.at(peer->start + peer->offset);
      const ssize_t n = ::send(peer->fd, data, kBufferBytes, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return drop(peer);
      peer->offset += static_cast<uint64_t>(n);
    }
  }

  void sendReceipts() {
    std::vector<Peer*> owing;
    owing.swap(owing_);
    for (Peer* peer : owing) {
      peer->owed = false;
      const uint64_t count = peer->corrupt ? Hello::kCorrupt : peer->offset;
      const ssize_t n = ::send(peer->fd, &count, sizeof count, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        owe(peer);
      } else if (n != sizeof count) {
        drop(peer);
      }
    }
  }

  Loop* bulk_;
  int listener_ = -1;
  int epoll_ = -1;
  Pattern pattern_;
  Buffer buffer_;
  std::string out_;
  std::vector<Peer*> owing_;
  int64_t nextReceipts_ = 0;
};

}  // namespace

void runServer(const std::string& address, const std::string& congestion) {
  raiseFileLimit();
  const int listener = listenOn(address, congestion);
  Loop bulk(nullptr);
  Loop messages(&bulk);
  messages.listen(listener);
  std::thread([&bulk] { bulk.run(); }).detach();
  announce(listener);
  messages.run();
}

}  // namespace loadgen
