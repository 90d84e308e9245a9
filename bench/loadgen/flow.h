#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "http.h"

namespace loadgen {

// One connection of the client, and the operation on it.
struct Flow {
  enum class State : uint8_t { closed, connecting, open };
  int fd = -1;
  unsigned index = 0;
  unsigned target = 0;
  State state = State::closed;
  bool busy = false;       // an operation is on its way
  bool queued = false;     // among the free ones
  bool settled = false;    // it was answered once, or failed
  uint32_t turn = 0;       // counts what it did, for pattern offsets
  uint32_t unsent = 0;     // bytes of the running message still to send
  uint32_t missing = 0;    // bytes of its answer still to come
  int64_t due = 0;         // when the running operation was due
  uint64_t start = 0;      // pattern offset of the connection's first byte
  uint64_t sent = 0;
  uint64_t received = 0;   // upload: receipted
  uint8_t receipt[8];
  unsigned receiptBytes = 0;
  std::string out;         // http request, what is left of it
  std::unique_ptr<ResponseReader> reader;
};

}  // namespace loadgen
