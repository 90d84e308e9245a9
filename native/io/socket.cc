#include "io/socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace onehop::io {

namespace {

// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST; their headers clash with netinet/in.h.
constexpr int kOriginalDestination = 80;

struct RawAddress {
  sockaddr_storage storage{};
  socklen_t length = sizeof(sockaddr_storage);
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

RawAddress encodeAddress(const SocketAddress& address) {
  RawAddress raw;
  if (address.ip.isV6()) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&raw.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    std::memcpy(&v6->sin6_addr, address.ip.bytes(), 16);
    raw.length = sizeof(sockaddr_in6);
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&raw.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    std::memcpy(&v4->sin_addr, address.ip.bytes(), 4);
    raw.length = sizeof(sockaddr_in);
  }
  return raw;
}

std::optional<SocketAddress> decodeAddress(const RawAddress& raw) {
  if (raw.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&raw.storage);
    return SocketAddress{IpAddress::v4(reinterpret_cast<const uint8_t*>(&v4->sin_addr)),
                         ntohs(v4->sin_port)};
  }
  if (raw.storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&raw.storage);
    return SocketAddress{IpAddress::v6(reinterpret_cast<const uint8_t*>(&v6->sin6_addr)),
                         ntohs(v6->sin6_port)};
  }
  return std::nullopt;
}

bool setInt(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

bool setTransparent(int fd, bool v6) {
  return v6 ? setInt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) : setInt(fd, SOL_IP, IP_TRANSPARENT, 1);
}

