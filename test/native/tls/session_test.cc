#include "tls/session.h"

#include <gtest/gtest.h>

#include "support/certificates.h"
#include "tls/support/openssl_peer.h"
#include "tls/support/raw_peer.h"
#include "tls/support/session_pair.h"

namespace onehop::tls {
namespace {

using test::kClientId;
using test::kServerId;
using test::testAuthority;
using test::testCredentials;

SessionPair freshPair() {
  return SessionPair(testCredentials(kServerId), testCredentials(kClientId), {kServerId});
}

TEST(Session, HandshakesAndCarriesBytesBothWays) {
  SessionPair pair = freshPair();
  EXPECT_EQ(pair.client.session->peerIdentity(), "");
  ASSERT_TRUE(pair.handshake());
  EXPECT_EQ(pair.client.session->peerIdentity(), kServerId);
  EXPECT_EQ(pair.server.session->peerIdentity(), kClientId);
  pair.client.send("hello");
  pair.server.send("world");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "hello");
  EXPECT_EQ(pair.client.received, "world");
}

TEST(Session, AnyFragmentationAndTheSmallestRoom) {
  for (const size_t step : {1, 2, 3, 4, 5, 6, 7, 100, 1000}) {
    SessionPair pair = freshPair();
    pair.step = step;
    pair.client.roomBytes = pair.server.roomBytes = 64;
    ASSERT_TRUE(pair.handshake()) << step;
    const std::string large(40'000, 'x');
    pair.client.send("hello");
    pair.client.send(large);
    pair.server.send("world");
    ASSERT_TRUE(pair.pump());
    EXPECT_EQ(pair.server.received, "hello" + large);
    EXPECT_EQ(pair.client.received, "world");
    EXPECT_TRUE(pair.server.pending.empty());
  }
}

TEST(Session, DataRightBehindTheFinishedIsRead) {
  SessionPair pair = freshPair();
  pair.client.drain();
  pair.deliver(pair.client, pair.server);
  pair.server.drain();
  pair.deliver(pair.server, pair.client);
  ASSERT_TRUE(pair.client.session->established());
  pair.client.send("first");  // behind certificate and Finished, in one delivery
  pair.deliver(pair.client, pair.server);
  EXPECT_TRUE(pair.server.session->established());
  EXPECT_EQ(pair.server.received, "first");
}

TEST(Session, StopsAfterARecordWhenTheSinkSaysSo) {
  RawPeer peer;
  std::vector<uint8_t> both = sealRecord(peer.sealer, "one");
  const size_t first = both.size();
  const std::vector<uint8_t> second = sealRecord(peer.sealer, "two");
  both.insert(both.end(), second.begin(), second.end());
  peer.session.stopAfterEach = true;
  size_t consumed = 0;
  ASSERT_TRUE(peer.session.session->feed(both, &consumed, peer.session).ok());
  EXPECT_EQ(consumed, first);
  EXPECT_EQ(peer.session.received, "one");
  ASSERT_TRUE(
      peer.session.session->feed(MutableByteSpan(both).subspan(first), &consumed, peer.session)
          .ok());
  EXPECT_EQ(peer.session.received, "onetwo");
}

TEST(Session, BadRecordsEndItWithTheRightAlert) {
  const auto alertAfter = [](std::vector<uint8_t> record) {
    RawPeer peer;
    EXPECT_FALSE(peer.session.feed(record));
    EXPECT_EQ(peer.session.reason(), CloseReason::tlsRecord);
    EXPECT_EQ(peer.session.received, "");
    const int alert = peer.alert();
    EXPECT_EQ(alert, peer.session.error->code);
    EXPECT_FALSE(peer.session.session->hasOutput());
    EXPECT_FALSE(peer.sendData("x")) << "dead after an error";
    return alert;
  };
  RawPeer keys;
  const std::vector<uint8_t> good = sealRecord(keys.sealer, "payload");
  const std::vector<uint8_t> second = sealRecord(keys.sealer, "later");
  std::vector<uint8_t> bad = good;
  bad[7] ^= 0x10;
  EXPECT_EQ(alertAfter(bad), kAlertBadRecordMac);
  EXPECT_EQ(alertAfter(second), kAlertBadRecordMac);  // reordered
  EXPECT_EQ(alertAfter({23, 3, 3, 0, 0}), kAlertBadRecordMac);
  EXPECT_EQ(alertAfter({23, 3, 3, 0, 1, 9}), kAlertBadRecordMac);
  EXPECT_EQ(alertAfter({23, 3, 3, 0x41, 0x01}), kAlertRecordOverflow);
  EXPECT_EQ(alertAfter({20, 3, 3, 0, 1, 1}), kAlertUnexpectedMessage);  // CCS is over
  EXPECT_EQ(alertAfter({21, 3, 3, 0, 2, 1, 0}), kAlertUnexpectedMessage);  // in clear
  EXPECT_EQ(alertAfter({22, 3, 3, 0, 4}), kAlertUnexpectedMessage);
  const TrafficState first = RawPeer::state(Suite::aes128GcmSha256, "01", 0);
  EXPECT_EQ(alertAfter(sealInner(first, {0, 0, 0, 0})), kAlertUnexpectedMessage);
  EXPECT_EQ(alertAfter(sealInner(first, {1, 20})), kAlertUnexpectedMessage);  // CCS inside
  EXPECT_EQ(alertAfter(sealInner(first, {1, 24})), kAlertUnexpectedMessage);  // heartbeat
  EXPECT_EQ(alertAfter(sealInner(first, {1, 255})), kAlertUnexpectedMessage);
  EXPECT_EQ(alertAfter(sealInner(first, std::vector<uint8_t>(16386, 23))), kAlertRecordOverflow);
}

TEST(Session, ReplayEndsIt) {
  RawPeer peer;
  const std::vector<uint8_t> record = sealRecord(peer.sealer, "pay once");
  ASSERT_TRUE(peer.session.feed(record));
  EXPECT_FALSE(peer.session.feed(record));
  EXPECT_EQ(peer.session.received, "pay once");
  EXPECT_EQ(peer.alert(), kAlertBadRecordMac);
}

TEST(Session, ToleratesSomeEmptyRecordsNotAFlood) {
  RawPeer peer;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 32; ++i) ASSERT_TRUE(peer.sendData(""));
    ASSERT_TRUE(peer.sendData("x"));
  }
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(peer.sendData(""));
  EXPECT_FALSE(peer.sendData(""));
  EXPECT_EQ(peer.session.received, "xxx");
  EXPECT_EQ(peer.alert(), kAlertUnexpectedMessage);
}

