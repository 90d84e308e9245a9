#include "hbone/support/rig.h"

#include <algorithm>

#include "tls/credentials.h"

namespace onehop::hbone {

using io::IoResult;
using io::IoState;

namespace {
constexpr size_t kChunk = 64 * 1024;
}

// App.

App::App(io::EventLoop& loop, io::Fd fd) {
  auto stream = io::TcpStream::adopt(loop, std::move(fd));
  CHECK(stream.ok());
  stream_ = std::move(stream.value());
  stream_->setObserver(this);
  pump();
}

void App::send(uint64_t bytes, bool thenEnd) {
  toSend_ += bytes;
  endAfter_ = thenEnd;
  pump();
}

void App::resume() {
  paused_ = false;
  pump();
}

void App::pump() {
  if (failed) return;
  bool more = true;
  while (more && !failed) {
    more = write();
    if (!paused_) more = read() || more;
  }
}

bool App::read() {
  if (ended || pending_.size() > 4 * kChunk) return false;
  char bytes[kChunk];
  const iovec part{bytes, sizeof bytes};
  const IoResult result = stream_->readv(&part, 1);
  if (result.state == IoState::end) {
    ended = true;
    return true;
  }
  if (result.state == IoState::failed) failed = true;
  if (result.state != IoState::ok) return false;
  for (size_t i = 0; i < result.bytes; ++i) {
    good = good && static_cast<uint8_t>(bytes[i]) == patternByte(received + i);
  }
  received += result.bytes;
  if (echo_) pending_.append(bytes, result.bytes);
  return true;
}

bool App::write() {
  if (endSent_) return false;
  if (!echo_ && pending_.empty() && sent + pending_.size() < toSend_) {
    pending_.resize(std::min<uint64_t>(kChunk, toSend_ - sent));
    for (size_t i = 0; i < pending_.size(); ++i) {
      pending_[i] = static_cast<char>(patternByte(sent + i));
    }
  }
  if (pending_.empty()) {
    const bool over = echo_ ? ended : endAfter_ && sent == toSend_;
    if (!over) return false;
    endSent_ = true;
    stream_->closeWrite();
    return false;
  }
  const iovec part{pending_.data(), pending_.size()};
  const IoResult result = stream_->writev(&part, 1);
  sent += result.bytes;
  pending_.erase(0, result.bytes);
  if (result.state == IoState::failed) failed = true;
  return result.state == IoState::ok;
}

// Flow.

Flow::Flow(io::EventLoop& loop) {
  auto pair = io::makeSocketPair();
  CHECK(pair.ok());
  app = std::make_unique<App>(loop, std::move(pair.value().first));
  auto local = io::TcpStream::adopt(loop, std::move(pair.value().second));
  CHECK(local.ok());
  local_ = std::move(local.value());
}

void Flow::join(std::unique_ptr<Tunnel> t) {
  tunnel = std::move(t);
  tunnel->attach(*local_, *this);
}

void Flow::onDriverDone(CloseReason r, int c, bool) {
  EXPECT_FALSE(done);
  done = true;
  reason = r;
  code = c;
}

// Request.

void Request::onTunnel(std::unique_ptr<Tunnel> tunnel, const TunnelInfo& facts,
                       const h2::HeaderList& response) {
  EXPECT_FALSE(answered());
  opened = true;
  reused = facts.reused;
  earlyKept = facts.early;
  peerIdentity = facts.peerIdentity;
  baggage = std::string(response.find("baggage").value_or(""));
  flow.join(std::move(tunnel));
}

void Request::onTunnelFailed(const Error& e) {
  EXPECT_FALSE(answered());
  failed = true;
  error = e;
}

void Request::onEarlyRoom() {
  ++earlyRooms;
  std::string bytes;
  for (uint32_t i = 0; i < early; ++i) bytes.push_back(static_cast<char>(patternByte(i)));
  if (early == 0) return;
  EXPECT_TRUE(pool->sendEarly(ticket, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

// Server.

Server::Server(io::EventLoop& l, const std::string& identity)
    : loop(l), credentials(test::testCredentials(identity)) {
  io::ListenOptions options;
  options.address = *SocketAddress::parse("127.0.0.1:0");
  auto socket = io::openListener(options);
  CHECK(socket.ok());
  address = socket.value().bound;
  listener_ = std::make_unique<io::Listener>(loop, std::move(socket.value().fd), *this);
  CHECK(listener_->start().ok());
}

Server::~Server() {
  flows.clear();
  listener_.reset();
  for (int turn = 0; turn < 2; ++turn) {
    for (ServerConnection* connection : connections) connection->close(CloseReason::localClosed);
  }
  while (!connections.empty()) loop.runOnce(10 * kMillisecond);
}

void Server::onAccepted(io::Fd fd, const SocketAddress& peer) {
  ++accepted;
  auto stream = io::TcpStream::adopt(loop, std::move(fd));
  CHECK(stream.ok());
  connections.push_back(&ServerConnection::start(loop, std::move(stream.value()), peer, credentials,
                                                 limits, *this, nullptr));
}

void Server::onConnect(ServerConnection& connection, const IncomingConnect& request) {
  requests.push_back(request);
  const size_t colon = request.authority.find(':');
  const std::string what = request.authority.substr(0, colon);
  if (what == "never") return;
  if (isdigit(what[0])) return connection.refuse(request.ticket, std::stoi(what));
  h2::HeaderList headers;
  headers.add("baggage", "k8s.namespace.name=there");
  auto tunnel = connection.accept(request.ticket, headers);
  CHECK(tunnel);
  auto flow = std::make_unique<Flow>(loop);
  if (what == "echo") flow->app->echo();
  if (what == "sink") flow->app->pause();
  if (what == "end") flow->app->send(0);
  if (what == "send") flow->app->send(std::stoull(request.authority.substr(colon + 1)));
  flow->join(std::move(tunnel));
  flows.push_back(std::move(flow));
}

void Server::onConnectGone(ServerConnection& connection, Handle, CloseReason) {
  ++gone;
  connection.releaseSlot();
}

void Server::onServerClosed(ServerConnection& connection, bool wasEstablished,
                            const Error& error) {
  std::erase(connections, &connection);
  established = wasEstablished;
  closed.push_back(error);
}

// HboneTest.

void HboneTest::SetUp() {
  ASSERT_TRUE(loop.init().ok());
  server = std::make_unique<Server>(loop, test::kServerId);
  poolLimits.negative = 100 * kMillisecond;
  pool = std::make_unique<Pool>(loop, poolLimits);
  params.address = server->address;
  params.credentials = test::testCredentials(test::kClientId);
}

void HboneTest::TearDown() {
  requests.clear();
  pool.reset();
  server.reset();
  loop.runOnce(0);
}

PoolKey HboneTest::keyFor(const std::string& expected) const {
  PoolKey key;
  key.credential = 1;
  key.address = params.address;
  key.expectedPeers = {expected};
  return key;
}

Request& HboneTest::open(const std::string& authority, const std::string& expected) {
  requests.push_back(std::make_unique<Request>(loop));
  Request& request = *requests.back();
  request.pool = pool.get();
  params.expectedPeers = {expected};
  request.ticket = pool->acquire(keyFor(expected), params, {authority, {{"baggage", "x=y"}}}, request);
  EXPECT_FALSE(request.answered());
  return request;
}

void HboneTest::expectNoBuffers() {
  loop.runOnce(0);
  loop.runOnce(0);
  EXPECT_EQ(loop.receivePool().lent(), 0u);
  EXPECT_EQ(loop.sendPool().lent(), 0u);
}

}  // namespace onehop::hbone
