#include "tls/session.h"

#include <gtest/gtest.h>

#include "support/certificates.h"
#include "tls/support/session_pair.h"

namespace onehop::tls {
namespace {

using test::kClientId;
using test::kServerId;
using test::testCredentials;

TEST(Session, HandshakesAndCarriesBytesBothWays) {
  SessionPair pair(testCredentials(kServerId), testCredentials(kClientId), {kServerId});
  ASSERT_TRUE(pair.handshake());
  EXPECT_EQ(pair.client.session->peerIdentity(), kServerId);
  EXPECT_EQ(pair.server.session->peerIdentity(), kClientId);
  pair.client.send("hello");
  pair.server.send("world");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "hello");
  EXPECT_EQ(pair.client.received, "world");
}

TEST(Session, HandshakesWhenFedByteByByte) {
  SessionPair pair(testCredentials(kServerId), testCredentials(kClientId), {kServerId});
  pair.step = 1;
  ASSERT_TRUE(pair.handshake());
  pair.client.send("hello");
  pair.client.send(std::string(20000, 'x'));
  pair.server.send("world");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "hello" + std::string(20000, 'x'));
  EXPECT_EQ(pair.client.received, "world");
}

}  // namespace
}  // namespace onehop::tls
