#include <gtest/gtest.h>

#include "support/certificates.h"
#include "tls/session.h"
#include "tls/support/openssl_peer.h"
#include "tls/support/raw_peer.h"

namespace onehop::tls {
namespace {

using test::kClientId;
using test::kServerId;
using test::testAuthority;
using test::testCredentials;

class KeyUpdate : public ::testing::TestWithParam<Suite> {};

TEST_P(KeyUpdate, OfThePeer) {
  RawPeer peer(Role::server, GetParam());
  ASSERT_TRUE(peer.sendData("old"));
  ASSERT_TRUE(peer.sendKeyUpdate());
  EXPECT_TRUE(peer.sendData(" new"));
  EXPECT_EQ(peer.session.received, "old new");
  EXPECT_EQ(peer.session.session->keyUpdates(), 1u);
  EXPECT_FALSE(peer.session.session->hasOutput()) << "none was asked for";
}

TEST_P(KeyUpdate, TheOldKeyIsOver) {
  RawPeer peer(Role::server, GetParam());
  ASSERT_TRUE(peer.sendMessage({24, 0, 0, 1, 0}));
  EXPECT_FALSE(peer.sendData("by the old key"));
  EXPECT_EQ(peer.alert(), kAlertBadRecordMac);
}

TEST_P(KeyUpdate, AnsweredWhenAsked) {
  RawPeer peer(Role::client, GetParam());
  ASSERT_TRUE(peer.sendKeyUpdate(1));
  ASSERT_TRUE(peer.sendKeyUpdate(1));  // a second request before the answer needs no second answer
  ASSERT_TRUE(peer.session.session->hasOutput());
  const auto answer = peer.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->type, ContentType::handshake);
  EXPECT_EQ(answer->bytes, std::string("\x18\x00\x00\x01\x00", 5));
  EXPECT_FALSE(peer.session.session->hasOutput());
  peer.opener.update();
  peer.session.send("by the new key");
  EXPECT_EQ(peer.receive()->bytes, "by the new key");
}

TEST_P(KeyUpdate, OursWhenAKeyHasSealedEnough) {
  RawPeer peer(Role::server, GetParam(), 0, kKeyUpdateRecords - 1);
  EXPECT_FALSE(peer.session.session->hasOutput());
  peer.session.send("last of the old");
  EXPECT_EQ(peer.receive()->bytes, "last of the old");
  // receive() drained the session: a KeyUpdate came right behind.
  const auto update = peer.receive();
  ASSERT_TRUE(update.has_value());
  EXPECT_EQ(update->type, ContentType::handshake);
  EXPECT_EQ(update->bytes, std::string("\x18\x00\x00\x01\x00", 5));
  peer.opener.update();
  peer.session.send("first of the new");
  EXPECT_EQ(peer.receive()->bytes, "first of the new");
  EXPECT_EQ(peer.opener.sequence(), 1u);
  EXPECT_EQ(peer.session.session->keyUpdates(), 1u);
}

TEST_P(KeyUpdate, SplitOverRecords) {
  RawPeer peer(Role::server, GetParam());
  for (const int byte : {24, 0, 0, 1}) ASSERT_TRUE(peer.sendMessage({byte}));
  EXPECT_FALSE(peer.session.session->movable());
  ASSERT_TRUE(peer.sendMessage({0}));
  peer.sealer.update();
  EXPECT_TRUE(peer.sendData("new"));
  EXPECT_EQ(peer.session.received, "new");
}

INSTANTIATE_TEST_SUITE_P(Suites, KeyUpdate,
                         ::testing::Values(Suite::aes128GcmSha256, Suite::aes256GcmSha384),
                         [](const auto& at) {
                           return at.param == Suite::aes256GcmSha384 ? "Aes256" : "Aes128";
                         });

TEST(KeyUpdateMalformed, EndsTheSession) {
  const auto alertAfter = [](std::initializer_list<int> message) {
    RawPeer peer;
    EXPECT_FALSE(peer.sendMessage(message));
    EXPECT_EQ(peer.session.reason(), CloseReason::tlsRecord);
    return peer.alert();
  };
  EXPECT_EQ(alertAfter({24, 0, 0, 1, 2}), kAlertIllegalParameter);
  EXPECT_EQ(alertAfter({24, 0, 0, 0}), kAlertDecodeError);
  EXPECT_EQ(alertAfter({24, 0, 0, 2, 0, 0}), kAlertDecodeError);
  EXPECT_EQ(alertAfter({24, 1, 0, 1, 0}), kAlertDecodeError);
  // Nothing may follow in its record: the key has changed (RFC 8446 5.1).
  EXPECT_EQ(alertAfter({24, 0, 0, 1, 0, 24}), kAlertUnexpectedMessage);
  RawPeer split;
  ASSERT_TRUE(split.sendMessage({24, 0, 0}));
  EXPECT_FALSE(split.sendData("between"));
  EXPECT_EQ(split.alert(), kAlertUnexpectedMessage);
}

TEST(KeyUpdateFlood, IsCutOff) {
  RawPeer peer;
  int updates = 0;
  while (peer.sendKeyUpdate(1) && updates < 1000) {
    ++updates;
    peer.session.drain();
  }
  EXPECT_EQ(updates, 32);
  EXPECT_EQ(peer.session.reason(), CloseReason::tlsRecord);
  EXPECT_EQ(peer.session.error->code, kAlertUnexpectedMessage);
}

TEST(KeyUpdateFlood, DataEarnsMore) {
  RawPeer peer;
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(peer.sendKeyUpdate());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 64; ++i) ASSERT_TRUE(peer.sendData("x"));
    ASSERT_TRUE(peer.sendKeyUpdate()) << round;
  }
  EXPECT_FALSE(peer.sendKeyUpdate());
}

TEST(KeyUpdateFlood, EmptyRecordsEarnNothing) {
  RawPeer peer;
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(peer.sendKeyUpdate());
  for (int i = 0; i < 63; ++i) {
    ASSERT_TRUE(peer.sendData("x"));
    ASSERT_TRUE(peer.sendData(""));
  }
  EXPECT_FALSE(peer.sendKeyUpdate());
}

TEST(KeyUpdateInterop, WithOpensslBothWays) {
  for (const bool server : {true, false}) {
    Endpoint ours(server ? Session::server(testCredentials(kServerId))
                         : Session::client(testCredentials(kClientId), {kServerId}));
    OpensslPeer peer(!server, testAuthority().issue(server ? kClientId : kServerId));
    ASSERT_TRUE(peer.pump(ours));
    peer.write("a");
    peer.keyUpdate(true);
    peer.write("b");
    ASSERT_TRUE(peer.pump(ours));
    EXPECT_EQ(ours.received, "ab");
    EXPECT_EQ(ours.session->keyUpdates(), 2u);  // its and our answer
    ours.send("c");
    ASSERT_TRUE(peer.pump(ours));
    peer.keyUpdate(false);
    peer.write("d");
    ours.send("e");
    ASSERT_TRUE(peer.pump(ours));
    EXPECT_EQ(ours.received, "abd");
    EXPECT_EQ(peer.received(), "ce");
  }
}

}  // namespace
}  // namespace onehop::tls