TEST(Session, CloseNotifyBothWays) {
  SessionPair pair = freshPair();
  ASSERT_TRUE(pair.handshake());
  pair.client.send("last words");
  pair.client.session->close();
  pair.client.session->close();  // once is enough
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "last words");
  EXPECT_TRUE(pair.server.session->peerClosed());
  EXPECT_TRUE(pair.server.session->feedEnd().ok());
  EXPECT_FALSE(pair.client.session->peerClosed());
  // RFC 8446 6.1: the other direction stays open.
  pair.server.send("noted");
  pair.server.session->close();
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.client.received, "noted");
  EXPECT_TRUE(pair.client.session->peerClosed());
}

TEST(Session, TruncationIsNotAClose) {
  SessionPair pair = freshPair();
  ASSERT_TRUE(pair.handshake());
  pair.client.send("cut");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.session->feedEnd().error().reason, CloseReason::tlsTruncated);
}

TEST(Session, IgnoresWhatFollowsCloseNotify) {
  RawPeer peer;
  ASSERT_TRUE(peer.sendAlert({1, 0}));
  ASSERT_TRUE(peer.session.session->peerClosed());
  EXPECT_TRUE(peer.sendData("late"));
  EXPECT_TRUE(peer.session.feed(fromBytes({99, 99, 99})));
  EXPECT_TRUE(peer.session.pending.empty());
  EXPECT_EQ(peer.session.received, "");
}

TEST(Session, AlertsOfThePeer) {
  const auto errorAfter = [](std::initializer_list<int> alert) {
    RawPeer peer;
    EXPECT_FALSE(peer.sendAlert(alert));
    EXPECT_FALSE(peer.session.session->peerClosed());
    return *peer.session.error;
  };
  // Told by the peer: no answer, its code kept; the level means nothing in TLS 1.3.
  EXPECT_EQ(errorAfter({2, 42}).reason, CloseReason::tlsFailed);
  EXPECT_EQ(errorAfter({2, 42}).code, 42);
  EXPECT_EQ(errorAfter({1, 80}).code, 80);
  RawPeer told;
  told.sendAlert({2, 48});
  EXPECT_FALSE(told.session.session->hasOutput());
  // Malformed: ours to say.
  for (const auto& alert : {std::vector<uint8_t>{}, {2}, {2, 0, 2}, {1, 0, 1, 0}}) {
    RawPeer peer;
    EXPECT_FALSE(peer.send(alert, ContentType::alert));
    EXPECT_EQ(peer.session.reason(), CloseReason::tlsRecord);
    EXPECT_EQ(peer.alert(), kAlertDecodeError);
  }
}

