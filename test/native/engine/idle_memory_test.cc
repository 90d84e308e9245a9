#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "engine/support/mesh.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// What <sanitizer/allocator_interface.h> declares, which GCC does not install.
extern "C" size_t __sanitizer_get_current_allocated_bytes();
#endif

namespace onehop::engine {
namespace {

// Bytes of this process that were allocated and not freed.
size_t allocatedBytes() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return __sanitizer_get_current_allocated_bytes();
#else
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

// The least that is seen within three seconds: buffers of a busy time are given back a while later.
size_t settledBytes() {
  size_t least = SIZE_MAX;
  for (int i = 0; i < 30; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    least = std::min(least, allocatedBytes());
  }
  return least;
}

TEST(IdleMemory, OfATunnelledFlowIsSmall) {
  constexpr size_t kFlows = 3000;
  constexpr size_t kBytesPerHopMax = 1536;
  Mesh mesh;
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  std::vector<TestSocket> clients;
  clients.reserve(kFlows + 100);
  const auto openMore = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(TestSocket::connect(at));
      ASSERT_TRUE(clients.back().ok());
      ASSERT_TRUE(clients.back().send("x"));
      ASSERT_EQ(clients.back().receive(1), "x");
    }
  };
  openMore(100);
  const size_t before = settledBytes();
  openMore(kFlows);
  const size_t after = settledBytes();
  EXPECT_TRUE(mesh.a.untilCell(EngineCell::flowsActive, kFlows + 100));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::flowsActive, kFlows + 100));
  // Two hops. What the echo server and this test keep of each flow is counted along.
  const size_t perHop = (after - before) / (2 * kFlows);
  std::printf("%zu bytes per idle flow and hop\n", perHop);
  EXPECT_LE(perHop, kBytesPerHopMax);
}

}  // namespace
}  // namespace onehop::engine
