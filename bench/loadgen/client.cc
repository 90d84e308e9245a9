#include "client.h"

#include <sys/uio.h>

#include <algorithm>
#include <barrier>
#include <deque>
#include <thread>
#include <utility>

#include "buffer.h"
#include "cpu.h"
#include "flow.h"
#include "histogram.h"
#include "net.h"
#include "schedule.h"
#include "sources.h"
#include "wire.h"

namespace loadgen {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kConnectNanos = 20 * kSecond;  // until all flows must be there
constexpr int64_t kSettleNanos = 10 * kSecond;   // until each has had its first answer
constexpr int64_t kAnswerNanos = 2 * kSecond;    // after the window
constexpr int64_t kReceiptNanos = 10 * kSecond;  // after the window, for the rest of uploads
constexpr int64_t kIdleAnswerNanos = 30 * kSecond;
constexpr int64_t kOnceNanos = 120 * kSecond;
constexpr int64_t kRetryNanos = 10'000'000;  // a dead target must not make a busy loop
constexpr unsigned kConnectingMax = 128;
constexpr unsigned kAskedMax = 64;  // idle flows that are asked at a time
constexpr uint64_t kFailuresMax = 20000;

// The flows of one kind, on the thread that calls run().
class Client {
 public:
  explicit Client(const Plan& plan)
      : plan_(plan),
        schedule_(plan.rate),
        buffer_(kBufferBytes),
        flows_(plan.flows),
        targets_(parseAddresses(plan.targets)),
        sources_(plan.source, plan.sources, targets_[0]) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    rotate_ = plan.work == Work::connectClose || plan.work == Work::idle;
    for (unsigned i = 0; i < flows_.size(); ++i) flows_[i].index = flows_[i].target = i;
  }
  ~Client() {
    for (Flow& flow : flows_) {
      if (flow.fd >= 0) close(flow.fd);
    }
    close(epoll_);
  }

  Report run(std::barrier<>* together) {
    if (!connects()) openAll();
    if (!connects() && plan_.work != Work::idle) settle();
    if (together != nullptr) together->arrive_and_wait();
    if (plan_.work == Work::idle) {
      hold();
    } else if (plan_.work == Work::connectOnce) {
      visit();
    } else {
      load();
    }
    report_.p50 = latency_.quantile(0.5);
    report_.p90 = latency_.quantile(0.9);
    report_.p99 = latency_.quantile(0.99);
    report_.p999 = latency_.quantile(0.999);
    report_.max = latency_.max();
    return report_;
  }

 private:
  // --- phases

  void openAll() {
    const int64_t limit = nowNanos() + kConnectNanos;
    for (size_t next = 0; openCount_ < flows_.size();) {
      while (connecting_ < kConnectingMax && next < flows_.size()) open(flows_[next++]);
      pass(kRetryNanos);
      reopen(nowNanos());
      if (nowNanos() > limit) die("not every flow connected in 20 s: " + report_.firstError);
    }
  }

  // A proxy accepts before its own connections stand: the path of a flow is there when it has answered
  // once, and none of its handshakes is part of the window then. One that fails is counted, and is as
  // bad in the window.
  void settle() {
    const int64_t limit = nowNanos() + kSettleNanos;
    while (settledCount_ < flows_.size()) {
      const int64_t now = nowNanos();
      if (now > limit) die("not every flow was answered in 10 s");
      reopen(now);
      for (Flow& flow : flows_) {
        if (!flow.settled && !flow.busy && flow.state == Flow::State::open) start(flow, now);
      }
      pass(kRetryNanos);
    }
  }

  void settled(Flow& flow) {
    if (!std::exchange(flow.settled, true)) ++settledCount_;
  }

  void load() {
    const int64_t begin = nowNanos();
    const auto warm = begin + static_cast<int64_t>(plan_.warmupSeconds * 1e9);
    end_ = warm + static_cast<int64_t>(plan_.seconds * 1e9);
    schedule_.begin(begin);
    started_ = true;
    for (Flow& flow : flows_) {
      // A bulk flow goes on as settle() began it; one that still connects begins when it has.
      if (connects() || (flow.state == Flow::State::open && !flow.busy)) next(flow);
    }
    for (int64_t now = begin; now < end_; now = nowNanos()) {
      if (!measuring_ && now >= warm) beginWindow(now);
      schedule_.advance(now, end_);
      startWaiting();
      reopen(now);
      int64_t wake = measuring_ ? end_ : warm;
      if (schedule_.open()) wake = std::min(wake, schedule_.next());
      if (!retry_.empty()) wake = std::min(wake, retry_.front().at);
      pass(wake - now);
    }
    endWindow();
    finish();
  }