TEST(Session, UserCanceledIsAWarningButNotForEver) {
  RawPeer peer;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(peer.sendAlert({1, 90}));
  EXPECT_TRUE(peer.sendData("still here"));
  EXPECT_FALSE(peer.sendAlert({1, 90}));
  EXPECT_EQ(peer.session.reason(), CloseReason::tlsFailed);
}

TEST(Session, NothingMayBeSealedAfterClose) {
  SessionPair pair = freshPair();
  ASSERT_TRUE(pair.handshake());
  pair.client.session->close();
  uint8_t record[64];
  EXPECT_DEATH(pair.client.session->seal(record, 1), "closing_");
}

TEST(Session, MovesToAnotherProcess) {
  SessionPair pair = freshPair();
  EXPECT_FALSE(pair.server.session->movable());
  ASSERT_TRUE(pair.handshake());
  pair.client.send("before");
  pair.server.send("before");
  ASSERT_TRUE(pair.pump());
  ASSERT_TRUE(pair.server.session->movable());
  const EstablishedState state = pair.server.session->exportState();
  EXPECT_EQ(state.peerIdentity, kClientId);
  pair.server.session = Session::resume(state);
  pair.client.send(" and after");
  pair.server.send(" and after");
  ASSERT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "before and after");
  EXPECT_EQ(pair.client.received, "before and after");
  EXPECT_EQ(pair.server.session->peerIdentity(), kClientId);
  pair.server.session->close();
  EXPECT_FALSE(pair.server.session->movable());
}

TEST(Session, OpensslReadsOurCloseAndWeReadIts) {
  Endpoint server(Session::server(testCredentials(kServerId)));
  OpensslPeer peer(false, testAuthority().issue(kClientId));
  ASSERT_TRUE(peer.pump(server));
  peer.closeNotify();
  ASSERT_TRUE(peer.pump(server));
  EXPECT_TRUE(server.session->peerClosed());
  EXPECT_FALSE(peer.sawCloseNotify());
  server.session->close();
  peer.pump(server);
  EXPECT_TRUE(peer.sawCloseNotify());
}

TEST(Session, RejectsPostHandshakeMessagesItDidNotAskFor) {
  // CertificateRequest, NewSessionTicket to a server, ClientHello (renegotiation), Finished.
  for (const int type : {13, 4, 1, 20}) {
    RawPeer peer;
    EXPECT_FALSE(peer.sendMessage({type, 0, 0, 0}));
    EXPECT_EQ(peer.alert(), kAlertUnexpectedMessage) << type;
  }
  for (const int type : {13, 0, 2, 8}) {
    RawPeer peer(Role::client);
    EXPECT_FALSE(peer.sendMessage({type, 0, 0, 0}));
    EXPECT_EQ(peer.alert(), kAlertUnexpectedMessage) << type;
  }
  RawPeer empty;
  EXPECT_FALSE(empty.sendMessage({}));
  EXPECT_EQ(empty.alert(), kAlertUnexpectedMessage);
}

TEST(Session, TicketsAreSkippedAcrossRecordsWithinABound) {
  RawPeer peer(Role::client);
  ASSERT_TRUE(peer.sendMessage({4, 0}));
  EXPECT_FALSE(peer.session.session->movable());
  ASSERT_TRUE(peer.sendMessage({0, 3, 1}));
  ASSERT_TRUE(peer.sendMessage({2, 3, 4, 0, 0, 1, 9}));  // the rest and another
  EXPECT_TRUE(peer.session.session->movable());
  ASSERT_TRUE(peer.sendData("x"));
  ASSERT_TRUE(peer.sendMessage({4, 0, 1, 0, 7}));  // 256 bytes announced
  EXPECT_FALSE(peer.sendData("in the middle of it"));
  EXPECT_EQ(peer.alert(), kAlertUnexpectedMessage);

  RawPeer flood(Role::client);
  int tickets = 0;
  std::vector<uint8_t> ticket(4 + 8000, 0);
  ticket[0] = 4;
  store24(ticket.data() + 1, 8000);
  while (flood.send(ticket, ContentType::handshake) && tickets < 100) ++tickets;
  EXPECT_EQ(tickets, 16);
  RawPeer huge(Role::client);
  EXPECT_FALSE(huge.sendMessage({4, 255, 255, 255}));
}

}  // namespace
}  // namespace onehop::tls
