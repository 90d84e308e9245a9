#pragma once

#include <cstddef>

#include "io/socket.h"

namespace onehop::io {

enum class SpliceState : unsigned char { moved, wouldBlockIn, wouldBlockOut, end, failed };

struct SpliceResult {
  SpliceState state = SpliceState::moved;
  size_t bytes = 0;  // that reached the destination
  int code = 0;      // errno behind `failed`
  bool failedIn = false;
};

// A kernel pipe between two sockets: bytes go through without being copied to user space. Holds two
// descriptors while open, and no page when empty.
class SplicePipe {
 public:
  static constexpr int kBytes = 256 * 1024;

  // False when descriptors are out: the caller goes on by copying.
  bool open();
  bool isOpen() const { return static_cast<bool>(in_); }
  bool empty() const { return held_ == 0; }
  void close();
  // Moves up to `most` bytes from one socket to the other, as far as both allow at once. Without
  // `fromFd` only what the pipe holds.
  SpliceResult move(int fromFd, int toFd, size_t most);

 private:
  Fd in_;
  Fd out_;
  size_t held_ = 0;
};

}  // namespace onehop::io
