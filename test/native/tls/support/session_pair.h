#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tls/session.h"

namespace onehop::tls {

// One side of a connection in memory: a session, what it received and what it wants sent.
struct Endpoint final : PlaintextSink {
  explicit Endpoint(std::unique_ptr<Session> s) : session(std::move(s)) {}

  bool onPlaintext(MutableByteSpan bytes) override {
    received.append(asText(bytes));
    ++chunks;
    return !stopAfterEach;
  }
  // Moves handshake, KeyUpdate and alert records to the wire.
  void drain() {
    uint8_t room[64 + 4096];
    while (session->hasOutput()) {
      const size_t n = session->takeOutput({room, roomBytes});
      wire.insert(wire.end(), room, room + n);
    }
  }
  void sendRecord(std::string_view text) {
    drain();
    uint8_t record[kRecordMax];
    std::copy(text.begin(), text.end(), record + kRecordHeader);
    const size_t n = session->seal(record, text.size());
    wire.insert(wire.end(), record, record + n);
  }
  void send(std::string_view text) {
    for (; text.size() > kRecordPlaintextMax; text.remove_prefix(kRecordPlaintextMax)) {
      sendRecord(text.substr(0, kRecordPlaintextMax));
    }
    sendRecord(text);
  }
  // Offers what has arrived; keeps what is not consumed.
  bool feed(ByteSpan bytes) {
    pending.insert(pending.end(), bytes.begin(), bytes.end());
    size_t consumed = 0;
    do {
      Status status = session->feed(pending, &consumed, *this);
      pending.erase(pending.begin(), pending.begin() + static_cast<ptrdiff_t>(consumed));
      if (!status.ok()) {
        if (!error) error = status.error();
        return false;
      }
    } while (stopAfterEach && consumed > 0);
    return true;
  }
  CloseReason reason() const { return error ? error->reason : CloseReason::none; }

  std::unique_ptr<Session> session;
  std::vector<uint8_t> wire;     // sent, not yet delivered
  std::vector<uint8_t> pending;  // delivered, not yet consumed
  std::string received;
  size_t chunks = 0;
  size_t roomBytes = 4096;
  bool stopAfterEach = false;
  std::optional<Error> error;
};

inline std::vector<uint8_t> fromBytes(std::initializer_list<int> bytes) {
  return {bytes.begin(), bytes.end()};
}

// Two sessions joined by a perfect wire.
struct SessionPair {
  SessionPair(std::shared_ptr<const Credentials> serverCredentials,
              std::shared_ptr<const Credentials> clientCredentials,
              std::vector<std::string> expectedPeers)
      : server(Session::server(std::move(serverCredentials))),
        client(Session::client(std::move(clientCredentials), std::move(expectedPeers))) {}

  // Delivers until the wire is quiet, also after an error, so that alerts arrive. False on any error.
  bool pump() {
    do {
      client.drain();
      server.drain();
      deliver(client, server);
      deliver(server, client);
    } while (!client.wire.empty() || !server.wire.empty() || client.session->hasOutput() ||
             server.session->hasOutput());
    return !client.error && !server.error;
  }
  bool handshake() {
    return pump() && client.session->established() && server.session->established();
  }
  void deliver(Endpoint& from, Endpoint& to) {
    const std::vector<uint8_t> wire = std::exchange(from.wire, {});
    for (size_t at = 0; at < wire.size() && !to.error; at += step) {
      to.feed(ByteSpan(wire).subspan(at, std::min(step, wire.size() - at)));
    }
  }

  Endpoint server;
  Endpoint client;
  size_t step = SIZE_MAX / 2;
};

}  // namespace onehop::tls
