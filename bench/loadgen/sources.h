#pragma once

#include <string>

#include "net.h"

namespace loadgen {

// Local addresses taken in turn: one has some 28,000 ports, each kept for a minute after use.
class SourceAddresses {
 public:
  // '' is 127.200.x.1 towards 127/8, with another x for the next process, which would find these
  // ports in TIME_WAIT; elsewhere the kernel chooses.
  SourceAddresses(const std::string& first, unsigned count, const sockaddr_in& target)
      : count_(count) {
    if (!first.empty()) {
      first_ = ntohl(parseAddress(first + ":0").sin_addr.s_addr);
    } else if ((ntohl(target.sin_addr.s_addr) >> 24) == 127) {
      first_ = (127u << 24) | (200u << 16) | ((static_cast<uint32_t>(getpid()) & 255) << 8) | 1;
    }
  }
  void bind(int fd) {
    if (first_ == 0) return;
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(first_ + next_++ % count_);
    const int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) {
      die(std::string("bind the source address: ") + std::strerror(errno));
    }
  }

 private:
  unsigned count_;
  uint32_t first_ = 0;
  uint32_t next_ = 0;
};

}  // namespace loadgen
