#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/support/test_engine.h"
#include "support/certificates.h"

namespace onehop::engine {

inline CredentialSpec credentialOf(const std::string& identity) {
  const test::Issued issued = test::testAuthority().issue(identity);
  return {issued.chainPem, issued.keyPem, test::testAuthority().rootPem()};
}

inline ListenSpec listenOn(ListenerKind kind) {
  ListenSpec spec;
  spec.kind = kind;
  return spec;
}

// Two engines, HBONE between them.
struct Mesh {
  explicit Mesh(EngineOptions options = {}) : a(options), b(options) {
    auto client = a.with([&](Engine& e) { return e.putCredential(0, credentialOf(test::kClientId)); });
    auto server = b.with([&](Engine& e) { return e.putCredential(0, credentialOf(test::kServerId)); });
    EXPECT_TRUE(client.ok() && server.ok());
    EXPECT_EQ(client.value().identity, test::kClientId);
    clientCredential = client.value().handle;
    ListenSpec inbound = listenOn(ListenerKind::hbone);
    inbound.credential = server.value().handle;
    tunnelPort = b.listen(inbound);
    a.decide([this](const Upcall&) {
      Verdict verdict = allowTcp(tunnelPort);
      verdict.endpoints[0] = tunnel();
      return verdict;
    });
    b.decide([this](const Upcall& upcall) {
      lastInbound = upcall;
      return allowTcp(echo.address());
    });
  }
  Endpoint tunnel() const {
    Endpoint endpoint;
    endpoint.protocol = EndpointProtocol::hbone;
    endpoint.dial = tunnelPort;
    endpoint.credential = clientCredential;
    endpoint.authority = "10.0.0.9:8080";
    endpoint.peers = {test::kServerId};
    endpoint.forwardedHost = "echo.demo.svc";
    endpoint.counters = 1;
    return endpoint;
  }
  EchoServer echo;
  TestEngine a;
  TestEngine b;
  std::string tunnelPort;
  HandleValue clientCredential = 0;
  Upcall lastInbound;
};

}  // namespace onehop::engine
