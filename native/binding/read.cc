#include <cmath>
#include <cstring>

#include "binding/translate.h"

namespace onehop::binding {

using engine::DialSpec;
using engine::Endpoint;
using engine::Verdict;

constexpr uint64_t kIntegerMax = (uint64_t{1} << 53) - 1;

Napi::Value Reader::fail() const {
  if (!env_.IsExceptionPending()) {
    Napi::Error error = Napi::TypeError::New(env_, problem_);
    error.Set("code", Napi::String::New(env_, "argument"));
    error.ThrowAsJavaScriptException();
  }
  return env_.Undefined();
}

void Reader::wrong(const char* what, const char* wanted) {
  if (problem_.empty()) problem_ = std::string(what) + " must be " + wanted;
}

// Empty when a getter threw, or after the first problem.
Napi::Value Reader::get(const Napi::Object& from, const char* field) {
  if (!ok()) return {};
  Napi::MaybeOrValue<Napi::Value> value = from.Get(field);
  if (value.IsEmpty()) wrong(field, "readable");
  return value;
}

Napi::Object Reader::object(Napi::Value value, const char* what) {
  if (!ok()) return {};
  if (value.IsEmpty() || !value.IsObject()) {
    wrong(what, "an object");
    return {};
  }
  return value.As<Napi::Object>();
}

Napi::Array Reader::array(Napi::Value value, const char* what) {
  if (!ok()) return {};
  if (value.IsEmpty() || !value.IsArray()) {
    wrong(what, "an array");
    return {};
  }
  return value.As<Napi::Array>();
}

Napi::Function Reader::function(Napi::Value value, const char* what) {
  if (!ok()) return {};
  if (value.IsEmpty() || !value.IsFunction()) {
    wrong(what, "a function");
    return {};
  }
  return value.As<Napi::Function>();
}

std::string Reader::text(Napi::Value value, const char* what) {
  if (!ok()) return {};
  if (value.IsEmpty() || !value.IsString()) {
    wrong(what, "a string");
    return {};
  }
  return value.As<Napi::String>().Utf8Value();
}

uint64_t Reader::integer(Napi::Value value, const char* what, uint64_t most) {
  if (!ok()) return 0;
  const double number =
      value.IsEmpty() || !value.IsNumber() ? -1 : value.As<Napi::Number>().DoubleValue();
  // A NaN fails every comparison.
  if (!(number >= 0 && number <= static_cast<double>(most) && std::trunc(number) == number)) {
    wrong(what, "a whole number in its range");
    return 0;
  }
  return static_cast<uint64_t>(number);
}

bool Reader::flag(Napi::Value value, const char* what) {
  if (!ok()) return false;
  if (value.IsEmpty() || !value.IsBoolean()) {
    wrong(what, "true or false");
    return false;
  }
  return value.As<Napi::Boolean>().Value();
}

std::string Reader::text(const Napi::Object& from, const char* field) {
  return text(get(from, field), field);
}

uint32_t Reader::u32(const Napi::Object& from, const char* field) {
  return static_cast<uint32_t>(integer(get(from, field), field, UINT32_MAX));
}

uint64_t Reader::handle(const Napi::Object& from, const char* field) {
  return integer(get(from, field), field, kIntegerMax);
}

bool Reader::flag(const Napi::Object& from, const char* field) {
  return flag(get(from, field), field);
}

size_t Reader::word(const Napi::Object& from, const char* field, const char* const* words,
                    size_t count) {
  const std::string given = text(from, field);
  for (size_t i = 0; i < count && ok(); ++i) {
    if (given == words[i]) return i;
  }
  wrong(field, "a word of its list");
  return 0;
}

engine::HeaderPairs Reader::headers(const Napi::Object& from, const char* field) {
  engine::HeaderPairs pairs;
  each(get(from, field), field, [&](Napi::Value value) {
    const Napi::Array pair = array(value, field);
    if (!ok()) return;
    std::string name = text(pair.Get(0u), field);
    pairs.emplace_back(std::move(name), text(pair.Get(1u), field));
  });
  return pairs;
}

engine::EngineOptions readOptions(Reader& reader, Napi::Value value) {
  engine::EngineOptions options;
  const Napi::Object from = reader.object(value, "options");
  options.shards = reader.u32(from, "shards");
  options.flowCacheMax = reader.u32(from, "flowCacheMax");
  options.counterSlots = reader.u32(from, "counterSlots");
  options.flowsMax = reader.u32(from, "flowsMax");
  options.streamsPerTunnelMax = reader.u32(from, "streamsPerTunnelMax");
  options.poolStreamsMax = reader.u32(from, "poolStreamsMax");
  options.poolIdleMs = reader.u32(from, "poolIdleMs");
  options.poolNegativeMs = reader.u32(from, "poolNegativeMs");
  options.upcallTimeoutMs = reader.u32(from, "upcallTimeoutMs");
  options.dialTimeoutMs = reader.u32(from, "dialTimeoutMs");
  options.handshakeTimeoutMs = reader.u32(from, "handshakeTimeoutMs");
  options.prefaceTimeoutMs = reader.u32(from, "prefaceTimeoutMs");
  options.connectTimeoutMs = reader.u32(from, "connectTimeoutMs");
  options.livenessMs = reader.u32(from, "livenessMs");
  options.windowBudgetBytes = reader.handle(from, "windowBudgetBytes");
  options.congestion = reader.text(from, "congestion");
  options.spinUs = reader.u32(from, "spinUs");
  options.spliceAfterBytes = reader.u32(from, "spliceAfterBytes");
  options.optimisticBytes = reader.u32(from, "optimisticBytes");
  return options;
}

engine::CredentialSpec readCredential(Reader& reader, Napi::Value value) {
  engine::CredentialSpec spec;
  const Napi::Object from = reader.object(value, "credential");
  spec.chainPem = reader.text(from, "chainPem");
  spec.keyPem = reader.text(from, "keyPem");
  spec.rootsPem = reader.text(from, "rootsPem");
  return spec;
}

engine::ListenSpec readListen(Reader& reader, Napi::Value value) {
  engine::ListenSpec spec;
  const Napi::Object from = reader.object(value, "listener");
  spec.kind = static_cast<engine::ListenerKind>(
      reader.word(from, "kind", engine::kListenerKindNames, engine::kListenerKindCount));
  spec.address = reader.text(from, "address");
  spec.netns = reader.text(from, "netns");
  spec.mark = reader.u32(from, "mark");
  spec.credential = reader.handle(from, "credential");
  spec.transparent = reader.flag(from, "transparent");
  spec.backlog = reader.u32(from, "backlog");
  return spec;
}

static Endpoint readEndpoint(Reader& reader, Napi::Value value) {
  Endpoint endpoint;
  const Napi::Object from = reader.object(value, "endpoint");
  endpoint.protocol = static_cast<engine::EndpointProtocol>(reader.word(
      from, "protocol", engine::kEndpointProtocolNames, engine::kEndpointProtocolCount));
  endpoint.dial = reader.text(from, "dial");
  endpoint.bind = reader.text(from, "bind");
  endpoint.credential = reader.handle(from, "credential");
  endpoint.authority = reader.text(from, "authority");
  if (reader.ok()) {
    reader.each(from.Get("peers"), "peers", [&](Napi::Value peer) {
      endpoint.peers.push_back(reader.text(peer, "peers"));
    });
  }
  endpoint.headers = reader.headers(from, "headers");
  endpoint.forwardedHost = reader.text(from, "forwardedHost");
  endpoint.weight = reader.u32(from, "weight");
  endpoint.counters = reader.u32(from, "counters");
  return endpoint;
}

DialSpec readDial(Reader& reader, Napi::Value value) {
  DialSpec spec;
  const Napi::Object from = reader.object(value, "dial");
  if (reader.ok()) spec.endpoint = readEndpoint(reader, from.Get("endpoint"));
  spec.netns = reader.text(from, "netns");
  spec.mark = reader.u32(from, "mark");
  return spec;
}

static Verdict readVerdict(Reader& reader, Napi::Value value) {
  static constexpr const char* kLive[] = {"keep", "close"};
  Verdict verdict;
  const Napi::Object from = reader.object(value, "verdict");
  verdict.shard = reader.u32(from, "shard");
  verdict.key = reader.handle(from, "key");
  verdict.generation = reader.handle(from, "generation");
  verdict.allow = reader.flag(from, "allow");
  verdict.reason = static_cast<CloseReason>(
      reader.word(from, "reason", kCloseReasonNames, kCloseReasonCount));
  const uint32_t status = reader.u32(from, "status");
  verdict.status = static_cast<uint16_t>(status <= 999 ? status : 503);
  verdict.counters = reader.u32(from, "counters");
  if (reader.ok()) {
    reader.each(from.Get("endpoints"), "endpoints", [&](Napi::Value endpoint) {
      verdict.endpoints.push_back(readEndpoint(reader, endpoint));
    });
  }
  verdict.responseHeaders = reader.headers(from, "responseHeaders");
  verdict.live = static_cast<engine::LiveFlows>(reader.word(from, "live", kLive, 2));
  return verdict;
}

std::vector<Verdict> readVerdicts(Reader& reader, Napi::Value value) {
  std::vector<Verdict> verdicts;
  reader.each(value, "verdicts", [&](Napi::Value one) {
    verdicts.push_back(readVerdict(reader, one));
  });
  return verdicts;
}

}  // namespace onehop::binding
