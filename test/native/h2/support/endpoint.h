#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "h2/connection.h"
#include "records.h"

namespace onehop::h2 {

// One side of a connection in memory: records what happens, sends what it is told to.
class Endpoint final : public ConnectionEvents {
 public:
  // What an endpoint knows of one stream, from its beginning to after its end.
  struct Flow final : DataSource {
    Pull pull(const iovec* parts, int count) override {
      ++pulls;
      if (failCode != 0) {
        stream = nullptr;  // closed without an event
        return {PullState::failed, 0, failCode};
      }
      size_t moved = 0;
      for (int i = 0; i < count && sent + moved < out.size(); ++i) {
        const size_t bytes = std::min(parts[i].iov_len, out.size() - sent - moved);
        std::memcpy(parts[i].iov_base, out.data() + sent + moved, bytes);
        moved += bytes;
      }
      sent += moved;
      if (sent == out.size()) {
        out.clear();
        sent = 0;
      }
      if (!out.empty()) return {PullState::more, moved, 0};
      if (outEnd) return {PullState::end, moved, 0};
      return {moreWhenDry ? PullState::more : PullState::wouldBlock, moved, 0};
    }

    Stream* stream = nullptr;  // null once closed
    std::string out;           // to be sent, but for its first `sent` bytes
    size_t sent = 0;
    bool outEnd = false;
    bool moreWhenDry = false;
    uint32_t failCode = 0;
    int pulls = 0;

    std::vector<std::vector<std::pair<std::string, std::string>>> heads;
    std::string in;
    bool inEnd = false;
    bool answered = false;  // by us, the server
    size_t keptBytes = 0;  // received and not given back
    int closes = 0;
    StreamClose close;
  };

  Endpoint(Role role, const Limits& limits = {}, WindowLedger* ledger = nullptr)
      : limits_(limits), connection(role, limits_, *this, ledger) {}

  void onHeaders(Stream& stream, const HeaderList& fields, bool end) override {
    Flow& f = flow(stream);
    auto& head = f.heads.emplace_back();
    for (size_t i = 0; i < fields.size(); ++i) {
      head.emplace_back(std::string(fields[i].name), std::string(fields[i].value));
    }
    f.inEnd = end;
    if (connection.role() == Role::server && autoAccept && f.heads.size() == 1) accept(f);
  }
  void onData(Stream& stream, ByteSpan payload, bool end) override {
    Flow& f = flow(stream);
    CHECK(!f.inEnd);
    f.in += asText(payload);
    f.inEnd = end;
    if (autoConsume) {
      connection.consumed(stream, payload.size());
    } else {
      f.keptBytes += payload.size();
    }
  }
  void onStreamClosed(Stream& stream, const StreamClose& close) override {
    Flow& f = flow(stream);
    CHECK(f.stream == &stream);
    f.stream = nullptr;
    f.close = close;
    ++f.closes;
  }
  void onSettings(const PeerSettings&) override { ++settings; }
  void onGoaway(ErrorCode code, uint32_t lastStreamId) override {
    goaways.emplace_back(code, lastStreamId);
  }
  void onPingAck(Nanos roundTrip) override { pingAcks.push_back(roundTrip); }
  void onConnectionError(const Error& e) override {
    CHECK(error.reason == CloseReason::none);
    error = e;
  }

  Flow& flow(Stream& stream) {
    if (stream.user == nullptr) {
      auto& owned = flows[stream.id()];
      CHECK(owned == nullptr);
      owned = std::make_unique<Flow>();
      owned->stream = &stream;
      stream.user = owned.get();
      order.push_back(owned.get());
    }
    return *static_cast<Flow*>(stream.user);
  }

  // Client: CONNECT to `authority`; null when the limit is reached.
  Flow* open(const std::string& authority = "10.0.0.1:80", bool end = false) {
    HeaderList fields;
    fields.add(":method", "CONNECT");
    fields.add(":authority", authority);
    return begin(fields, end);
  }
  // A request with payload.
  Flow* post() {
    HeaderList fields;
    fields.add(":method", "POST");
    fields.add(":scheme", "https");
    fields.add(":path", "/");
    return begin(fields, false);
  }
  Flow* begin(const HeaderList& fields, bool end) {
    auto owned = std::make_unique<Flow>();
    Stream* stream = connection.openStream(fields, end ? nullptr : owned.get(), owned.get(), end);
    if (stream == nullptr) return nullptr;
    owned->stream = stream;
    order.push_back(owned.get());
    return (flows[stream->id()] = std::move(owned)).get();
  }
  void accept(Flow& f) { answer(f, "200", false); }
  void answer(Flow& f, const char* status, bool end) {
    HeaderList fields;
    fields.add(":status", status);
    f.answered = status[0] != '1';
    if (!end) connection.setSource(*f.stream, &f);
    Stream& stream = *f.stream;
    if (end) f.stream = nullptr;
    connection.respond(stream, fields, end);
  }
  void send(Flow& f, std::string_view text, bool end = false) {
    f.out += text;
    f.outEnd = f.outEnd || end;
    connection.sourceReady(*f.stream);
  }
  void reset(Flow& f, ErrorCode code) {
    Stream* stream = f.stream;
    f.stream = nullptr;
    connection.resetStream(*stream, code);
  }
  void consume(Flow& f) {
    const size_t bytes = f.keptBytes;
    f.keptBytes = 0;
    connection.consumed(*f.stream, bytes);
  }
  std::string produce(size_t budget = 1 << 20) {
    connection.produce(records, budget, now);
    return records.take();
  }
  Status feed(std::string_view bytes) { return connection.feed(asBytes(bytes), now); }

 private:
  Limits limits_;

 public:
  bool autoAccept = true;
  bool autoConsume = true;
  Nanos now = kSecond;
  std::map<uint32_t, std::unique_ptr<Flow>> flows;
  std::vector<Flow*> order;
  int settings = 0;
  std::vector<std::pair<ErrorCode, uint32_t>> goaways;
  std::vector<Nanos> pingAcks;
  Error error = makeError(CloseReason::none);
  Records records;
  Connection connection;
};

// A client and a server joined in memory. `chunk` is how many bytes are fed at a time.
struct Pair {
  explicit Pair(const Limits& clientLimits = {}, const Limits& serverLimits = {})
      : client(Role::client, clientLimits), server(Role::server, serverLimits) {
    client.connection.start(client.now);
    server.connection.start(server.now);
  }

  // Moves bytes both ways until nobody wants to write. Returns how many.
  size_t run(size_t chunk = SIZE_MAX) {
    size_t moved = 0;
    for (int round = 0;; ++round) {
      CHECK(round < 100000);
      const size_t now = pass(client, server, chunk) + pass(server, client, chunk);
      if (now == 0) return moved;
      moved += now;
    }
  }
  static size_t pass(Endpoint& from, Endpoint& to, size_t chunk) {
    const std::string bytes = from.produce();
    for (std::string_view left = bytes; !left.empty();) {
      const std::string_view part = left.substr(0, chunk);
      left.remove_prefix(part.size());
      if (!to.feed(part).ok()) break;
    }
    return bytes.size();
  }
  void advance(Nanos by) {
    client.now += by;
    server.now += by;
  }
  Endpoint::Flow& other(const Endpoint::Flow& mine) {
    for (auto& [id, owned] : client.flows) {
      if (owned.get() == &mine) return *server.flows.at(id);
    }
    for (auto& [id, owned] : server.flows) {
      if (owned.get() == &mine) return *client.flows.at(id);
    }
    CHECK(false);
    return *client.order[0];
  }

  Endpoint client;
  Endpoint server;
};

}  // namespace onehop::h2
