#pragma once

#include <cstdio>
#include <cstdlib>

// CHECK guards our own invariants and is always on. It never judges what a peer sent: peers get a
// Result with an error code.

namespace onehop {

[[noreturn]] inline void checkFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "onehop: CHECK failed: %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace onehop

#define CHECK(expression)                                       \
  (__builtin_expect(static_cast<bool>(expression), 1)           \
       ? static_cast<void>(0)                                   \
       : ::onehop::checkFailed(#expression, __FILE__, __LINE__))
