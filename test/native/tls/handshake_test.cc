#include "tls/handshake.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "support/certificates.h"
#include "tls/support/openssl_peer.h"
#include "tls/support/session_pair.h"
#include "tls/versions.h"

namespace onehop::tls {
namespace {

using test::Authority;
using test::kClientId;
using test::kServerId;
using test::testAuthority;
using test::testCredentials;

Endpoint ourServer() { return Endpoint(Session::server(testCredentials(kServerId))); }
Endpoint ourClient() { return Endpoint(Session::client(testCredentials(kClientId), {kServerId})); }
test::Issued clientIdentity() { return testAuthority().issue(kClientId); }
test::Issued serverIdentity() { return testAuthority().issue(kServerId); }

struct Choice {
  const char* suites;
  const char* groups;
  const char* suite;
  const char* group;
};

class HandshakeChoice : public ::testing::TestWithParam<Choice> {
 protected:
  PeerOptions options() const {
    PeerOptions options;
    options.suites = GetParam().suites;
    options.groups = GetParam().groups;
    return options;
  }
  void expectChoice(const OpensslPeer& peer) const {
    EXPECT_EQ(peer.suite(), GetParam().suite);
    EXPECT_EQ(peer.group(), GetParam().group);
  }
};

TEST_P(HandshakeChoice, AsServer) {
  Endpoint server = ourServer();
  OpensslPeer peer(false, clientIdentity(), options());
  ASSERT_TRUE(peer.pump(server));
  ASSERT_TRUE(peer.established() && server.session->established());
  expectChoice(peer);
  peer.write("ping");
  server.send("pong");
  ASSERT_TRUE(peer.pump(server));
  EXPECT_EQ(server.received, "ping");
  EXPECT_EQ(peer.received(), "pong");
  EXPECT_EQ(server.session->peerIdentity(), kClientId);
}

TEST_P(HandshakeChoice, AsClient) {
  Endpoint client = ourClient();
  OpensslPeer peer(true, serverIdentity(), options());
  ASSERT_TRUE(peer.pump(client));
  ASSERT_TRUE(peer.established() && client.session->established());
  expectChoice(peer);
  peer.write("ping");
  client.send("pong");
  ASSERT_TRUE(peer.pump(client));
  EXPECT_EQ(client.received, "ping");
  EXPECT_EQ(peer.received(), "pong");
}

constexpr const char* kAes256 = "TLS_AES_256_GCM_SHA384";
constexpr const char* kAes128 = "TLS_AES_128_GCM_SHA256";
INSTANTIATE_TEST_SUITE_P(
    All, HandshakeChoice,
    ::testing::Values(Choice{kAes256, "X25519", kAes256, "x25519"},
                      Choice{kAes256, "P-256", kAes256, "secp256r1"},
                      Choice{kAes128, "X25519", kAes128, "x25519"},
                      Choice{kAes128, "P-256", kAes128, "secp256r1"}));

TEST(Handshake, PrefersAes128AndX25519) {
  Endpoint server = ourServer();
  PeerOptions options;
  options.suites = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
  OpensslPeer peer(false, clientIdentity(), options);
  ASSERT_TRUE(peer.pump(server));
  EXPECT_EQ(peer.suite(), kAes128);
  EXPECT_EQ(peer.group(), "x25519");
}

TEST(Handshake, UsesTheHybridGroupWhereOpensslHasIt) {
  if (versions().groups.find("X25519MLKEM768") == std::string::npos) {
    GTEST_SKIP() << "OpenSSL " << versions().running << " has no X25519MLKEM768";
  }
  Endpoint server = ourServer();
  PeerOptions options;
  options.groups = "X25519MLKEM768";
  OpensslPeer peer(false, clientIdentity(), options);
  ASSERT_TRUE(peer.pump(server));
  EXPECT_EQ(peer.group(), "X25519MLKEM768");
  Endpoint client = ourClient();
  OpensslPeer hybrid(true, serverIdentity(), options);
  ASSERT_TRUE(hybrid.pump(client));
  EXPECT_EQ(hybrid.group(), "X25519MLKEM768");
}

// What a server refuses of a client, and what the client is told.
struct Refusal {
  const char* name;
  void (*change)(PeerOptions&);
  int alert;
};

class HandshakeRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(HandshakeRefusal, AsServer) {
  Endpoint server = ourServer();
  PeerOptions options;
  GetParam().change(options);
  OpensslPeer peer(false, clientIdentity(), options);
  EXPECT_FALSE(peer.pump(server));
  EXPECT_FALSE(server.session->established());
  EXPECT_EQ(server.reason(), CloseReason::tlsFailed);
  EXPECT_EQ(peer.alert(), GetParam().alert);
  EXPECT_NE(server.error->code, 0) << "which alert was sent";
  size_t consumed = 0;
  const Status again = server.session->feed({}, &consumed, server);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().detail, server.error->detail);
}

INSTANTIATE_TEST_SUITE_P(
    All, HandshakeRefusal,
    ::testing::Values(
        Refusal{"Tls12", [](PeerOptions& o) { o.versionMax = TLS1_2_VERSION; }, 70},
        Refusal{"Chacha20Only",
                [](PeerOptions& o) { o.suites = "TLS_CHACHA20_POLY1305_SHA256"; },
                40},
        Refusal{"P384Only", [](PeerOptions& o) { o.groups = "P-384"; }, 40},
        Refusal{"NoAlpn", [](PeerOptions& o) { o.alpn = ""; }, kAlertNoApplicationProtocol},
        Refusal{"Http11", [](PeerOptions& o) { o.alpn = "\x08http/1.1"; },
                kAlertNoApplicationProtocol},
        Refusal{"H2Prefix", [](PeerOptions& o) { o.alpn = "\x03h2c\x01h"; },
                kAlertNoApplicationProtocol},
        Refusal{"NoCertificate", [](PeerOptions& o) { o.certificate = false; }, 116}),
    [](const auto& at) { return at.param.name; });

TEST(Handshake, TakesH2AmongOthers) {
  Endpoint server = ourServer();
  PeerOptions options;
  options.alpn = std::string("\x08http/1.1\x02h2");
  OpensslPeer peer(false, clientIdentity(), options);
  EXPECT_TRUE(peer.pump(server));
  EXPECT_TRUE(server.session->established());
}

TEST(Handshake, ClientRefusesAServerThatIgnoresAlpn) {
  Endpoint client = ourClient();
  PeerOptions options;
  options.alpn = "";
  OpensslPeer peer(true, serverIdentity(), options);
  EXPECT_FALSE(peer.pump(client));
  EXPECT_FALSE(client.session->established());
  EXPECT_EQ(client.reason(), CloseReason::tlsFailed);
  EXPECT_EQ(client.error->code, kAlertNoApplicationProtocol);
  EXPECT_EQ(peer.alert(), kAlertNoApplicationProtocol);
}

TEST(Handshake, ClientRefusesAnAlpnItDidNotOffer) {
  Endpoint client = ourClient();
  PeerOptions options;
  options.alpn = "\x08http/1.1";
  OpensslPeer peer(true, serverIdentity(), options);
  EXPECT_FALSE(peer.pump(client));
  EXPECT_EQ(client.reason(), CloseReason::tlsFailed);
  EXPECT_GE(peer.alert(), 0);
}

TEST(Handshake, ClientRefusesTls12) {
  Endpoint client = ourClient();
  PeerOptions options;
  options.versionMax = TLS1_2_VERSION;
  OpensslPeer peer(true, serverIdentity(), options);
  EXPECT_FALSE(peer.pump(client));
  EXPECT_EQ(client.reason(), CloseReason::tlsFailed);
}

TEST(Handshake, SendsNoRootAndNoServerName) {
  // A chain file that ends with the root, as some authorities give it.
  test::LeafOptions leaf{{kServerId}};
  leaf.throughIntermediate = true;
  test::Issued issued = testAuthority().issue(leaf);
  auto made = Credentials::parse(issued.chainPem + testAuthority().rootPem(), issued.keyPem,
                                 testAuthority().rootPem());
  ASSERT_TRUE(made.ok());
  Endpoint client(Session::client(made.value(), {kServerId}));
  OpensslPeer peer(true, serverIdentity());
  client.drain();
  // ClientHello: no server_name extension (type 0) may name anybody.
  EXPECT_EQ(asText(client.wire).find("cluster.local"), std::string_view::npos);
  ASSERT_TRUE(peer.pump(client));
  EXPECT_EQ(peer.peerCertificates(), 2);
}

TEST(Handshake, SkipsTheTicketsOfAServer) {
  Endpoint client = ourClient();
  PeerOptions options;
  options.tickets = 5;
  OpensslPeer peer(true, serverIdentity(), options);
  ASSERT_TRUE(peer.pump(client));
  peer.write("after the tickets");
  ASSERT_TRUE(peer.pump(client));
  EXPECT_EQ(client.received, "after the tickets");
}

TEST(Handshake, EndsAFragmentFloodWithAnAlert) {
  Endpoint server = ourServer();
  // A ClientHello of 120,000 bytes that never ends.
  std::vector<uint8_t> record(kRecordHeader + 16384, 0);
  record[0] = 22, record[1] = 3, record[2] = 1;
  store16(record.data() + 3, 16384);
  record[5] = 1;
  store24(record.data() + 6, 120'000);
  size_t records = 0;
  while (!server.error && records < 20) {
    server.feed(record);
    store32(record.data() + 5, 0);
    ++records;
  }
  EXPECT_EQ(records, 6u);
  EXPECT_EQ(server.reason(), CloseReason::tlsFailed);
  server.drain();
  EXPECT_EQ(server.wire, (std::vector<uint8_t>{21, 3, 3, 0, 2, 2, kAlertDecodeError}));
}

TEST(Handshake, AnswersWhatIsNoTlsAtItsFirstBytes) {
  for (const char* text : {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "\x16\x02\x00\x00\x01",
                           "\x80\x2e\x01\x00\x02", "\x18\x03\x03\x00\x01"}) {
    Endpoint server = ourServer();
    server.feed(ByteSpan(reinterpret_cast<const uint8_t*>(text), kRecordHeader));
    EXPECT_EQ(server.reason(), CloseReason::tlsFailed) << text;
    server.drain();
    EXPECT_EQ(server.wire, (std::vector<uint8_t>{21, 3, 3, 0, 2, 2, kAlertUnexpectedMessage}));
  }
}

TEST(Handshake, AnswersAnOversizedHeaderAtOnce) {
  Endpoint server = ourServer();
  server.feed(fromBytes({22, 3, 1, 0xff, 0xff}));
  EXPECT_EQ(server.reason(), CloseReason::tlsFailed);
  server.drain();
  EXPECT_EQ(server.wire, (std::vector<uint8_t>{21, 3, 3, 0, 2, 2, kAlertRecordOverflow}));
}

TEST(Handshake, EndOfStreamInIt) {
  Endpoint server = ourServer();
  EXPECT_EQ(server.session->feedEnd().error().reason, CloseReason::tlsFailed);
}

TEST(Handshake, RefusesDataBeforeItsEnd) {
  Endpoint server = ourServer();
  server.feed(fromBytes({23, 3, 3, 0, 17, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(server.reason(), CloseReason::tlsFailed);
}

}  // namespace
}  // namespace onehop::tls
