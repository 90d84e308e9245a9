#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace loadgen {

[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "loadgen: %s\n", what.c_str());
  std::exit(2);
}

inline int64_t nanosOf(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

inline int64_t nowNanos() { return nanosOf(CLOCK_MONOTONIC); }

// Of the calling thread.
inline double threadCpuSeconds() {
  return static_cast<double>(nanosOf(CLOCK_THREAD_CPUTIME_ID)) / 1e9;
}

// How long the calling thread was ready to run and had to wait for a processor; 0 when the kernel
// does not say.
inline double threadRunDelaySeconds() {
  std::FILE* file = std::fopen("/proc/thread-self/schedstat", "re");
  if (file == nullptr) return 0;
  unsigned long long ran = 0, waited = 0;
  const int fields = std::fscanf(file, "%llu %llu", &ran, &waited);
  std::fclose(file);
  return fields == 2 ? static_cast<double>(waited) / 1e9 : 0;
}

// All CPU time of another process, its ended threads too; -1 when there is no such process.
inline double cpuSecondsOf(pid_t pid) {
  clockid_t clock{};
  timespec t{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) return -1;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

inline sockaddr_in parseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  char* end = nullptr;
  const char* port = colon == std::string::npos ? "" : text.c_str() + colon + 1;
  const unsigned long number = std::strtoul(port, &end, 10);
  if (*port < '0' || *port > '9' || *end != 0 || number > 65535 ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    die("'" + text + "' is not an IPv4 address and port, such as 127.0.0.1:9000");
  }
  address.sin_port = htons(static_cast<uint16_t>(number));
  return address;
}

inline std::vector<sockaddr_in> parseAddresses(const std::vector<std::string>& texts) {
  std::vector<sockaddr_in> addresses;
  for (const std::string& text : texts) addresses.push_back(parseAddress(text));
  return addresses;
}

inline void setNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// '' keeps the kernel's default.
inline void setCongestion(int fd, const std::string& name) {
  if (name.empty()) return;
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) != 0) {
    die("congestion control '" + name + "': " + std::strerror(errno));
  }
}

inline int listenOn(const std::string& address, const std::string& congestion) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setCongestion(listener, congestion);
  const sockaddr_in place = parseAddress(address);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&place), sizeof place) != 0 ||
      listen(listener, 4096) != 0) {
    die("listen on " + address + ": " + std::strerror(errno));
  }
  return listener;
}

// Prints {"listening":PORT}.
inline void announce(int listener) {
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length);
  std::printf("{\"listening\":%u}\n", ntohs(bound.sin_port));
  std::fflush(stdout);
}

// The number of descriptors this process may have open.
inline size_t raiseFileLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// As epoll_wait, with the timeout in nanoseconds; a kernel before 5.11 rounds it up to
// milliseconds.
inline int waitEvents(int epoll, epoll_event* events, int most, int64_t nanos) {
  static std::atomic<bool> precise = true;
  if (nanos < 0) nanos = 0;
#ifdef SYS_epoll_pwait2
  if (precise) {
    const timespec timeout{nanos / 1000000000, nanos % 1000000000};
    const long n = syscall(SYS_epoll_pwait2, epoll, events, most, &timeout, nullptr, 0);
    if (n >= 0 || errno != ENOSYS) return static_cast<int>(n);
    precise = false;
  }
#endif
  return epoll_wait(epoll, events, most, static_cast<int>((nanos + 999999) / 1000000));
}

}  // namespace loadgen
