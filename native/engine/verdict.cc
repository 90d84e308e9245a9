#include "engine/verdict.h"

#include <algorithm>

namespace onehop::engine {

namespace {

constexpr size_t kScanMax = 16;         // endpoints looked at one by one when picking
constexpr size_t kEndpointsMax = 4096;  // per verdict
constexpr size_t kPeersMax = 256;       // per endpoint
constexpr size_t kHeadersMax = 32;      // per request or response
constexpr size_t kHeaderBytesMax = 8192;

Error refuse(const char* field, std::string_view value) {
  return makeError(CloseReason::badRequest,
                   std::string(field) + ": \"" + std::string(value.substr(0, 128)) + "\"");
}

uint64_t splitMix(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

uint64_t rotateLeft(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

bool isHeaderNameByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
         byte == '_' || byte == '.';
}

bool isHeaderValueByte(char byte) {
  return byte == '\t' || (static_cast<uint8_t>(byte) >= 0x20 && byte != 0x7f);
}

Status checkHeaders(const HeaderPairs& headers) {
  size_t bytes = 0;
  for (const auto& [name, value] : headers) {
    bytes += name.size() + value.size();
    if (name.empty() || !std::all_of(name.begin(), name.end(), isHeaderNameByte)) {
      return refuse("header name", name);
    }
    if (!std::all_of(value.begin(), value.end(), isHeaderValueByte)) {
      return refuse("header value", value);
    }
  }
  if (headers.size() > kHeadersMax || bytes > kHeaderBytesMax) return refuse("headers", "too many");
  return {};
}

bool isVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) { return byte > 0x20 && byte < 0x7f; });
}

Status checkTunnel(const Endpoint& endpoint) {
  if (endpoint.credential == 0) return refuse("credential", "0");
  if (endpoint.peers.empty()) return refuse("peers", "none");
  if (endpoint.peers.size() > kPeersMax) return refuse("peers", "too many");
  if (endpoint.authority.empty() || !isVisible(endpoint.authority) ||
      endpoint.authority.size() > 512) {
    return refuse("authority", endpoint.authority);
  }
  if (!isVisible(endpoint.forwardedHost) ||
      endpoint.forwardedHost.find_first_of("\",;") != std::string::npos) {
    return refuse("forwardedHost", endpoint.forwardedHost);
  }
  return checkHeaders(endpoint.headers);
}

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = splitMix(seed);
}

