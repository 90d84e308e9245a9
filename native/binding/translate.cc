#include "binding/translate.h"

namespace onehop::binding {
namespace {

using engine::EventBatch;
using engine::FlowFacts;

// Fills one object. A failed set leaves an exception pending, which the caller of the callback reports.
class Fields {
 public:
  explicit Fields(Napi::Env env) : env_(env), object_(Napi::Object::New(env)) {}

  Fields& text(const char* name, std::string_view value) {
    return set(name, Napi::String::New(env_, value.data(), value.size()));
  }
  Fields& number(const char* name, double value) {
    return set(name, Napi::Number::New(env_, value));
  }
  Fields& handle(const char* name, uint64_t value) {
    return number(name, static_cast<double>(value));
  }
  Fields& flag(const char* name, bool value) { return set(name, Napi::Boolean::New(env_, value)); }
  Fields& set(const char* name, napi_value value) {
    static_cast<void>(napi_set_named_property(env_, object_, name, value));
    return *this;
  }
  Napi::Object object() const { return object_; }

 private:
  Napi::Env env_;
  Napi::Object object_;
};

template <typename T, typename Make>
Napi::Array list(Napi::Env env, const std::vector<T>& from, Make&& make) {
  Napi::Array array = Napi::Array::New(env, from.size());
  for (uint32_t i = 0; i < from.size(); ++i) {
    Napi::HandleScope scope(env);
    static_cast<void>(napi_set_element(env, array, i, make(from[i])));
  }
  return array;
}

template <size_t Count>
std::string joined(const char* const (&words)[Count]) {
  std::string all;
  for (const char* word : words) all.append(all.empty() ? "" : ",").append(word);
  return all;
}

template <typename Word>
const char* nameOf(const char* const* names, Word word) {
  return names[static_cast<size_t>(word)];
}

Napi::Object upcallToJs(Napi::Env env, const engine::Upcall& upcall) {
  return Fields(env)
      .number("shard", upcall.shard)
      .handle("key", upcall.key)
      .handle("listener", upcall.listener)
      .text("kind", nameOf(engine::kListenerKindNames, upcall.kind))
      .text("sourceIp", upcall.sourceIp)
      .text("destination", upcall.destination)
      .text("local", upcall.local)
      .text("authority", upcall.authority)
      .text("peerIdentity", upcall.peerIdentity)
      .text("forwardedHost", upcall.forwardedHost)
      .text("forwardedNetwork", upcall.forwardedNetwork)
      .object();
}

Napi::Object eventToJs(Napi::Env env, const engine::FlowEvent& event) {
  return Fields(env)
      .handle("atUs", event.atUs)
      .text("event", nameOf(engine::kFlowEventNames, event.event))
      .number("value", event.value)
      .object();
}

Napi::Object factsToJs(Napi::Env env, const FlowFacts& facts) {
  return Fields(env)
      .number("shard", facts.shard)
      .handle("flow", facts.flow)
      .handle("key", facts.key)
      .handle("listener", facts.listener)
      .text("kind", nameOf(engine::kListenerKindNames, facts.kind))
      .text("source", facts.source)
      .text("destination", facts.destination)
      .text("authority", facts.authority)
      .text("peerIdentity", facts.peerIdentity)
      .text("dialled", facts.dialled)
      .number("endpoint", facts.endpoint)
      .handle("generation", facts.generation)
      .number("startedMs", static_cast<double>(facts.startedMs))
      .handle("durationUs", facts.durationUs)
      .handle("bytesUp", facts.bytesUp)
      .handle("bytesDown", facts.bytesDown)
      .text("traceId", facts.traceId)
      .set("events", list(env, facts.events,
                          [&](const auto& event) { return eventToJs(env, event); }))
      .object();
}

// An object of so many fields, and of events that are objects, costs 20 us to make across the seam:
// more than all that the engine does for a short flow. Columns of numbers and texts cost 2.
Napi::Object summariesToJs(Napi::Env env, const std::vector<engine::FlowSummary>& summaries) {
  constexpr size_t kColumns = engine::countOf(engine::kSummaryNumbers);
  constexpr size_t kTexts = engine::countOf(engine::kSummaryTexts);
  size_t size = summaries.size() * kColumns;
  for (const auto& summary : summaries) size += summary.events.size() * 3;
  void* memory = nullptr;
  napi_value buffer = nullptr;
  napi_value numbers = nullptr;
  // Only these two refuse where the environment is on its way out, and no JavaScript sees the result.
  if (napi_create_arraybuffer(env, size * sizeof(double), &memory, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_float64_array, size, buffer, 0, &numbers) != napi_ok) {
    return Napi::Object::New(env);
  }
  Napi::Array texts = Napi::Array::New(env, summaries.size() * kTexts);
  const Napi::String empty = Napi::String::New(env, "");
  auto* at = static_cast<double*>(memory);
  uint32_t text = 0;
  for (const auto& s : summaries) {
    Napi::HandleScope scope(env);
    const auto number = [&](auto value) { *at++ = static_cast<double>(value); };
    number(s.shard), number(s.flow), number(s.key), number(s.listener), number(s.kind);
    number(s.endpoint), number(s.generation), number(s.startedMs), number(s.durationUs);
    number(s.bytesUp), number(s.bytesDown), number(s.reason), number(s.side), number(s.code);
    number(s.events.size());
    for (const engine::FlowEvent& event : s.events) {
      number(event.atUs), number(event.event), number(event.value);
    }
    for (const std::string* value : {&s.source, &s.destination, &s.authority, &s.peerIdentity,
                                     &s.dialled, &s.traceId, &s.detail}) {
      const Napi::String made = value->empty() ? empty : Napi::String::New(env, *value);
      static_cast<void>(napi_set_element(env, texts, text++, made));
    }
  }
  return Fields(env).set("numbers", numbers).set("texts", texts).object();
}

Napi::Object noticeToJs(Napi::Env env, const engine::Notice& notice) {
  return Fields(env)
      .number("shard", notice.shard)
      .handle("listener", notice.listener)
      .text("source", notice.source)
      .text("reason", closeReasonName(notice.reason))
      .number("code", notice.code)
      .text("detail", notice.detail)
      .object();
}

Napi::Object deliveryToJs(Napi::Env env, const engine::Delivery& delivery) {
  return Fields(env)
      .number("shard", delivery.shard)
      .handle("key", delivery.key)
      .handle("flow", delivery.flow)
      .handle("listener", delivery.listener)
      .number("fd", delivery.fd)
      .text("source", delivery.source)
      .text("authority", delivery.authority)
      .text("peerIdentity", delivery.peerIdentity)
      .object();
}

Napi::Array evictedToJs(Napi::Env env, const engine::Evicted& evicted) {
  Napi::Array pair = Napi::Array::New(env, 2);
  static_cast<void>(napi_set_element(env, pair, 0, Napi::Number::New(env, evicted.shard)));
  static_cast<void>(napi_set_element(
      env, pair, 1, Napi::Number::New(env, static_cast<double>(evicted.key))));
  return pair;
}

Napi::Object tunnelToJs(Napi::Env env, const engine::TunnelFacts& tunnel) {
  return Fields(env)
      .number("shard", tunnel.shard)
      .text("dial", tunnel.dial)
      .text("localIdentity", tunnel.localIdentity)
      .text("peerIdentity", tunnel.peerIdentity)
      .number("streams", tunnel.streams)
      .handle("streamsServed", tunnel.streamsServed)
      .number("streamsMax", tunnel.streamsMax)
      .handle("ageMs", tunnel.ageMs)
      .text("state", nameOf(engine::kTunnelStateNames, tunnel.state))
      .object();
}

}  // namespace

Napi::Object toJs(Napi::Env env, const engine::CredentialInfo& info) {
  return Fields(env)
      .handle("handle", info.handle)
      .text("identity", info.identity)
      .text("serial", info.serial)
      .number("notBeforeMs", static_cast<double>(info.notBeforeMs))
      .number("notAfterMs", static_cast<double>(info.notAfterMs))
      .object();
}

Napi::Object toJs(Napi::Env env, const engine::Listening& listening) {
  return Fields(env)
      .handle("handle", listening.handle)
      .text("address", listening.address)
      .flag("transparent", listening.transparent)
      .object();
}

Napi::Object toJs(Napi::Env env, const EventBatch& batch) {
  const auto all = [env](const auto& from, auto make) {
    return list(env, from, [&](const auto& one) { return make(env, one); });
  };
  Fields fields(env);
  // What there is none of is left out.
  if (!batch.upcalls.empty()) fields.set("upcalls", all(batch.upcalls, upcallToJs));
  if (!batch.summaries.empty()) fields.set("summaries", summariesToJs(env, batch.summaries));
  if (!batch.notices.empty()) fields.set("notices", all(batch.notices, noticeToJs));
  if (!batch.deliveries.empty()) fields.set("deliveries", all(batch.deliveries, deliveryToJs));
  if (!batch.evicted.empty()) fields.set("evicted", all(batch.evicted, evictedToJs));
  return fields.object();
}

Napi::Array toJs(Napi::Env env, const std::vector<FlowFacts>& flows) {
  return list(env, flows, [&](const FlowFacts& facts) { return factsToJs(env, facts); });
}

Napi::Array toJs(Napi::Env env, const std::vector<engine::TunnelFacts>& tunnels) {
  return list(env, tunnels, [&](const auto& tunnel) { return tunnelToJs(env, tunnel); });
}

Napi::Object toJs(Napi::Env env, const Error& error) {
  return Fields(env)
      .text("reason", closeReasonName(error.reason))
      .number("code", error.code)
      .text("detail", error.detail)
      .object();
}

Napi::Object contractTables(Napi::Env env) {
  return Fields(env)
      .number("version", engine::kContractVersion)
      .text("listenerKinds", joined(engine::kListenerKindNames))
      .text("endpointProtocols", joined(engine::kEndpointProtocolNames))
      .text("closeReasons", joined(kCloseReasonNames))
      .text("sides", joined(engine::kSideNames))
      .text("summaryNumbers", joined(engine::kSummaryNumbers))
      .text("summaryTexts", joined(engine::kSummaryTexts))
      .text("flowEvents", joined(engine::kFlowEventNames))
      .text("counterCells", joined(engine::kCounterCellNames))
      .text("engineCells", joined(engine::kEngineCellNames))
      .object();
}

Napi::Value throwError(Napi::Env env, const Error& error) {
  const std::string& detail = error.detail;
  Napi::Error thrown = Napi::Error::New(env, detail);
  thrown.Set("code", Napi::String::New(env, closeReasonName(error.reason)));
  thrown.Set("number", Napi::Number::New(env, error.code));
  thrown.ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace onehop::binding