Result<ListenSocket> openListenerHere(const ListenOptions& options) {
  const bool v6 = options.address.ip.isV6();
  Fd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return makeError(CloseReason::overload, "socket", errno);
  setInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  setInt(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  if (v6) setInt(fd.get(), SOL_IPV6, IPV6_V6ONLY, options.address.ip.isUnspecified() ? 0 : 1);
  if (options.context.mark != 0 &&
      !setInt(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(options.context.mark))) {
    return makeError(CloseReason::internal, "SO_MARK", errno);
  }
  ListenSocket result;
  result.transparent = options.transparent && setTransparent(fd.get(), v6);
  tune(fd.get(), options.accepted);
  RawAddress raw = encodeAddress(options.address);
  if (bind(fd.get(), raw.get(), raw.length) != 0) {
    return makeError(CloseReason::internal, "bind " + options.address.format(), errno);
  }
  if (listen(fd.get(), options.backlog) != 0) {
    return makeError(CloseReason::internal, "listen " + options.address.format(), errno);
  }
  RawAddress bound;
  getsockname(fd.get(), bound.get(), &bound.length);
  result.bound = decodeAddress(bound).value_or(options.address);
  result.fd = std::move(fd);
  return result;
}

// Runs `make` with this thread inside the context's namespace.
template <typename Make>
auto inNamespace(const NetContext& context, Make make) -> decltype(make()) {
  if (context.netnsFd < 0) return make();
  static thread_local const Fd kHome(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!kHome) return makeError(CloseReason::internal, "own network namespace", errno);
  if (setns(context.netnsFd, CLONE_NEWNET) != 0) {
    return makeError(CloseReason::removed, "enter network namespace", errno);
  }
  auto result = make();
  // A shard that cannot return would make every later socket in a stranger's namespace.
  CHECK(setns(kHome.get(), CLONE_NEWNET) == 0);
  return result;
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

Result<NetContext> NetContext::open(const std::string& netnsPath, int index, uint32_t mark) {
  NetContext context;
  context.mark = mark;
  if (netnsPath.empty()) return context;
  context.netnsIndex = index;
  context.netnsFd = ::open(netnsPath.c_str(), O_RDONLY | O_CLOEXEC);
  if (context.netnsFd < 0) {
    return makeError(CloseReason::removed, "network namespace " + netnsPath, errno);
  }
  return context;
}

Result<ListenSocket> openListener(const ListenOptions& options) {
  if (options.context.netnsFd < 0) return openListenerHere(options);
  std::optional<Result<ListenSocket>> result;
  std::thread worker([&] {
    if (setns(options.context.netnsFd, CLONE_NEWNET) != 0) {
      result.emplace(makeError(CloseReason::removed, "enter network namespace", errno));
    } else {
      result.emplace(openListenerHere(options));
    }
  });
  worker.join();
  return std::move(*result);
}

Result<Connecting> startConnect(const SocketAddress& to, const BindChoice& choice,
                                const NetContext& context, const SocketOptions& options) {
  const bool v6 = to.ip.isV6();
  return inNamespace(context, [&]() -> Result<Connecting> {
    Connecting made;
    made.fd = Fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const Fd& fd = made.fd;
    if (!fd) return makeError(CloseReason::overload, "socket", errno);
    if (context.mark != 0 &&
        !setInt(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(context.mark))) {
      return makeError(CloseReason::dialFailed, "SO_MARK", errno);
    }
    if (choice.address && choice.address->ip.isV6() == v6) {
      if (choice.transparent && !choice.address->ip.isLoopback() && !setTransparent(fd.get(), v6)) {
        return makeError(CloseReason::dialFailed, "IP_TRANSPARENT", errno);
      }
      if (choice.address->port == 0) setInt(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      setInt(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
      RawAddress raw = encodeAddress(*choice.address);
      if (bind(fd.get(), raw.get(), raw.length) != 0) {
        return makeError(CloseReason::dialFailed, "bind " + choice.address->ip.format(), errno);
      }
      made.bound = true;
    }
    tune(fd.get(), options);
    RawAddress raw = encodeAddress(to);
    const auto attempt = [&] { return connect(fd.get(), raw.get(), raw.length) == 0; };
    // A peer on this machine has answered when the first call returns, and the second one tells.
    made.connected = attempt() || (errno == EINPROGRESS && attempt());
    if (!made.connected && errno != EALREADY) {
      return makeError(dialReason(errno), "connect " + to.format(), errno);
    }
    return made;
  });
}

int connectError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

Result<Accepted> acceptOne(int listener) {
  constexpr int kGoneMax = 64;
  for (int i = 0; i < kGoneMax; ++i) {
    RawAddress raw;
    const int fd = accept4(listener, raw.get(), &raw.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) return Accepted{Fd(fd), decodeAddress(raw).value_or(SocketAddress{})};
    if (errno == EAGAIN) return Accepted{};
    // These concern the one connection that went away before we took it (accept(2)); others may wait
    // behind it, and no edge tells of them.
    if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO && errno != ENETDOWN &&
        errno != EHOSTUNREACH && errno != ENETUNREACH) {
      break;
    }
  }
  return makeError(CloseReason::overload, "accept", errno);
}

int acceptQueue(int listener) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
  return static_cast<int>(info.tcpi_unacked);  // what this field tells of a listener
}

void tune(int fd, const SocketOptions& options) {
  setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setInt(fd, SOL_SOCKET, SO_OOBINLINE, 1);  // or the urgent byte would be lost on the way
  if (options.keepaliveIdleSeconds > 0) {
    setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    setInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepaliveIdleSeconds);
    setInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepaliveIntervalSeconds);
    setInt(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepaliveProbes);
  }
  if (options.userTimeoutMs > 0) setInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options.userTimeoutMs);
  if (options.notSentLowat > 0) setInt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.notSentLowat);
  if (!options.congestion.empty()) {
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, options.congestion.data(),
               static_cast<socklen_t>(options.congestion.size()));
  }
}

std::optional<SocketAddress> originalDestination(int fd) {
  RawAddress raw;
  if (getsockopt(fd, SOL_IP, kOriginalDestination, &raw.storage, &raw.length) == 0) {
    return decodeAddress(raw);
  }
  raw.length = sizeof raw.storage;
  if (getsockopt(fd, SOL_IPV6, kOriginalDestination, &raw.storage, &raw.length) == 0) {
    return decodeAddress(raw);
  }
  return std::nullopt;
}

std::optional<SocketAddress> localAddress(int fd) {
  RawAddress raw;
  if (getsockname(fd, raw.get(), &raw.length) != 0) return std::nullopt;
  return decodeAddress(raw);
}

int unacknowledgedBytes(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

Result<std::pair<Fd, Fd>> makeSocketPair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
    return makeError(CloseReason::overload, "socketpair", errno);
  }
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

CloseReason dialReason(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return CloseReason::dialRefused;
    case ETIMEDOUT:
      return CloseReason::dialTimeout;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
      return CloseReason::dialUnreachable;
    default:
      return CloseReason::dialFailed;
  }
}

}  // namespace onehop::io