uint64_t Random::next() {
  const uint64_t result = rotateLeft(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotateLeft(state_[3], 45);
  return result;
}

LoadSlot& LoadTable::acquire(const std::string& target) {
  const auto [found, added] = slots_.try_emplace(target);
  if (added) {
    found->second = std::make_unique<LoadSlot>();
    found->second->target = &found->first;
  }
  ++found->second->users;
  return *found->second;
}

void LoadTable::release(LoadSlot& slot) {
  CHECK(slot.users > 0);
  if (--slot.users > 0) return;
  CHECK(slot.flows == 0);
  slots_.erase(slots_.find(*slot.target));
}

LoadShare& LoadShare::operator=(LoadShare&& other) noexcept {
  if (this != &other) {
    release();
    table_ = std::exchange(other.table_, nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

LoadShare LoadShare::another() const {
  LoadShare share;
  if (slot_ == nullptr) return share;
  table_->acquire(*slot_);
  share.table_ = table_;
  share.slot_ = slot_;
  return share;
}

void LoadShare::release() {
  if (slot_ != nullptr) table_->release(*std::exchange(slot_, nullptr));
}

Result<CompiledEndpoint> CompiledEndpoint::compile(const Endpoint& endpoint,
                                                   uint32_t counterSlots) {
  CompiledEndpoint compiled;
  compiled.protocol = endpoint.protocol;
  if (endpoint.weight == 0) return refuse("weight", "0");
  if (endpoint.counters >= counterSlots) return refuse("counters", "out of range");
  compiled.weight = endpoint.weight;
  compiled.counters = endpoint.counters;
  if (endpoint.protocol == EndpointProtocol::local) return compiled;
  const std::optional<SocketAddress> dial = SocketAddress::parse(endpoint.dial);
  if (!dial.has_value() || dial->port == 0) return refuse("dial", endpoint.dial);
  compiled.dial = *dial;
  if (endpoint.bind == "downstream") {
    compiled.bind = BindKind::downstream;
  } else if (!endpoint.bind.empty()) {
    const std::optional<IpAddress> ip = IpAddress::parse(endpoint.bind);
    if (!ip.has_value() || ip->isV6() != dial->ip.isV6()) return refuse("bind", endpoint.bind);
    compiled.bind = BindKind::address;
    compiled.bindIp = *ip;
  }
  if (endpoint.protocol == EndpointProtocol::tcp) return compiled;
  const Status tunnel = checkTunnel(endpoint);
  if (!tunnel.ok()) return tunnel.error();
  compiled.credential = endpoint.credential;
  compiled.authority = endpoint.authority;
  compiled.peers = endpoint.peers;
  std::sort(compiled.peers.begin(), compiled.peers.end());
  compiled.headers = endpoint.headers;
  compiled.forwardedHost = endpoint.forwardedHost;
  return compiled;
}

std::string CompiledEndpoint::loadTarget() const {
  std::string target = dial.format();
  if (protocol == EndpointProtocol::hbone) {
    target += ' ';
    target += authority;
  }
  return target;
}

Result<std::unique_ptr<CompiledVerdict>> CompiledVerdict::compile(Verdict&& verdict,
                                                                  uint32_t counterSlots) {
  auto compiled = std::make_unique<CompiledVerdict>();
  compiled->key = verdict.key;
  compiled->generation = verdict.generation;
  compiled->allow = verdict.allow;
  compiled->live = verdict.live;
  compiled->reason = verdict.reason == CloseReason::none ? CloseReason::denied : verdict.reason;
  compiled->status = verdict.status;
  compiled->counters = verdict.counters;
  if (verdict.counters >= counterSlots) return refuse("counters", "out of range");
  if (!verdict.allow) {
    const bool known = verdict.status == 0 || verdict.status == 400 || verdict.status == 401 ||
                       verdict.status == 503;
    if (!known) return refuse("status", std::to_string(verdict.status));
    return compiled;
  }
  if (verdict.endpoints.empty()) return refuse("endpoints", "none");
  if (verdict.endpoints.size() > kEndpointsMax) return refuse("endpoints", "too many");
  const Status headers = checkHeaders(verdict.responseHeaders);
  if (!headers.ok()) return headers.error();
  for (const auto& [name, value] : verdict.responseHeaders) {
    compiled->responseHeaders.add(name, value);
  }
  uint64_t sum = 0;
  for (const Endpoint& endpoint : verdict.endpoints) {
    Result<CompiledEndpoint> one = CompiledEndpoint::compile(endpoint, counterSlots);
    if (!one.ok()) return one.error();
    sum += one.value().weight;
    compiled->weightSums_.push_back(sum);
    compiled->endpoints.push_back(std::move(one.value()));
  }
  return compiled;
}

void CompiledVerdict::adopt(LoadTable& loads) {
  for (CompiledEndpoint& endpoint : endpoints) {
    if (endpoint.protocol == EndpointProtocol::local) continue;
    endpoint.load = LoadShare(loads, endpoint.loadTarget());
  }
}

size_t CompiledVerdict::draw(Random& random) const {
  const uint64_t ticket = random.below(weightSums_.back());
  return static_cast<size_t>(
      std::upper_bound(weightSums_.begin(), weightSums_.end(), ticket) - weightSums_.begin());
}

int CompiledVerdict::pick(Random& random, const int16_t* tried, size_t triedCount) const {
  CHECK(!endpoints.empty());
  if (endpoints.size() == 1) return triedCount == 0 ? 0 : -1;
  const auto usable = [&](size_t index) {
    return std::find(tried, tried + triedCount, static_cast<int16_t>(index)) == tried + triedCount;
  };
  const auto lighter = [&](size_t a, size_t b) {
    const auto flows = [&](size_t i) -> uint64_t {
      const LoadSlot* slot = endpoints[i].load.slot();
      return slot == nullptr ? 0 : slot->flows;
    };
    return flows(a) * endpoints[b].weight < flows(b) * endpoints[a].weight;
  };
  size_t best = draw(random);
  if (endpoints.size() <= kScanMax) {
    bool found = usable(best);
    for (size_t i = 0; i < endpoints.size(); ++i) {
      if (i == best || !usable(i)) continue;
      if (!found || lighter(i, best)) best = i;
      found = true;
    }
    return found ? static_cast<int>(best) : -1;
  }
  for (int turn = 0; !usable(best); ++turn) {
    best = turn < 4 ? draw(random) : (best + 1) % endpoints.size();
  }
  const size_t other = draw(random);
  return static_cast<int>(usable(other) && lighter(other, best) ? other : best);
}

}  // namespace onehop::engine
