#include "tls/credentials.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <ctime>

#include "support/certificates.h"
#include "tls/support/session_pair.h"

namespace onehop::tls {
namespace {

using test::Authority;
using test::Flaw;
using test::Issued;
using test::kClientId;
using test::kServerId;
using test::LeafOptions;
using test::testAuthority;
using test::testCredentials;

std::string problem(std::string_view chain, std::string_view key, std::string_view roots) {
  auto made = Credentials::parse(chain, key, roots);
  EXPECT_EQ(ERR_peek_error(), 0u) << "left in the embedding program's error queue";
  if (made.ok()) return {};
  EXPECT_EQ(made.error().reason, CloseReason::noCredential);
  return made.error().detail;
}

TEST(Credentials, TellWhoTheyAre) {
  const auto made = testCredentials(kClientId);
  EXPECT_EQ(made->identity(), kClientId);
  EXPECT_EQ(made->trustDomain(), "cluster.local");
  EXPECT_FALSE(made->serial().empty());
  EXPECT_EQ(made->serial().find_first_not_of("0123456789abcdef"), std::string::npos);
  const int64_t nowMs = static_cast<int64_t>(std::time(nullptr)) * 1000;
  EXPECT_NEAR(static_cast<double>(made->notBeforeMs()), static_cast<double>(nowMs - 3'600'000),
              60'000.0);
  EXPECT_NEAR(static_cast<double>(made->notAfterMs()), static_cast<double>(nowMs + 86'400'000),
              60'000.0);
}

TEST(Credentials, TakeTheFirstSpiffeNameOrNone) {
  EXPECT_EQ(testCredentials({{"https://x.example", kServerId, kClientId}})->identity(), kServerId);
  LeafOptions none;
  none.flaw = Flaw::noSpiffe;
  EXPECT_EQ(testCredentials(none)->identity(), "");
}

TEST(Credentials, NameTheWrongPart) {
  const Issued good = testAuthority().issue(kServerId);
  const Issued other = testAuthority().issue(kServerId);
  const std::string& root = testAuthority().rootPem();
  EXPECT_EQ(problem(good.chainPem, good.keyPem, root), "");
  EXPECT_EQ(problem("", good.keyPem, root), "chain: not PEM certificates");
  EXPECT_EQ(problem("hello", good.keyPem, root), "chain: not PEM certificates");
  EXPECT_EQ(problem(good.keyPem, good.keyPem, root), "chain: not PEM certificates");
  EXPECT_EQ(problem(good.chainPem, "", root), "key: empty");
  EXPECT_EQ(problem(good.chainPem, "hello", root), "key: not an unencrypted PEM private key");
  EXPECT_EQ(problem(good.chainPem, good.chainPem, root),
            "key: not an unencrypted PEM private key");
  EXPECT_EQ(problem(good.chainPem, other.keyPem, root), "key: not the leaf's");
  EXPECT_EQ(problem(good.chainPem, good.keyPem, ""), "roots: not PEM certificates");
  EXPECT_EQ(problem(good.chainPem, good.keyPem, good.keyPem), "roots: not PEM certificates");
}

TEST(Credentials, RefuseADamagedCertificateAnywhere) {
  const Issued good = testAuthority().issue(kServerId);
  const std::string& root = testAuthority().rootPem();
  std::string damaged = root;
  damaged[damaged.size() / 2] = '!';
  EXPECT_EQ(problem(good.chainPem + damaged, good.keyPem, root), "chain: not PEM certificates");
  EXPECT_EQ(problem(good.chainPem, good.keyPem, root + damaged), "roots: not PEM certificates");
  std::string cut = good.chainPem.substr(0, good.chainPem.size() - 30);
  EXPECT_EQ(problem(cut, good.keyPem, root), "chain: not PEM certificates");
}

TEST(Credentials, BoundTheirParts) {
  const Issued good = testAuthority().issue(kServerId);
  const std::string& root = testAuthority().rootPem();
  std::string chain = good.chainPem;
  for (int i = 0; i < 7; ++i) chain += root;
  EXPECT_EQ(problem(chain, good.keyPem, root), "");
  EXPECT_EQ(problem(chain + root, good.keyPem, root), "chain: more than 8 certificates");
  const std::string padding(1024 * 1024, '\n');
  EXPECT_EQ(problem(good.chainPem + padding, good.keyPem, root), "chain: not PEM certificates");
  EXPECT_EQ(problem(good.chainPem, good.keyPem + padding, root), "key: too large");
}

TEST(Credentials, RefuseAnEncryptedKeyAndAskNobody) {
  // Password "test": PKCS#8 and the older form.
  constexpr const char* kPkcs8 =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgEFDQg7v4sagICCAAw\n"
      "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEECNM4FJW/9PISb74x8pqxggEgZB9\n"
      "S5NKj1FTl5Cs+1LyEPh6pSJMNffr5Gi2TBlJVNlVDhuAHriDBQdIMu4ZwDA2Uw3m\n"
      "nHCoxnP502jU5E7gkiwi93Wolx4dZ1oEpps4FB3jvayNzxfTy6VfCOkIiRw9WQDE\n"
      "WbtjMN0Q5KHfuTrDnVsrWJkHFvkhlnI49T0agW0FLiqBG5idGIksqm22NeuMN9g=\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n";
  constexpr const char* kOlder =
      "-----BEGIN EC PRIVATE KEY-----\n"
      "Proc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-128-CBC,779B29344A6363460C6F872ACC45C196\n"
      "\n"
      "nzu5HdZ8Sus1kblkpaBYnU4AE3k3beczCwra71JI5RKW21mgbuIQt/mzneMXJYb6\n"
      "YrTsN6Xp7WziHS+Q0EeyxHl1NqMEtxwWUqcnqBvQiWyfojYSqHEOTKAFIaPJDwPe\n"
      "4eMBNVhJpEiZMFnH3wkW2kKAsm4KT7pkpRIrzs2Sryo=\n"
      "-----END EC PRIVATE KEY-----\n";
  const Issued good = testAuthority().issue(kServerId);
  for (const char* key : {kPkcs8, kOlder}) {
    EXPECT_EQ(problem(good.chainPem, key, testAuthority().rootPem()),
              "key: not an unencrypted PEM private key");
  }
}

TEST(Credentials, SeveralRootsAndRootsTwice) {
  const Authority second("another root");
  const Issued mine = testAuthority().issue(kServerId);
  const Issued theirs = second.issue(kClientId);
  const std::string roots =
      testAuthority().rootPem() + second.rootPem() + testAuthority().rootPem();
  auto server = Credentials::parse(mine.chainPem, mine.keyPem, roots);
  auto client = Credentials::parse(theirs.chainPem, theirs.keyPem, roots);
  ASSERT_TRUE(server.ok() && client.ok());
  SessionPair pair(server.value(), client.value(), {kServerId});
  EXPECT_TRUE(pair.handshake());
}

TEST(Credentials, AnIntermediateMayBeTheRoot) {
  LeafOptions leaf{{kClientId}};
  leaf.throughIntermediate = true;
  const Issued client = testAuthority().issue(leaf);
  const std::string intermediate =
      client.chainPem.substr(client.chainPem.find("-----BEGIN", 10));
  const Issued mine = testAuthority().issue(kServerId);
  auto server = Credentials::parse(mine.chainPem, mine.keyPem, intermediate);
  auto theirs =
      Credentials::parse(client.chainPem, client.keyPem, testAuthority().rootPem());
  ASSERT_TRUE(server.ok() && theirs.ok());
  SessionPair pair(server.value(), theirs.value(), {kServerId});
  EXPECT_TRUE(pair.handshake());
}

TEST(Credentials, OutlivedByTheirSessions) {
  SessionPair pair(testCredentials(kServerId), testCredentials(kClientId), {kServerId});
  ASSERT_TRUE(pair.handshake());  // the pair held the only references, released by now
  pair.client.send("x");
  EXPECT_TRUE(pair.pump());
  EXPECT_EQ(pair.server.received, "x");
}

TEST(Credentials, LeaveNoErrorBehindAFailedHandshake) {
  LeafOptions expired{{kClientId}};
  expired.flaw = Flaw::expired;
  SessionPair pair(testCredentials(kServerId), testCredentials(expired), {kServerId});
  EXPECT_FALSE(pair.pump());
  EXPECT_EQ(ERR_peek_error(), 0u);
}

}  // namespace
}  // namespace onehop::tls
