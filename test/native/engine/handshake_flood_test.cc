// Connections to the HBONE port that begin a handshake and never end it.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "engine/shard_listener.h"
#include "engine/support/mesh.h"

namespace onehop::engine {
namespace {

TEST(HandshakeFlood, IsBoundedAndHonestHandshakesGoThrough) {
  constexpr size_t kMost = ShardListener::kHandshakesPerSourceMax;
  Mesh mesh;
  std::vector<TestSocket> silent;
  for (size_t i = 0; i < 3 * kMost; ++i) {
    silent.push_back(TestSocket::connect(mesh.tunnelPort));
    ASSERT_TRUE(silent.back().ok());
    // Half of them begin a record: the first bytes of a ClientHello's.
    if (i % 2 == 0) silent.back().send(std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9));
  }
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::accepted, 3 * kMost));
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesActive, kMost));
  // From the same address as the flood: the oldest goes, not the newest.
  const std::string at = mesh.a.listen(listenOn(ListenerKind::forward));
  TestSocket client = TestSocket::connect(at);
  ASSERT_TRUE(client.send("x"));
  EXPECT_EQ(client.receive(1), "x");
  EXPECT_EQ(silent.front().receive(1), "");
  EXPECT_EQ(silent.front().lastErrno, ECONNRESET);
  // The first notices say why, and they do not keep JavaScript busy for ever.
  ASSERT_TRUE(mesh.b.until([](const Batch& batch) { return !batch.events.notices.empty(); }));
  const Batch seen = mesh.b.seen();
  EXPECT_EQ(seen.events.notices[0].reason, CloseReason::overload);
  EXPECT_LE(seen.events.notices.size(), ShardListener::kNoticeBurst + 64);
  silent.clear();
  EXPECT_TRUE(mesh.b.untilCell(EngineCell::handshakesActive, 0));
}

}  // namespace
}  // namespace onehop::engine