  void beginWindow(int64_t now) {
    measuring_ = true;
    windowBegin_ = now;
    cpu_ = threadCpuSeconds();
    for (int pid : plan_.peers) report_.peersCpuSeconds.push_back(processCpuSeconds(pid));
    runDelay_ = threadRunDelaySeconds();
  }

  void endWindow() {
    measuring_ = false;
    report_.seconds = static_cast<double>(nowNanos() - windowBegin_) / 1e9;
    report_.cpuSeconds = threadCpuSeconds() - cpu_;
    report_.runDelaySeconds = threadRunDelaySeconds() - runDelay_;
    report_.busiest = report_.cpuSeconds / report_.seconds;
    for (size_t i = 0; i < report_.peersCpuSeconds.size(); ++i) {
      double& spent = report_.peersCpuSeconds[i];
      const double now = processCpuSeconds(plan_.peers[i]);
      spent = now < 0 || spent < 0 ? -1 : now - spent;
    }
  }

  // Nothing new begins; what has begun may end.
  void finish() {
    const bool upload = plan_.work == Work::upload;
    const int64_t limit = nowNanos() + (upload ? kReceiptNanos : kAnswerNanos);
    ending_ = true;
    schedule_.advance(end_, end_);
    startWaiting();
    while (nowNanos() < limit && unfinished()) pass(kRetryNanos);
    errno = 0;
    for (Flow& flow : flows_) {
      if (upload && flow.state == Flow::State::open && flow.received < flow.sent) {
        fail(flow, "uploaded bytes were not receipted in 10 s");
      } else if (!upload && plan_.work != Work::download && flow.busy) {
        addLatency(flow.due);
        fail(flow, "no answer in 2 s");
      }
    }
    for (; !schedule_.empty(); ++report_.late) addLatency(schedule_.take());
  }

  bool unfinished() const {
    if (plan_.work == Work::download) return false;
    if (plan_.work != Work::upload) return busyCount_ > 0 || !schedule_.empty();
    return std::any_of(flows_.begin(), flows_.end(), [](const Flow& flow) {
      return flow.state == Flow::State::open && flow.received < flow.sent;
    });
  }

  // Each flow is asked once before and once after, so that all of its path exists, and still does.
  void hold() {
    stays_ = true;
    askAll();
    std::printf("{\"connected\":%llu}\n", static_cast<unsigned long long>(answered_));
    std::fflush(stdout);
    beginWindow(nowNanos());
    end_ = windowBegin_ + static_cast<int64_t>(plan_.seconds * 1e9);
    for (int64_t now = windowBegin_; now < end_; now = nowNanos()) pass(end_ - now);
    endWindow();
    windowBegin_ = nowNanos();
    end_ = INT64_MAX;
    askAll();
    report_.operations = answered_;
    report_.bytes = answered_ * plan_.messageBytes;
  }

  // Each target gets one connection; the window is all of it.
  void visit() {
    stays_ = true;
    beginWindow(nowNanos());
    end_ = INT64_MAX;
    const int64_t limit = windowBegin_ + kOnceNanos;
    size_t visited = 0;
    do {
      for (Flow& flow : flows_) {
        if (flow.state != Flow::State::closed || visited == targets_.size()) continue;
        flow.target = static_cast<unsigned>(visited++);
        start(flow, nowNanos());
      }
      if (busyCount_ > 0) pass(kRetryNanos);
    } while (nowNanos() < limit && (visited < targets_.size() || busyCount_ > 0));
    endWindow();
    report_.late = targets_.size() - visited;
    errno = 0;
    for (Flow& flow : flows_) {
      if (flow.busy) fail(flow, "no answer in 120 s");
    }
  }

  void askAll() {
    answered_ = 0;
    const int64_t limit = nowNanos() + kIdleAnswerNanos;
    size_t asked = 0;
    while (asked < flows_.size() || busyCount_ > 0) {
      for (; busyCount_ < kAskedMax && asked < flows_.size(); ++asked) {
        Flow& flow = flows_[asked];
        if (flow.state == Flow::State::open) start(flow, nowNanos());
      }
      if (busyCount_ > 0) pass(kRetryNanos);
      if (nowNanos() > limit) break;
    }
    errno = 0;
    for (Flow& flow : flows_) {
      if (flow.busy) fail(flow, "no answer in 30 s");
    }
  }

