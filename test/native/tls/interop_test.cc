// Against foreign programs over loopback: openssl s_client and s_server, gnutls-cli and gnutls-serv.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/certificates.h"
#include "tls/session.h"
#include "tls/support/tool.h"

namespace onehop::tls {
namespace {

using test::Flaw;
using test::Issued;
using test::kClientId;
using test::kServerId;
using test::LeafOptions;
using test::testAuthority;
using test::testCredentials;

struct Choice {
  const char* name;
  const char* opensslSuite;
  const char* opensslGroup;
  const char* gnutlsPriority;
};

constexpr const char* kGnutlsBase =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:-GROUP-ALL";

class Interop : public ::testing::TestWithParam<Choice> {
 protected:
  void useIdentity(const LeafOptions& options) {
    const Issued issued = testAuthority().issue(options);
    chain_ = folder_.write("chain.pem", issued.chainPem);
    key_ = folder_.write("key.pem", issued.keyPem);
    root_ = folder_.write("root.pem", testAuthority().rootPem());
  }
  std::vector<std::string> opensslCommand(const char* verb) const {
    return {"openssl", verb, "-cert", chain_, "-cert_chain", chain_, "-key", key_, "-CAfile", root_,
            "-alpn", "h2", "-tls1_3", "-ciphersuites", GetParam().opensslSuite, "-groups",
            GetParam().opensslGroup, "-verify_return_error"};
  }
  std::vector<std::string> gnutlsCommand(const char* program, int port) const {
    return {program, "--x509certfile", chain_, "--x509keyfile", key_, "--x509cafile", root_,
            "--alpn", "h2", "--port", std::to_string(port), "--priority",
            std::string(kGnutlsBase) + GetParam().gnutlsPriority};
  }
  PemFolder folder_;
  std::string chain_, key_, root_;
};

std::vector<std::string> with(std::vector<std::string> command, std::vector<std::string> more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

// The port s_server says it got.
int acceptPort(Tool& tool) {
  constexpr std::string_view kSays = "ACCEPT 127.0.0.1:";
  if (!tool.expect(kSays)) return 0;
  const size_t at = tool.output().find(kSays) + kSays.size();
  return std::atoi(tool.output().c_str() + at);
}

const std::string kLarge = std::string(100'000, 'L') + "\n";

// We are the server; the tool sends what it reads on its input and prints what it receives.
void exchangeAsServer(Wire& wire, Endpoint& server, Tool& tool) {
  ASSERT_TRUE(wire.accept());
  ASSERT_TRUE(wire.run(server, [&] { return server.session->established(); })) << tool.output();
  EXPECT_EQ(server.session->peerIdentity(), kClientId);
  server.send("greetings\n");
  ASSERT_TRUE(wire.flush(server));
  ASSERT_TRUE(tool.expect("greetings")) << tool.output();
  tool.write("hello\n");
  ASSERT_TRUE(wire.run(server, [&] { return server.received == "hello\n"; }));
  tool.write(kLarge);
  ASSERT_TRUE(wire.run(server, [&] { return server.received.size() == 6 + kLarge.size(); }));
  EXPECT_EQ(server.received, "hello\n" + kLarge);
}

TEST_P(Interop, OpensslClient) {
  if (!Tool::present("openssl")) GTEST_SKIP() << "no openssl program";
  LeafOptions leaf{{kClientId}};
  leaf.throughIntermediate = true;
  useIdentity(leaf);
  Wire wire;
  const std::string address = "127.0.0.1:" + std::to_string(wire.listen());
  Tool tool(with(opensslCommand("s_client"), {"-connect", address, "-nocommands"}));
  Endpoint server(Session::server(testCredentials(kServerId)));
  exchangeAsServer(wire, server, tool);
  EXPECT_TRUE(tool.expect(GetParam().opensslSuite));
  EXPECT_TRUE(tool.expect("ALPN protocol: h2"));
  tool.closeInput();  // s_client then says close_notify
  EXPECT_TRUE(wire.run(server, [&] { return server.session->peerClosed(); }));
}

TEST_P(Interop, OpensslClientUpdatesKeys) {
  if (!Tool::present("openssl")) GTEST_SKIP() << "no openssl program";
  useIdentity({{kClientId}});
  Wire wire;
  const std::string address = "127.0.0.1:" + std::to_string(wire.listen());
  Tool tool(with(opensslCommand("s_client"), {"-connect", address}));
  Endpoint server(Session::server(testCredentials(kServerId)));
  ASSERT_TRUE(wire.accept());
  ASSERT_TRUE(wire.run(server, [&] { return server.session->established(); }));
  tool.write("before\n");
  ASSERT_TRUE(wire.run(server, [&] { return server.received == "before\n"; }));
  tool.write("K\n");  // KeyUpdate, and one back please
  ASSERT_TRUE(wire.run(server, [&] { return server.session->keyUpdates() == 1; }));
  server.send("by the new key\n");
  ASSERT_TRUE(wire.flush(server));
  EXPECT_EQ(server.session->keyUpdates(), 2u);
  EXPECT_TRUE(tool.expect("by the new key")) << tool.output();
  tool.write("after\n");
  EXPECT_TRUE(wire.run(server, [&] { return server.received == "before\nafter\n"; }));
}

TEST_P(Interop, OpensslServer) {
  if (!Tool::present("openssl")) GTEST_SKIP() << "no openssl program";
  LeafOptions leaf{{kServerId}};
  leaf.throughIntermediate = true;
  useIdentity(leaf);
  Tool tool(with(opensslCommand("s_server"), {"-accept", "127.0.0.1:0", "-Verify", "4"}));
  Wire wire;
  ASSERT_TRUE(wire.connect(acceptPort(tool))) << tool.output();
  Endpoint client(Session::client(testCredentials(kClientId), {kServerId}));
  ASSERT_TRUE(wire.run(client, [&] { return client.session->established(); })) << tool.output();
  EXPECT_EQ(client.session->peerIdentity(), kServerId);
  client.send("greetings\n");
  ASSERT_TRUE(wire.flush(client));
  ASSERT_TRUE(tool.expect("greetings")) << tool.output();
  EXPECT_TRUE(tool.expect("ALPN protocols selected: h2")) << tool.output();
  tool.write("hello\n");
  ASSERT_TRUE(wire.run(client, [&] { return client.received == "hello\n"; }));
  client.send(kLarge);
  client.session->close();
  ASSERT_TRUE(wire.flush(client));
  EXPECT_TRUE(tool.expect(std::string(100'000, 'L')));
}

TEST_P(Interop, GnutlsClient) {
  if (!Tool::present("gnutls-cli")) GTEST_SKIP() << "no gnutls-cli";
  LeafOptions leaf{{kClientId}};
  leaf.throughIntermediate = true;
  useIdentity(leaf);
  Wire wire;
  // It would verify a host name, which SPIFFE certificates have not.
  Tool tool(with(gnutlsCommand("gnutls-cli", wire.listen()),
                 {"--insecure", "--inline-commands", "127.0.0.1"}));
  Endpoint server(Session::server(testCredentials(kServerId)));
  exchangeAsServer(wire, server, tool);
  tool.write("^rekey^\n");
  ASSERT_TRUE(wire.run(server, [&] { return server.session->keyUpdates() >= 1; }))
      << tool.output();
  server.send("by the new key\n");
  ASSERT_TRUE(wire.flush(server));
  EXPECT_TRUE(tool.expect("by the new key"));
  server.received.clear();
  tool.write("after\n");
  EXPECT_TRUE(wire.run(server, [&] { return server.received == "after\n"; }));
  tool.closeInput();
  EXPECT_TRUE(wire.run(server, [&] { return server.session->peerClosed(); }));
}

TEST_P(Interop, GnutlsServer) {
  if (!Tool::present("gnutls-serv")) GTEST_SKIP() << "no gnutls-serv";
  LeafOptions leaf{{kServerId}};
  leaf.throughIntermediate = true;
  useIdentity(leaf);
  const int port = Wire::freePort();
  Tool tool(with(gnutlsCommand("gnutls-serv", port),
                 {"--echo", "--require-client-cert", "--verify-client-cert", "--alpn-fatal"}));
  Wire wire;
  ASSERT_TRUE(wire.connect(port)) << tool.output();
  Endpoint client(Session::client(testCredentials(kClientId), {kServerId}));
  ASSERT_TRUE(wire.run(client, [&] { return client.session->established(); })) << tool.output();
  EXPECT_EQ(client.session->peerIdentity(), kServerId);
  client.send("echo this\n");
  ASSERT_TRUE(wire.run(client, [&] { return client.received == "echo this\n"; }))
      << tool.output();
  client.session->close();
  EXPECT_TRUE(wire.flush(client));
}

INSTANTIATE_TEST_SUITE_P(
    All, Interop,
    ::testing::Values(Choice{"Aes256X25519", "TLS_AES_256_GCM_SHA384", "X25519",
                             ":+AES-256-GCM:+GROUP-X25519"},
                      Choice{"Aes128P256", "TLS_AES_128_GCM_SHA256", "P-256",
                             ":+AES-128-GCM:+GROUP-SECP256R1"}),
    [](const auto& at) { return at.param.name; });

class InteropRefused : public Interop {};

TEST_P(InteropRefused, OpensslClientWithAnExpiredCertificateIsTold) {
  if (!Tool::present("openssl")) GTEST_SKIP() << "no openssl program";
  LeafOptions leaf{{kClientId}};
  leaf.flaw = Flaw::expired;
  useIdentity(leaf);
  Wire wire;
  const std::string address = "127.0.0.1:" + std::to_string(wire.listen());
  Tool tool(with(opensslCommand("s_client"), {"-connect", address}));
  Endpoint server(Session::server(testCredentials(kServerId)));
  ASSERT_TRUE(wire.accept());
  EXPECT_FALSE(wire.run(server, [&] { return server.session->established(); }));
  EXPECT_EQ(server.reason(), CloseReason::tlsFailed);
  EXPECT_TRUE(tool.expect("alert certificate expired")) << tool.output();
}

TEST_P(InteropRefused, GnutlsClientOfAnotherTrustDomainIsTold) {
  if (!Tool::present("gnutls-cli")) GTEST_SKIP() << "no gnutls-cli";
  LeafOptions leaf{{kClientId}};
  leaf.flaw = Flaw::wrongTrustDomain;
  useIdentity(leaf);
  Wire wire;
  Tool tool(with(gnutlsCommand("gnutls-cli", wire.listen()), {"--insecure", "127.0.0.1"}));
  Endpoint server(Session::server(testCredentials(kServerId)));
  ASSERT_TRUE(wire.accept());
  EXPECT_FALSE(wire.run(server, [&] { return server.session->established(); }));
  EXPECT_EQ(server.reason(), CloseReason::tlsIdentity);
  EXPECT_TRUE(tool.expect("alert")) << tool.output();
}

TEST_P(InteropRefused, OpensslServerOfAnotherIdentityIsTold) {
  if (!Tool::present("openssl")) GTEST_SKIP() << "no openssl program";
  useIdentity({{"spiffe://cluster.local/ns/default/sa/impostor"}});
  Tool tool(with(opensslCommand("s_server"), {"-accept", "127.0.0.1:0"}));
  Wire wire;
  ASSERT_TRUE(wire.connect(acceptPort(tool))) << tool.output();
  Endpoint client(Session::client(testCredentials(kClientId), {kServerId}));
  EXPECT_FALSE(wire.run(client, [&] { return client.session->established(); }));
  EXPECT_EQ(client.reason(), CloseReason::tlsIdentity);
  EXPECT_TRUE(tool.expect("alert handshake failure")) << tool.output();
}

INSTANTIATE_TEST_SUITE_P(One, InteropRefused,
                         ::testing::Values(Choice{"", "TLS_AES_256_GCM_SHA384", "X25519",
                                                  ":+AES-256-GCM:+GROUP-X25519"}));

}  // namespace
}  // namespace onehop::tls
