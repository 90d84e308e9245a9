#include "engine/flow.h"

#include <algorithm>
#include <utility>

#include "engine/shard.h"
#include "engine/shard_listener.h"

namespace onehop::engine {

namespace {

// 16 digits.
void appendHex(std::string& text, uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) text.push_back("0123456789abcdef"[value >> shift & 15]);
}

std::string hex(const std::array<uint64_t, 2>& trace) {
  std::string text;
  text.reserve(32);
  appendHex(text, trace[0]);
  appendHex(text, trace[1]);
  return text;
}

// W3C Trace Context 3.2: version 00, not sampled.
std::string traceparent(const std::array<uint64_t, 2>& trace, uint64_t span) {
  std::string text;
  text.reserve(55);
  text.append("00-").append(hex(trace)).push_back('-');
  appendHex(text, span);
  return text.append("-00");
}

// The trace id of a W3C traceparent; false when it is none.
bool parseTrace(std::string_view text, std::array<uint64_t, 2>* trace) {
  if (text.size() != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  uint64_t words[2] = {0, 0};
  for (size_t i = 0; i < 32; ++i) {
    const char digit = text[3 + i];
    uint64_t value;
    if (digit >= '0' && digit <= '9') {
      value = static_cast<uint64_t>(digit - '0');
    } else if (digit >= 'a' && digit <= 'f') {
      value = static_cast<uint64_t>(digit - 'a') + 10;
    } else {
      return false;
    }
    words[i / 16] = words[i / 16] << 4 | value;
  }
  if (words[0] == 0 && words[1] == 0) return false;
  *trace = {words[0], words[1]};
  return true;
}

CounterCell closedCell(CloseReason reason) {
  switch (reason) {
    case CloseReason::denied:
    case CloseReason::policyChanged:
    case CloseReason::recursion:
    case CloseReason::badRequest:
      return CounterCell::closedDenied;
    case CloseReason::dialTimeout:
      return CounterCell::closedNetworkPolicy;
    case CloseReason::dialRefused:
    case CloseReason::dialUnreachable:
    case CloseReason::dialFailed:
    case CloseReason::noEndpoint:
    case CloseReason::unknownDestination:
    case CloseReason::unknownLocal:
    case CloseReason::connectTimeout:
    case CloseReason::connectRefused:
      return CounterCell::closedConnect;
    case CloseReason::tlsTimeout:
    case CloseReason::tlsFailed:
    case CloseReason::tlsRecord:
    case CloseReason::tlsTruncated:
      return CounterCell::closedTls;
    case CloseReason::tlsIdentity:
    case CloseReason::noCredential:
      return CounterCell::closedIdentity;
    case CloseReason::h2Timeout:
    case CloseReason::h2Protocol:
    case CloseReason::h2Flood:
    case CloseReason::goaway:
    case CloseReason::peerGone:
      return CounterCell::closedH2;
    default:
      return CounterCell::closed;
  }
}

// What an HBONE peer is told when the flow cannot be (reference 2.5).
int statusFor(CloseReason reason) {
  switch (reason) {
    case CloseReason::denied:
    case CloseReason::policyChanged:
      return 401;
    case CloseReason::badRequest:
      return 400;
    default:
      return 503;
  }
}

}  // namespace

void Flow::Setup::onTimer() {
  flow.end(CloseReason::idleTimeout, Side::downstream, 0, "no SOCKS5 request in time");
}

Flow::Flow(Shard& shard, ShardListener* listener, const SocketAddress& source)
    : shard_(shard),
      listener_(listener),
      setup_(std::make_unique<Setup>(*this)),
      startedAt_(shard.loop().now()),
      startedMs_(wallClockMs()),
      trace_{shard.random().next(), shard.random().next() | 1},
      source_(source) {
  if (listener != nullptr) isHbone_ = listener->spec().kind == ListenerKind::hbone;
  note(FlowEventName::accepted);
}

Flow::~Flow() = default;

void Flow::note(FlowEventName event, int64_t value) {
  recorder_.add(shard_.loop().now() - startedAt_, event, value);
}

const io::NetContext& Flow::context() const {
  return listener_ != nullptr ? listener_->spec().context : setup_->context;
}

// Beginnings.

void Flow::startSocket(std::unique_ptr<io::TcpStream> downstream,
                       const SocketAddress& destination) {
  setup_->downstream = std::move(downstream);
  setup_->downstream->setObserver(this);
  const SocketAddress& local = listener_->spec().bound;
  // Captured without redirection: the way on would be the way in.
  if (listener_->spec().kind == ListenerKind::capture && destination == local) {
    return end(CloseReason::recursion, Side::downstream, 0, "connected to the capture port itself");
  }
  FlowKeyView key;
  key.listener = listener_->spec().handle;
  key.destination = destination;
  key.sourceIp = source_.ip;
  lookUp(key, local);
}

void Flow::startSocks(std::unique_ptr<io::TcpStream> downstream) {
  setup_->downstream = std::move(downstream);
  setup_->downstream->setObserver(this);
  setup_->socks = std::make_unique<Socks5>();
  setup_->arm(shard_.loop(), kNegotiation);
  onReadable();
}

void Flow::startConnect(hbone::ServerConnection& connection,
                        const hbone::IncomingConnect& request) {
  setup_->connection = &connection;
  setup_->connectTicket = request.ticket;
  parseTrace(request.traceparent, &trace_);
  FlowKeyView key;
  key.listener = listener_->spec().handle;
  key.destination = listener_->spec().bound;
  key.sourceIp = source_.ip;
  key.peerIdentity = request.peerIdentity;
  key.authority = request.authority;
  key.forwardedHost = request.forwarded;
  key.forwardedNetwork = request.forwardedNetwork;
  lookUp(key, listener_->spec().bound);
}

void Flow::startDial(RequestId request, std::unique_ptr<CompiledVerdict> verdict,
                     const io::NetContext& context, io::Fd netns) {
  setup_->netns = std::move(netns);
  setup_->isDial = true;
  setup_->request = request;
  setup_->context = context;
  setup_->own = std::move(verdict);
  Result<std::pair<io::Fd, io::Fd>> pair = io::makeSocketPair();
  if (!pair.ok()) return end(CloseReason::overload, Side::internal, pair.error().code, "socketpair");
  Result<std::unique_ptr<io::TcpStream>> ours =
      io::TcpStream::adopt(shard_.loop(), std::move(pair.value().first));
  if (!ours.ok()) return end(ours.error().reason, Side::internal, ours.error().code);
  setup_->given = std::move(pair.value().second);
  setup_->downstream = std::move(ours.value());
  setup_->downstream->setObserver(this);
  route();
}

// SOCKS5.

void Flow::onReadable() {
  if (!setup_) return;
  if (setup_->earlyRoom) return sendEarly();
  // Otherwise a later state reads nothing: what the client sends early stays in its socket.
  if (state_ != State::negotiating || !setup_->socks) return;
  Socks5& socks = *setup_->socks;
  std::string answer;
  while (socks.wants() > 0) {
    uint8_t bytes[262];
    const iovec part{bytes, std::min(socks.wants(), sizeof bytes)};
    const io::IoResult read = setup_->downstream->readv(&part, 1);
    if (read.state == io::IoState::wouldBlock) break;
    if (read.state != io::IoState::ok) {
      return end(CloseReason::badRequest, Side::downstream, read.code, "ended before its request");
    }
    socks.feed({bytes, read.bytes}, answer);
  }
  if (!answer.empty()) {
    const iovec part{answer.data(), answer.size()};
    setup_->downstream->writev(&part, 1);
  }
  if (socks.state() == Socks5::State::failed) {
    setup_->downstream->closeWrite();
    return end(CloseReason::badRequest, Side::downstream, 0, "not a SOCKS5 CONNECT");
  }
  if (socks.state() == Socks5::State::ready) lookUpSocks();
}

void Flow::lookUpSocks() {
  setup_->cancel();
  const Socks5& socks = *setup_->socks;
  FlowKeyView key;
  std::string authority;
  key.listener = listener_->spec().handle;
  key.sourceIp = source_.ip;
  if (socks.isDomain()) {
    // Text that is an address is one.
    const std::optional<IpAddress> ip = IpAddress::parse(socks.domain());
    if (ip) {
      key.destination = {*ip, socks.port()};
    } else {
      key.destination.port = socks.port();
      authority = socks.domain() + ":" + std::to_string(socks.port());
      key.authority = authority;
    }
  } else {
    key.destination = socks.destination();
  }
  if (key.destination == listener_->spec().bound) {
    return end(CloseReason::recursion, Side::downstream, 0, "asked for the SOCKS5 port itself");
  }
  lookUp(key, listener_->spec().bound);
}

// The verdict.

void Flow::lookUp(const FlowKeyView& key, const SocketAddress& local) {
  FlowCache& cache = shard_.cache();
  CacheEntry* entry = cache.find(key);
  if (entry == nullptr) {
    entry = cache.insert(key);
    if (entry == nullptr) return end(CloseReason::overload, Side::internal, 0, "flow cache full");
  }
  entry_ = entry;
  cache.addFlow(*entry, *this);
  if (entry->decided()) {
    shard_.counters().add(EngineCell::cacheHits);
    note(FlowEventName::cacheHit);
    return route();
  }
  shard_.counters().add(EngineCell::cacheMisses);
  state_ = State::parked;
  if (shard_.upcalls().waits(*entry)) return;
  note(FlowEventName::upcall);
  if (!shard_.upcalls().ask(*entry, listener_->spec().kind, local)) {
    return end(CloseReason::overload, Side::internal, 0, "too many upcalls wait");
  }
  shard_.counters().add(EngineCell::upcallsSent);
}

void Flow::onVerdict() {
  note(FlowEventName::verdict);
  route();
}

const CompiledVerdict& Flow::verdict() const {
  return entry_ != nullptr ? *entry_->verdict : *setup_->own;
}

void Flow::route() {
  state_ = State::dialling;
  tryNext();
}

void Flow::tryNext() {
  const CompiledVerdict& decided = verdict();
  // A newer verdict numbers its endpoints anew.
  if (std::exchange(setup_->triedGeneration, decided.generation) != decided.generation) {
    setup_->triedCount = 0;
  }
  generation_ = decided.generation;
  // A newer verdict may deny and yet keep the flow that was on its way.
  if (!decided.allow) {
    counters_ = decided.counters;
    return end(decided.reason, Side::internal, decided.status);
  }
  const int index = setup_->triedCount < kTriesMax
                        ? decided.pick(shard_.random(), setup_->tried.data(), setup_->triedCount)
                        : -1;
  if (index < 0) {
    const Error& last = setup_->lastError;
    return end(last.reason, Side::upstream, last.code, last.detail);
  }
  setup_->tried[setup_->triedCount++] = static_cast<int16_t>(index);
  endpoint_ = static_cast<int16_t>(index);
  const CompiledEndpoint& endpoint = decided.endpoints[static_cast<size_t>(index)];
  counters_ = endpoint.counters;
  dialled_ = endpoint.dial;
  load_ = endpoint.load.another();
  if (load_.slot() != nullptr) ++load_.slot()->flows;
  note(FlowEventName::dial);
  switch (endpoint.protocol) {
    case EndpointProtocol::tcp:
      return dialTcp(endpoint);
    case EndpointProtocol::hbone:
      return dialTunnel(endpoint);
    case EndpointProtocol::local:
      return openLocal(endpoint);
  }
}

Result<io::BindChoice> Flow::bindChoice(const CompiledEndpoint& endpoint) const {
  io::BindChoice choice;
  if (endpoint.bind == BindKind::kernel) return choice;
  const IpAddress ip = endpoint.bind == BindKind::downstream ? source_.ip : endpoint.bindIp;
  // A family that cannot be spoofed towards this destination goes with our own address.
  if (ip.isV6() != endpoint.dial.ip.isV6()) return choice;
  choice.address = SocketAddress{ip, 0};
  choice.transparent = listener_ != nullptr && listener_->spec().transparent;
  return choice;
}

void Flow::dialTcp(const CompiledEndpoint& endpoint) {
  if (listener_ != nullptr && listener_->spec().kind != ListenerKind::hbone &&
      endpoint.dial == listener_->spec().bound) {
    return end(CloseReason::recursion, Side::internal, 0, "the destination is the listener itself");
  }
  Result<io::BindChoice> bind = bindChoice(endpoint);
  io::DialEvents& events = *this;
  setup_->dial = std::make_unique<io::Dial>(shard_.loop(), events);
  setup_->dial->start(endpoint.dial, bind.value(), context(), plainSocket(shard_.options()),
                      shard_.deadlines().dial);
}

void Flow::dialTunnel(const CompiledEndpoint& endpoint) {
  const CredentialSlot* credential = shard_.credential(endpoint.credential);
  if (credential == nullptr) {
    return end(CloseReason::noCredential, Side::internal, 0, "no certificate for this identity");
  }
  Result<io::BindChoice> bind = bindChoice(endpoint);
  hbone::PoolKey key;
  key.credential = endpoint.credential;
  key.credentialVersion = credential->version;
  key.expectedPeers = endpoint.peers;
  key.address = endpoint.dial;
  key.bind = bind.value().address;
  key.netnsIndex = context().netnsIndex;
  key.mark = context().mark;
  hbone::DialParams params;
  params.address = endpoint.dial;
  params.bind = bind.value();
  params.context = context();
  params.socket = tunnelSocket(shard_.options());
  params.credentials = credential->credentials;
  params.expectedPeers = endpoint.peers;
  params.deadlines = shard_.deadlines();
  hbone::ConnectRequest request;
  request.authority = endpoint.authority;
  request.headers = endpoint.headers;
  std::string forwarded = "for=\"" + source_.format() + "\"";
  if (!endpoint.forwardedHost.empty()) forwarded += ";host=" + endpoint.forwardedHost;
  if (!setup_->isDial) request.headers.emplace_back("forwarded", std::move(forwarded));
  request.headers.emplace_back("traceparent", traceparent(trace_, shard_.random().next() | 1));
  setup_->poolTicket = shard_.pool().acquire(key, params, request, *this);
}

void Flow::openLocal(const CompiledEndpoint&) {
  Result<std::pair<io::Fd, io::Fd>> pair = io::makeSocketPair();
  if (!pair.ok()) return tryFailed(pair.error());
  Result<std::unique_ptr<io::TcpStream>> ours =
      io::TcpStream::adopt(shard_.loop(), std::move(pair.value().first));
  if (!ours.ok()) return tryFailed(ours.error());
  const FlowKeyView key = entry_ != nullptr ? entry_->key.view() : FlowKeyView{};
  Delivery delivery;
  delivery.shard = shard_.index();
  delivery.key = entry_ != nullptr ? entry_->handle.pack() : 0;
  delivery.flow = handle_.pack();
  delivery.listener = key.listener;
  delivery.source = source_.format();
  delivery.authority = key.authority;
  delivery.peerIdentity = key.peerIdentity;
  delivery.fd = pair.value().second.get();
  if (!shard_.outlet().deliver(std::move(delivery))) {
    return end(CloseReason::overload, Side::internal, 0, "too many deliveries wait");
  }
  pair.value().second.release();
  connected(std::move(ours.value()), "");
}

void Flow::onDialled(std::unique_ptr<io::TcpStream> stream) {
  connected(std::move(stream), "");
}

void Flow::onDialFailed(const Error& error) { tryFailed(error); }

void Flow::onTunnel(std::unique_ptr<hbone::Tunnel> tunnel, const hbone::TunnelInfo& facts,
                    const h2::HeaderList&) {
  setup_->poolTicket = Handle{};
  if (facts.reused) note(FlowEventName::tunnelReused);
  if (!facts.early) setup_->earlySent = 0;  // they went with a CONNECT that was repeated
  note(FlowEventName::connectOk, 200);
  connected(std::move(tunnel), facts.peerIdentity);
}

// What the downstream has said so far goes with the CONNECT instead of after its answer: a round trip
// less. A SOCKS5 client or a program says nothing before it hears of the connection.
void Flow::onEarlyRoom() {
  setup_->earlySent = 0;
  setup_->earlyRoom = setup_->downstream && !setup_->socks && !setup_->isDial;
  if (setup_->earlyRoom) sendEarly();
}

void Flow::sendEarly() {
  Setup& setup = *setup_;
  std::string& early = setup.early;
  const size_t most = shard_.options().optimisticBytes;
  while (early.size() < most) {
    const size_t before = early.size();
    early.resize(most);
    const iovec part{early.data() + before, most - before};
    const io::IoResult read = setup.downstream->readv(&part, 1);
    early.resize(before + read.bytes);
    if (read.bytes == 0) break;  // an end or a failure is told again when the relay reads
  }
  const ByteSpan rest{reinterpret_cast<const uint8_t*>(early.data()) + setup.earlySent,
                      early.size() - setup.earlySent};
  if (!rest.empty() && shard_.pool().sendEarly(setup.poolTicket, rest)) {
    setup.earlySent = early.size();
  }
}

// False when it could not: the flow cannot go on without these bytes.
bool Flow::passOnEarly(io::ByteStream& upstream) {
  const std::string& early = setup_->early;
  if (early.empty()) return true;
  const iovec part{const_cast<char*>(early.data()) + setup_->earlySent,
                   early.size() - setup_->earlySent};
  if (part.iov_len > 0 && upstream.writev(&part, 1).bytes != part.iov_len) return false;
  onMoved(true, early.size());
  return true;
}

void Flow::onTunnelFailed(const Error& error) {
  setup_->poolTicket = Handle{};
  setup_->earlyRoom = false;
  setup_->earlySent = 0;
  if (error.reason == CloseReason::connectRefused) {
    note(FlowEventName::connectRefused, error.code);
  }
  tryFailed(error);
}

// Nothing of the flow has gone upstream yet, so another endpoint may serve it.
void Flow::tryFailed(const Error& error) {
  if (load_.slot() != nullptr) --load_.slot()->flows;
  load_.release();
  setup_->dial.reset();
  setup_->lastError = error;
  // The peer's answer is about the destination, not about the way to it.
  if (error.reason == CloseReason::connectRefused) {
    return end(error.reason, Side::upstream, error.code, error.detail);
  }
  tryNext();
}

// Joining.

std::unique_ptr<io::ByteStream> Flow::openDownstream() {
  Setup& setup = *setup_;
  if (setup.connection != nullptr) {
    listener_->forgetRequest(*setup.connection, setup.connectTicket);
    return std::exchange(setup.connection, nullptr)
        ->accept(setup.connectTicket, verdict().responseHeaders);
  }
  setup.downstream->setObserver(nullptr);
  if (setup.socks) {
    std::string reply = Socks5::reply(CloseReason::none);
    const iovec part{reply.data(), reply.size()};
    setup.downstream->writev(&part, 1);
  }
  return std::move(setup.downstream);
}

void Flow::connected(std::unique_ptr<io::ByteStream> upstream, const std::string& peerIdentity) {
  note(FlowEventName::connected);
  std::unique_ptr<io::ByteStream> downstream = openDownstream();
  if (!downstream) {
    upstream->reset(CloseReason::downstreamReset);
    return end(CloseReason::downstreamReset, Side::downstream, 0, "the request was given up");
  }
  if (setup_->isDial) {
    DialOutcome outcome;
    outcome.request = setup_->request;
    outcome.fd = setup_->given.release();
    outcome.peerIdentity = peerIdentity;
    outcome.shard = shard_.index();
    outcome.flow = handle_.pack();
    setup_->isDial = false;
    shard_.outlet().dialled(std::move(outcome));
  }
  state_ = State::relaying;
  counted_ = true;
  shard_.counters().add(counters_, CounterCell::opened, 1);
  shard_.counters().add(counters_, CounterCell::active, 1);
  const bool passedOn = passOnEarly(*upstream);
  setup_.reset();
  io::RelayEvents& events = *this;
  relay_ = std::make_unique<io::Relay>(shard_.loop(), std::move(downstream), std::move(upstream),
                                       events);
  if (!passedOn) {
    relay_->abort(CloseReason::internal);
    return end(CloseReason::internal, Side::upstream, 0, "early bytes were not taken");
  }
  relay_->start();
}

void Flow::onMoved(bool up, size_t bytes) {
  uint64_t& total = up ? bytesUp_ : bytesDown_;
  if (total == 0) note(up ? FlowEventName::firstByteUp : FlowEventName::firstByteDown);
  total += bytes;
  shard_.counters().add(counters_, up ? CounterCell::bytesUp : CounterCell::bytesDown,
                        static_cast<int64_t>(bytes));
}

void Flow::onDirectionEnd(bool up) {
  note(up ? FlowEventName::downstreamFin : FlowEventName::upstreamFin);
}

void Flow::onRelayDone(CloseReason reason, io::RelayEnd which, int code) {
  if (which == io::RelayEnd::none) return end(reason, Side::internal, code);
  const bool down = which == io::RelayEnd::a;
  // A stream does not know which side of a flow it is.
  if (reason == CloseReason::downstreamReset || reason == CloseReason::upstreamReset) {
    reason = down ? CloseReason::downstreamReset : CloseReason::upstreamReset;
    note(down ? FlowEventName::downstreamReset : FlowEventName::upstreamReset, code);
  }
  end(reason, down ? Side::downstream : Side::upstream, code);
}

// Ends.

void Flow::onStreamFailed(CloseReason reason, int code) {
  end(reason == CloseReason::peerGone ? reason : CloseReason::downstreamReset, Side::downstream,
      code, "ended before it was connected");
}

void Flow::onConnectGone(CloseReason reason) {
  setup_->connection = nullptr;
  end(reason == CloseReason::upstreamReset ? CloseReason::downstreamReset : reason,
      Side::downstream, 0, "the request was given up");
}

void Flow::answerDownstream(CloseReason reason, int status) {
  Setup& setup = *setup_;
  if (setup.isDial) {
    DialOutcome outcome;
    outcome.request = setup.request;
    outcome.error = makeError(reason, setup.lastError.detail, status);
    shard_.outlet().dialled(std::move(outcome));
  }
  if (setup.connection != nullptr) {
    listener_->forgetRequest(*setup.connection, setup.connectTicket);
    const bool verdictStatus = status == 400 || status == 401 || status == 503;
    setup.connection->refuse(setup.connectTicket, verdictStatus ? status : statusFor(reason));
  }
  if (!setup.downstream) return;
  setup.downstream->setObserver(nullptr);
  if (setup.socks && setup.socks->state() == Socks5::State::ready) {
    std::string reply = Socks5::reply(reason);
    const iovec part{reply.data(), reply.size()};
    setup.downstream->writev(&part, 1);
    setup.downstream->closeWrite();
  } else if (!setup.socks) {
    setup.downstream->reset(reason);
  }
}

void Flow::end(CloseReason reason, Side side, int code, std::string detail) {
  if (state_ == State::over) return;
  const bool relaying = state_ == State::relaying;
  state_ = State::over;
  if (setup_) {
    setup_->cancel();
    if (setup_->dial) setup_->dial->cancel();
    if (setup_->poolTicket) shard_.pool().cancel(setup_->poolTicket);
    if (setup_->lastError.detail.empty()) setup_->lastError.detail = detail;
    answerDownstream(reason, code);
  } else if (relaying) {
    relay_->abort(reason);  // nothing to do when the relay ended by itself
  }
  note(FlowEventName::closed, code);
  count(reason);
  summarize(reason, side, code, std::move(detail));
  if (load_.slot() != nullptr) --load_.slot()->flows;
  load_.release();
  shard_.forget(*this);
}

void Flow::count(CloseReason reason) {
  ShardCounters& counters = shard_.counters();
  if (counted_) {
    counters.add(counters_, CounterCell::active, -1);
  } else {
    counters.add(counters_, CounterCell::opened, 1);
  }
  counters.add(counters_, CounterCell::closed, 1);
  const CounterCell cell = closedCell(reason);
  if (cell != CounterCell::closed) counters.add(counters_, cell, 1);
}

FlowFacts Flow::facts() const {
  FlowFacts facts;
  facts.shard = shard_.index();
  facts.flow = handle_.pack();
  facts.source = source_.format();
  if (entry_ != nullptr) {
    const FlowKeyView key = entry_->key.view();
    facts.key = entry_->handle.pack();
    facts.listener = key.listener;
    facts.destination = key.destination.format();
    facts.authority = key.authority;
    facts.peerIdentity = key.peerIdentity;
  }
  if (listener_ != nullptr) {
    facts.kind = listener_->spec().kind;
    facts.listener = listener_->spec().handle;
  }
  if (endpoint_ >= 0 && dialled_.port != 0) facts.dialled = dialled_.format();
  facts.endpoint = endpoint_;
  facts.generation = generation_;
  facts.startedMs = startedMs_;
  facts.durationUs = static_cast<uint64_t>(
      std::max<Nanos>(shard_.loop().now() - startedAt_, 0) / kMicrosecond);
  facts.bytesUp = bytesUp_;
  facts.bytesDown = bytesDown_;
  facts.traceId = hex(trace_);
  facts.events = recorder_.events();
  return facts;
}

void Flow::summarize(CloseReason reason, Side side, int code, std::string detail) {
  if (!shard_.outlet().summarizes(reason)) return;
  FlowSummary summary;
  static_cast<FlowFacts&>(summary) = facts();
  summary.reason = reason;
  summary.side = side;
  summary.code = code;
  summary.detail = std::move(detail);
  if (!shard_.outlet().summary(std::move(summary))) {
    shard_.counters().add(EngineCell::summariesDropped);
  }
}

}  // namespace onehop::engine
