#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/address.h"
#include "base/clock.h"
#include "base/result.h"

namespace onehop::io {

// Where sockets of a listener and of its flows live. netnsFd -1 is the process's own namespace.
struct NetContext {
  int netnsFd = -1;
  int netnsIndex = 0;  // equal contexts share an index, so that pools can compare them; 0 is our own
  uint32_t mark = 0;   // SO_MARK; 0 sets none

  static Result<NetContext> open(const std::string& netnsPath, int index, uint32_t mark);
};

struct SocketOptions {
  std::string congestion;         // TCP_CONGESTION; empty keeps the kernel's default
  int keepaliveIdleSeconds = 60;  // 0: none
  int keepaliveIntervalSeconds = 20;
  int keepaliveProbes = 5;
  int userTimeoutMs = 60000;      // TCP_USER_TIMEOUT: unacknowledged data kills the connection; 0: none
  int notSentLowat = 0;           // TCP_NOTSENT_LOWAT, bytes; 0: none
};

// How a dial picks its source address.
struct BindChoice {
  std::optional<SocketAddress> address;  // port 0 lets the kernel choose
  bool transparent = false;              // IP_TRANSPARENT: the address may be foreign
};

// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct ListenOptions {
  SocketAddress address;
  NetContext context;
  int backlog = 1024;
  bool transparent = false;  // try IP_TRANSPARENT; whether it worked is told back
  SocketOptions accepted;    // of its connections: Linux copies a listener's to each
};

struct ListenSocket {
  Fd fd;
  SocketAddress bound;
  bool transparent = false;
};

// Creates, binds (SO_REUSEPORT, SO_REUSEADDR) and listens; inside the context's namespace, on a thread
// of its own, so that the caller never leaves its own.
Result<ListenSocket> openListener(const ListenOptions& options);

struct Connecting {
  Fd fd;
  bool bound = false;      // to the address asked for: one of the other family is not
  bool connected = false;  // at once, as where the peer is on this machine; else writable once that is known
};
// Starts a non-blocking connect.
Result<Connecting> startConnect(const SocketAddress& to, const BindChoice& bind,
                                const NetContext& context, const SocketOptions& options);
// 0, or the errno of a finished connect.
int connectError(int fd);

struct Accepted {
  Fd fd;
  SocketAddress peer;
};
// A result without descriptor means nothing is waiting; an error carries errno.
Result<Accepted> acceptOne(int listener);
// Connections that wait to be accepted; -1 when unknown. To ask costs a tenth of an accept in vain, for
// which the kernel makes a socket first.
int acceptQueue(int listener);

void tune(int fd, const SocketOptions& options);  // TCP_NODELAY, keepalive, timeouts
std::optional<SocketAddress> originalDestination(int fd);
std::optional<SocketAddress> localAddress(int fd);
// Bytes the kernel still holds unacknowledged (SIOCOUTQ); 0 when unknown.
int unacknowledgedBytes(int fd);
Result<std::pair<Fd, Fd>> makeSocketPair();

CloseReason dialReason(int error);

}  // namespace onehop::io
