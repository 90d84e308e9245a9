// Certificates of every wrong kind, on both sides: who refuses, why, and what the peer is told.
#include <gtest/gtest.h>

#include "support/certificates.h"
#include "tls/handshake.h"
#include "tls/session.h"
#include "tls/support/session_pair.h"

namespace onehop::tls {
namespace {

using test::Flaw;
using test::kClientId;
using test::kServerId;
using test::LeafOptions;
using test::testCredentials;

constexpr const char* kOtherId = "spiffe://cluster.local/ns/default/sa/other";
constexpr const char* kForeignId = "spiffe://other.local/ns/default/sa/client";

// The alert and the reason one side gives when the other's certificate has the flaw.
struct Wrong {
  const char* name;
  Flaw flaw;
  CloseReason reason;
  int alert;
};

LeafOptions flawed(const char* uri, Flaw flaw) {
  LeafOptions options;
  options.uris = {uri};
  options.flaw = flaw;
  return options;
}

class WrongCertificate : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongCertificate, OfTheClient) {
  Flaw flaw = GetParam().flaw;
  if (flaw == Flaw::clientUsageOnly) flaw = Flaw::serverUsageOnly;  // the wrong one for a client
  SessionPair pair(testCredentials(kServerId), testCredentials(flawed(kClientId, flaw)),
                   {kServerId});
  EXPECT_FALSE(pair.pump());
  EXPECT_FALSE(pair.server.session->established());
  EXPECT_EQ(pair.server.session->peerIdentity(), "");
  EXPECT_EQ(pair.server.reason(), GetParam().reason) << pair.server.error->detail;
  EXPECT_EQ(pair.server.error->code, GetParam().alert);
  // A TLS 1.3 client is done before the server judges it; then the alert reaches it.
  ASSERT_TRUE(pair.client.error.has_value());
  EXPECT_EQ(pair.client.reason(), CloseReason::tlsFailed);
  EXPECT_EQ(pair.client.error->code, GetParam().alert);
}

TEST_P(WrongCertificate, OfTheServer) {
  SessionPair pair(testCredentials(flawed(kServerId, GetParam().flaw)),
                   testCredentials(kClientId), {kServerId});
  EXPECT_FALSE(pair.pump());
  EXPECT_FALSE(pair.client.session->established());
  EXPECT_EQ(pair.client.session->peerIdentity(), "");
  EXPECT_EQ(pair.client.reason(), GetParam().reason) << pair.client.error->detail;
  EXPECT_EQ(pair.client.error->code, GetParam().alert);
  ASSERT_TRUE(pair.server.error.has_value());
  EXPECT_EQ(pair.server.reason(), CloseReason::tlsFailed);
  EXPECT_EQ(pair.server.error->code, GetParam().alert);
}

// Alerts of RFC 8446 6.2 as OpenSSL chooses them.
constexpr int kHandshakeFailure = 40;
constexpr int kBadCertificate = 42;
constexpr int kUnsupportedCertificate = 43;
constexpr int kCertificateExpired = 45;
constexpr int kUnknownCa = 48;
constexpr int kDecryptError = 51;

INSTANTIATE_TEST_SUITE_P(
    Kinds, WrongCertificate,
    ::testing::Values(
        Wrong{"Expired", Flaw::expired, CloseReason::tlsFailed, kCertificateExpired},
        Wrong{"NotYetValid", Flaw::notYetValid, CloseReason::tlsFailed, kBadCertificate},
        Wrong{"WrongRoot", Flaw::wrongRoot, CloseReason::tlsFailed, kDecryptError},
        Wrong{"NoSpiffe", Flaw::noSpiffe, CloseReason::tlsIdentity, kHandshakeFailure},
        Wrong{"ForeignUri", Flaw::foreignUri, CloseReason::tlsIdentity, kHandshakeFailure},
        Wrong{"WrongTrustDomain", Flaw::wrongTrustDomain, CloseReason::tlsIdentity,
              kHandshakeFailure},
        Wrong{"WrongUsage", Flaw::clientUsageOnly, CloseReason::tlsFailed,
              kUnsupportedCertificate},
        Wrong{"CodeSigning", Flaw::codeSigningUsage, CloseReason::tlsFailed,
              kUnsupportedCertificate},
        Wrong{"BrokenSignature", Flaw::brokenSignature, CloseReason::tlsFailed, kDecryptError},
        Wrong{"MissingIntermediate", Flaw::missingIntermediate, CloseReason::tlsFailed,
              kUnknownCa},
        Wrong{"ExpiredIntermediate", Flaw::expiredIntermediate, CloseReason::tlsFailed,
              kCertificateExpired},
        Wrong{"IntermediateNotAuthority", Flaw::intermediateNotAuthority, CloseReason::tlsFailed,
              kUnknownCa},
        Wrong{"DepthExceeded", Flaw::depthExceeded, CloseReason::tlsFailed, kUnknownCa},
        Wrong{"AuthorityAsLeaf", Flaw::authorityLeaf, CloseReason::tlsFailed,
              kUnsupportedCertificate}),
    [](const auto& at) { return at.param.name; });

CloseReason clientSays(const LeafOptions& server, std::vector<std::string> expected,
                       std::string* identity = nullptr) {
  SessionPair pair(testCredentials(server), testCredentials(kClientId), std::move(expected));
  pair.handshake();
  if (identity != nullptr) *identity = pair.client.session->peerIdentity();
  return pair.client.reason();
}

CloseReason serverSays(const LeafOptions& client, std::string* identity = nullptr) {
  SessionPair pair(testCredentials(kServerId), testCredentials(client), {kServerId});
  pair.handshake();
  if (identity != nullptr) *identity = pair.server.session->peerIdentity();
  return pair.server.reason();
}

TEST(PeerIdentity, ClientAcceptsExactlyTheExpected) {
  EXPECT_EQ(clientSays({{kServerId}}, {kServerId}), CloseReason::none);
  EXPECT_EQ(clientSays({{kServerId}}, {kOtherId, kServerId}), CloseReason::none);
  EXPECT_EQ(clientSays({{kServerId}}, {kOtherId}), CloseReason::tlsIdentity);
  EXPECT_EQ(clientSays({{kServerId}}, {}), CloseReason::tlsIdentity) << "nobody will do";
  EXPECT_EQ(clientSays({{kServerId}}, {std::string(kServerId) + "x"}), CloseReason::tlsIdentity);
  EXPECT_EQ(clientSays({{kServerId}}, {std::string(kServerId, 20)}), CloseReason::tlsIdentity);
  // What is no SPIFFE id never matches, though it be equal.
  EXPECT_EQ(clientSays({{"https://cluster.local/x"}}, {"https://cluster.local/x"}),
            CloseReason::tlsIdentity);
}

TEST(PeerIdentity, ClientTakesAnyOfTwoNames) {
  std::string identity;
  EXPECT_EQ(clientSays({{kOtherId, kServerId}}, {kServerId}, &identity), CloseReason::none);
  EXPECT_EQ(identity, kServerId);
  EXPECT_EQ(clientSays({{"https://first.example", kServerId}}, {kServerId}, &identity),
            CloseReason::none);
  EXPECT_EQ(identity, kServerId);
  EXPECT_EQ(clientSays({{kOtherId, kForeignId}}, {kServerId}), CloseReason::tlsIdentity);
}

TEST(PeerIdentity, ServerTakesTheFirstNameOfItsTrustDomain) {
  std::string identity;
  EXPECT_EQ(serverSays({{kClientId, kOtherId}}, &identity), CloseReason::none);
  EXPECT_EQ(identity, kClientId);
  EXPECT_EQ(serverSays({{"https://first.example", kForeignId, kOtherId}}, &identity),
            CloseReason::none);
  EXPECT_EQ(identity, kOtherId);
  EXPECT_EQ(serverSays({{kForeignId}}), CloseReason::tlsIdentity);
  EXPECT_EQ(serverSays({{"spiffe://Cluster.local/ns/a/sa/b"}}), CloseReason::tlsIdentity);
  EXPECT_EQ(serverSays({{"spiffe://cluster.local/ns/a/sa/b/c"}}), CloseReason::tlsIdentity);
  EXPECT_EQ(serverSays({{"spiffe://cluster.local/workload"}}), CloseReason::tlsIdentity);
}

TEST(PeerIdentity, AServerWithoutIdentityServesNobody) {
  SessionPair pair(testCredentials(flawed(kServerId, Flaw::noSpiffe)),
                   testCredentials(kClientId), {kServerId});
  // The client would refuse it first: let the client be careless.
  EXPECT_FALSE(pair.pump());
  Handshake careful(testCredentials(flawed(kServerId, Flaw::noSpiffe)), true, {});
  EXPECT_FALSE(careful.checkPeer({kClientId}));
}

TEST(PeerIdentity, AbsentExtendedKeyUsageIsAccepted) {
  LeafOptions client{{kClientId}};
  client.extendedUsage = false;
  EXPECT_EQ(serverSays(client), CloseReason::none);
  LeafOptions server{{kServerId}};
  server.extendedUsage = false;
  EXPECT_EQ(clientSays(server, {kServerId}), CloseReason::none);
}

TEST(PeerIdentity, AChainThroughAnIntermediate) {
  LeafOptions client{{kClientId}};
  client.throughIntermediate = true;
  EXPECT_EQ(serverSays(client), CloseReason::none);
}

TEST(PeerIdentity, TheErrorNamesBothSides) {
  SessionPair pair(testCredentials(kServerId), testCredentials(kClientId), {kOtherId});
  EXPECT_FALSE(pair.pump());
  EXPECT_NE(pair.client.error->detail.find(kOtherId), std::string::npos);
  EXPECT_NE(pair.client.error->detail.find(kServerId), std::string::npos);
}

}  // namespace
}  // namespace onehop::tls
