// What an idle connection costs once its handshake is over.
#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <vector>

#include "support/certificates.h"
#include "tls/support/session_pair.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" size_t __sanitizer_get_current_allocated_bytes();  // its header is not everywhere
#endif

namespace onehop::tls {
namespace {

size_t allocatedBytes() {
#if defined(__SANITIZE_ADDRESS__)
  return __sanitizer_get_current_allocated_bytes();
#else
  return mallinfo2().uordblks;
#endif
}

TEST(Footprint, AnIdleSessionIsSmall) {
  const auto server = test::testCredentials(test::kServerId);
  const auto client = test::testCredentials(test::kClientId);
  std::vector<std::unique_ptr<Session>> kept;
  kept.reserve(202);
  const auto establish = [&] {
    SessionPair pair(server, client, {test::kServerId});
    ASSERT_TRUE(pair.handshake());
    pair.client.send("x");
    ASSERT_TRUE(pair.pump());
    kept.push_back(std::move(pair.server.session));
    kept.push_back(std::move(pair.client.session));
  };
  establish();  // what OpenSSL fetches once
  const size_t before = allocatedBytes();
  for (int i = 0; i < 100; ++i) establish();
  const size_t perSession = (allocatedBytes() - before) / 200;
  RecordProperty("bytes", static_cast<int>(perSession));
  // Two AES-GCM contexts of OpenSSL's provider are most of it.
  EXPECT_LE(perSession, 3072u);
}

}  // namespace
}  // namespace onehop::tls