  // --- connections

  void open(Flow& flow) {
    flow.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (flow.fd < 0) die(std::string("socket: ") + strerror(errno));
    flow.state = Flow::State::connecting;
    ++connecting_;
    flow.sent = flow.received = 0;
    flow.receiptBytes = 0;
    flow.start = (flow.index * 7919ull + flow.turn++ * 104729ull) % Pattern::kPeriod;
    if (plan_.work == Work::http) flow.reader = std::make_unique<ResponseReader>();
    setNoDelay(flow.fd);
    setCongestion(flow.fd, plan_.congestion);
    if (rotate_) sources_.bind(flow.fd);
    const sockaddr_in& to = targets_[flow.target % targets_.size()];
    if (connect(flow.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      return fail(flow, "connect");
    }
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &flow}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, flow.fd, &event);
  }

  void shut(Flow& flow) {
    if (flow.fd >= 0) close(flow.fd);
    flow.fd = -1;
    if (flow.state == Flow::State::connecting) --connecting_;
    if (flow.state == Flow::State::open) --openCount_;
    if (flow.busy) --busyCount_;
    flow.busy = false;
    flow.state = Flow::State::closed;
  }

  void fail(Flow& flow, const char* what) {
    ++report_.failures;
    settled(flow);
    if (report_.firstError.empty()) {
      report_.firstError = errno == 0 ? what : std::string(what) + ": " + strerror(errno);
    }
    shut(flow);
    if (report_.failures > kFailuresMax) die("too many failures: " + report_.firstError);
    if (!ending_ && !stays_) retry_.push_back({nowNanos() + kRetryNanos, &flow});
  }

  void failClean(Flow& flow, const char* what) {
    errno = 0;
    fail(flow, what);
  }

  void corrupt(Flow& flow, const char* what) {
    ++report_.corrupt;
    failClean(flow, what);
  }

  void reopen(int64_t now) {
    while (!retry_.empty() && retry_.front().at <= now) {
      Flow& flow = *retry_.front().flow;
      retry_.pop_front();
      if (plan_.work == Work::connectClose) {
        next(flow);
      } else {
        open(flow);
      }
    }
  }

  void pass(int64_t nanos) {
    epoll_event events[256];
    const int n = waitEvents(epoll_, events, 256, nanos);
    for (int i = 0; i < n; ++i) {
      Flow& flow = *static_cast<Flow*>(events[i].data.ptr);
      if ((events[i].events & EPOLLOUT) != 0) writable(flow);
      if (flow.state != Flow::State::open) continue;
      if ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
        readable(flow, (events[i].events & EPOLLRDHUP) != 0);
      }
    }
  }

  // --- operations

  // Each operation has a connection of its own.
  bool connects() const {
    return plan_.work == Work::connectClose || plan_.work == Work::connectOnce;
  }

  // The flow has nothing to do.
  void next(Flow& flow) {
    if (!started_) return;
    if (schedule_.open()) {
      if (!flow.queued) free_.push_back(&flow);
      flow.queued = true;
      startWaiting();
    } else if (!ending_) {
      start(flow, nowNanos());
    }
  }

  void startWaiting() {
    while (!schedule_.empty() && !free_.empty()) {
      Flow& flow = *free_.front();
      free_.pop_front();
      flow.queued = false;
      const bool ready = plan_.work == Work::connectClose ? flow.state == Flow::State::closed
                                                          : flow.state == Flow::State::open;
      if (ready) start(flow, schedule_.take());  // another one comes back when it has connected
    }
  }

  void start(Flow& flow, int64_t due) {
    flow.due = due;
    flow.busy = true;
    ++busyCount_;
    flow.unsent = flow.missing = plan_.messageBytes;
    if (plan_.work == Work::connectClose) flow.target = nextTarget_++;
    if (connects()) return open(flow);
    if (plan_.work == Work::http) {
      flow.sent = (flow.start + ++flow.turn * 1021ull) % Pattern::kPeriod;
      flow.received = 0;
      flow.out.clear();
      HttpRequest{plan_.chunked, false, plan_.messageBytes, flow.sent}.encode(flow.out);
    }
    send(flow);
  }

  void writable(Flow& flow) {
    if (flow.state == Flow::State::connecting) {
      connected(flow);
    } else if (flow.busy) {
      send(flow);
    }
  }

  void connected(Flow& flow) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(flow.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      errno = error;
      return fail(flow, "connect");
    }
    flow.state = Flow::State::open;
    --connecting_;
    ++openCount_;
    if (plan_.work != Work::http && !greet(flow)) return;
    if (!connects()) next(flow);
  }

  // The greeting, and with it the message that is already due.
  bool greet(Flow& flow) {
    uint8_t head[Hello::kBytes];
    const Hello::Mode mode = plan_.work == Work::upload     ? Hello::kUpload
                             : plan_.work == Work::download ? Hello::kDownload
                                                            : Hello::kEcho;
    Hello{mode, plan_.messageBytes, static_cast<uint32_t>(flow.start)}.encode(head);
    const size_t first = flow.busy ? flow.unsent : 0;
    iovec parts[2] = {{head, sizeof head}, {const_cast<uint8_t*>(pattern_.at(flow.start)), first}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t n = sendmsg(flow.fd, &message, MSG_NOSIGNAL);
    if (n < static_cast<ssize_t>(sizeof head)) return fail(flow, "send"), false;
    const auto sent = static_cast<uint32_t>(static_cast<size_t>(n) - sizeof head);
    flow.sent = sent;
    flow.unsent -= sent;
    return true;
  }

  void send(Flow& flow) {
    if (plan_.work == Work::download) return;
    if (plan_.work == Work::upload) return sendBulk(flow);
    const bool http = plan_.work == Work::http;
    while (http ? !flow.out.empty() : flow.unsent > 0) {
      const void* from = http ? static_cast<const void*>(flow.out.data())
                              : pattern_.at(flow.start + flow.sent);
      const ssize_t n = ::send(flow.fd, from, http ? flow.out.size() : flow.unsent, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return fail(flow, "send");
      if (http) {
        flow.out.erase(0, static_cast<size_t>(n));
      } else {
        flow.sent += static_cast<uint64_t>(n);
        flow.unsent -= static_cast<uint32_t>(n);
      }
    }
  }

  void sendBulk(Flow& flow) {
    if (ending_) return;
    for (int round = 0; round < 4; ++round) {
      const uint8_t* from = pattern_.at(flow.start + flow.sent);
      const ssize_t n = ::send(flow.fd, from, kBufferBytes, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return fail(flow, "send");
      flow.sent += static_cast<uint64_t>(n);
    }
    rearm(flow);
  }

  // After its turn a bulk flow asks for another edge, so that 16 flows share the thread fairly.
  void rearm(Flow& flow) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &flow}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, flow.fd, &event);
  }

  // After a short read a later byte makes a new edge; an end that came with this one does not.
  void readable(Flow& flow, bool end) {
    const bool onward = end || plan_.work == Work::download;
    for (int round = 0; round < 4; ++round) {
      const ssize_t n = recv(flow.fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return fail(flow, "recv");
      if (n == 0) return ended(flow);
      if (!take(flow, static_cast<size_t>(n))) return;
      if (static_cast<size_t>(n) < buffer_.size() && !onward) return;
    }
    rearm(flow);
  }

  void ended(Flow& flow) {
    if (plan_.work == Work::http && !flow.busy && !flow.reader->midResponse()) {
      ++report_.reopened;
      shut(flow);
      if (!ending_) open(flow);
      return;
    }
    failClean(flow, "ended early");
  }

  // False when the flow has ended, or has begun something new.
  bool take(Flow& flow, size_t bytes) {
    switch (plan_.work) {
      case Work::http: return takeHttp(flow, bytes);
      case Work::upload: return takeReceipts(flow, bytes);
      default: break;
    }
    if (!pattern_.matches(flow.start + flow.received, buffer_.data(), bytes)) {
      return corrupt(flow, "corrupt bytes"), false;
    }
    flow.received += bytes;
    if (plan_.work == Work::download) {
      settled(flow);
      if (measuring_) report_.bytes += bytes;
      return true;
    }
    if (!flow.busy || bytes > flow.missing) {
      return corrupt(flow, "more bytes than were sent"), false;
    }
    flow.missing -= static_cast<uint32_t>(bytes);
    if (flow.missing > 0) return true;
    done(flow);
    return false;
  }

  bool takeReceipts(Flow& flow, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
      flow.receipt[flow.receiptBytes++] = buffer_[i];
      if (flow.receiptBytes < sizeof flow.receipt) continue;
      flow.receiptBytes = 0;
      uint64_t count = 0;
      std::memcpy(&count, flow.receipt, sizeof count);
      if (count == Hello::kCorrupt) return corrupt(flow, "corrupt bytes at the server"), false;
      if (count > flow.sent || count < flow.received) {
        return corrupt(flow, "a receipt that cannot be"), false;
      }
      settled(flow);
      if (measuring_) report_.bytes += count - flow.received;
      flow.received = count;
    }
    return true;
  }

  bool takeHttp(Flow& flow, size_t bytes) {
    std::string_view input(reinterpret_cast<const char*>(buffer_.data()), bytes);
    std::string_view body;
    ResponseReader& reader = *flow.reader;
    for (;;) {
      const ResponseReader::Step step = reader.next(input, body);
      if (step == ResponseReader::Step::more) return true;
      if (step == ResponseReader::Step::bad) return failClean(flow, reader.problem()), false;
      if (!flow.busy) return corrupt(flow, "an answer to nothing"), false;
      if (step == ResponseReader::Step::body) {
        if (reader.status() != 200) continue;
        const auto* data = reinterpret_cast<const uint8_t*>(body.data());
        if (!pattern_.matches(flow.sent + flow.received, data, body.size())) {
          return corrupt(flow, "corrupt bytes"), false;
        }
        flow.received += body.size();
        continue;
      }
      if (reader.status() != 200) {
        return failClean(flow, ("status " + std::to_string(reader.status())).c_str()), false;
      }
      if (flow.received != plan_.messageBytes) return corrupt(flow, "a body too short"), false;
      if (!input.empty()) return corrupt(flow, "more bytes than were asked for"), false;
      done(flow);
      return false;
    }
  }

  void done(Flow& flow) {
    flow.busy = false;
    --busyCount_;
    ++answered_;
    settled(flow);
    addLatency(flow.due);
    if (measuring_) {
      ++report_.operations;
      report_.bytes += plan_.messageBytes;
    }
    if (connects()) {
      shut(flow);
    } else if (plan_.work == Work::http && flow.reader->close()) {
      ++report_.reopened;
      shut(flow);
      if (!ending_) open(flow);
      return;
    }
    next(flow);
  }

  void addLatency(int64_t due) {
    if (due >= windowBegin_ && due < end_) latency_.add(nowNanos() - due);
  }

  struct Retry {
    int64_t at;
    Flow* flow;
  };

  const Plan& plan_;
  Schedule schedule_;
  Pattern pattern_;
  Histogram latency_;
  Report report_;
  Buffer buffer_;
  std::vector<Flow> flows_;
  std::vector<sockaddr_in> targets_;
  SourceAddresses sources_;
  std::deque<Flow*> free_;
  std::deque<Retry> retry_;
  int epoll_ = -1;
  int64_t windowBegin_ = INT64_MAX;
  int64_t end_ = 0;
  double cpu_ = 0;
  double runDelay_ = 0;
  uint64_t answered_ = 0;
  unsigned nextTarget_ = 0;  // connectClose
  size_t openCount_ = 0;
  size_t connecting_ = 0;
  size_t busyCount_ = 0;
  size_t settledCount_ = 0;  // flows that have been answered, or failed
  bool rotate_ = false;
  bool started_ = false;
  bool measuring_ = false;
  bool stays_ = false;  // a flow that fails stays away
  bool ending_ = false;
};

// The report is the ping-pong's, with what both had to say.
Report runBeside(const Plan& plan) {
  Plan ping = plan, beside = plan;
  ping.work = Work::pingPong;
  ping.flows = plan.pingFlows;
  beside.rate = 0;
  beside.peers.clear();
  std::barrier<> together(2);
  Report bulk;
  std::thread other([&] { bulk = Client(beside).run(&together); });
  Report report = Client(ping).run(&together);
  other.join();
  report.bulkBytes = bulk.bytes;
  report.failures += bulk.failures;
  report.corrupt += bulk.corrupt;
  report.cpuSeconds += bulk.cpuSeconds;
  report.runDelaySeconds += bulk.runDelaySeconds;
  report.busiest = std::max(report.busiest, bulk.busiest);
  if (report.firstError.empty()) report.firstError = bulk.firstError;
  return report;
}

}  // namespace

Report runClient(const Plan& plan) {
  const size_t files = raiseFileLimit();
  if (plan.flows + plan.pingFlows + 32 > files) {
    die("this process may open " + std::to_string(files) + " files, too few for the flows");
  }
  return plan.pingFlows > 0 ? runBeside(plan) : Client(plan).run(nullptr);
}

}  // namespace loadgen
