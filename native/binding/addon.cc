#include "binding/addon.h"

#include "binding/translate.h"
#include "engine/versions.h"

namespace onehop::binding {
namespace {

using engine::RequestId;

constexpr uint64_t kHandleMax = (uint64_t{1} << 53) - 1;

// Of one environment: worker threads have their own.
struct Instance {
  Napi::FunctionReference engineClass;
};

Napi::Value done(Napi::Env env, const Status& status) {
  return status.ok() ? env.Undefined() : throwError(env, status.error());
}

// `ask` starts an asynchronous call; its callback stays only when that succeeds.
template <typename Ask>
Napi::Value request(Napi::Env env, Channel& channel, Napi::Function callback, Ask&& ask) {
  const RequestId id = channel.expect(callback);
  const Status status = ask(id);
  if (!status.ok()) channel.forget(id);
  return done(env, status);
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine", {
    InstanceMethod<&EngineObject::putCredential>("putCredential"),
    InstanceMethod<&EngineObject::removeCredential>("removeCredential"),
    InstanceMethod<&EngineObject::listen>("listen"),
    InstanceMethod<&EngineObject::closeListener>("closeListener"),
    InstanceMethod<&EngineObject::answer>("answer"),
    InstanceMethod<&EngineObject::purgePool>("purgePool"),
    InstanceMethod<&EngineObject::dial>("dial"),
    InstanceMethod<&EngineObject::flows>("flows"),
    InstanceMethod<&EngineObject::tunnels>("tunnels"),
    InstanceMethod<&EngineObject::closeFlow>("closeFlow"),
    InstanceMethod<&EngineObject::counters>("counters"),
    InstanceMethod<&EngineObject::engineCounters>("engineCounters"),
    InstanceMethod<&EngineObject::keepAlive>("keepAlive"),
    InstanceMethod<&EngineObject::drain>("drain"),
    InstanceMethod<&EngineObject::summarizeComplete>("summarizeComplete"),
    InstanceMethod<&EngineObject::trim>("trim"),
    InstanceMethod<&EngineObject::stop>("stop"),
  });
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Reader reader(info.Env());
  const engine::EngineOptions options = readOptions(reader, info[0]);
  const Napi::Function onEvents = reader.function(info[1], "onEvents");
  if (!reader.ok()) reader.fail();
  else channel_ = Channel::open(info.Env(), options, onEvents);
}

EngineObject::~EngineObject() {
  if (channel_ == nullptr) return;
  // Collected while running, when onEvents did not refer to this object. No JavaScript from here.
  channel_->stop(Channel::LastBatch::drop);
  channel_->release();
}

Napi::Value EngineObject::putCredential(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const uint64_t handle = reader.integer(info[0], "handle", kHandleMax);
  const engine::CredentialSpec spec = readCredential(reader, info[1]);
  if (!reader.ok()) return reader.fail();
  const Result<engine::CredentialInfo> put = channel_->engine().putCredential(handle, spec);
  return put.ok() ? toJs(info.Env(), put.value()) : throwError(info.Env(), put.error());
}

Napi::Value EngineObject::removeCredential(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const uint64_t handle = reader.integer(info[0], "handle", kHandleMax);
  if (!reader.ok()) return reader.fail();
  return done(info.Env(), channel_->engine().removeCredential(handle));
}

Napi::Value EngineObject::listen(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const engine::ListenSpec spec = readListen(reader, info[0]);
  if (!reader.ok()) return reader.fail();
  const Result<engine::Listening> listening = channel_->engine().listen(spec);
  return listening.ok() ? toJs(info.Env(), listening.value())
                        : throwError(info.Env(), listening.error());
}

Napi::Value EngineObject::closeListener(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const uint64_t handle = reader.integer(info[0], "handle", kHandleMax);
  const bool flows = reader.flag(info[1], "flows");
  if (!reader.ok()) return reader.fail();
  return done(info.Env(), channel_->engine().closeListener(handle, flows));
}

Napi::Value EngineObject::answer(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  std::vector<engine::Verdict> verdicts = readVerdicts(reader, info[0]);
  if (!reader.ok()) return reader.fail();
  return done(info.Env(), channel_->engine().answer(std::move(verdicts)));
}

Napi::Value EngineObject::purgePool(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const std::string dial = reader.text(info[0], "dial");
  if (!reader.ok()) return reader.fail();
  return done(info.Env(), channel_->engine().purgePool(dial));
}

Napi::Value EngineObject::dial(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const engine::DialSpec spec = readDial(reader, info[0]);
  const Napi::Function callback = reader.function(info[1], "done");
  if (!reader.ok()) return reader.fail();
  return request(info.Env(), *channel_, callback,
                 [&](RequestId id) { return channel_->engine().dial(id, spec); });
}

Napi::Value EngineObject::flows(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const Napi::Function callback = reader.function(info[0], "done");
  if (!reader.ok()) return reader.fail();
  return request(info.Env(), *channel_, callback,
                 [&](RequestId id) { return channel_->engine().flows(id); });
}

Napi::Value EngineObject::tunnels(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const Napi::Function callback = reader.function(info[0], "done");
  if (!reader.ok()) return reader.fail();
  return request(info.Env(), *channel_, callback,
                 [&](RequestId id) { return channel_->engine().tunnels(id); });
}

Napi::Value EngineObject::closeFlow(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto shard = static_cast<uint32_t>(reader.integer(info[0], "shard", UINT32_MAX));
  const uint64_t flow = reader.integer(info[1], "flow", kHandleMax);
  if (!reader.ok()) return reader.fail();
  return done(info.Env(), channel_->engine().closeFlow(shard, flow));
}

Napi::Value EngineObject::drain(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const auto deadlineMs = static_cast<uint32_t>(reader.integer(info[0], "deadlineMs", UINT32_MAX));
  const Napi::Function callback = reader.function(info[1], "done");
  if (!reader.ok()) return reader.fail();
  return request(info.Env(), *channel_, callback,
                 [&](RequestId id) { return channel_->engine().drain(id, deadlineMs); });
}

Napi::Value EngineObject::counters(const Napi::CallbackInfo& info) {
  return shared(info.Env(), counters_, channel_->engine().counters());
}

Napi::Value EngineObject::engineCounters(const Napi::CallbackInfo& info) {
  return shared(info.Env(), engineCounters_, channel_->engine().engineCounters());
}

Napi::Value EngineObject::shared(Napi::Env env, Napi::ObjectReference& array,
                                 std::span<uint64_t> cells) {
  if (!array.IsEmpty()) return array.Value();
  Channel* channel = channel_;
  channel->hold();
  const auto letGo = [](Napi::Env, void*, Channel* held) { held->release(); };
  Napi::ArrayBuffer memory =
      Napi::ArrayBuffer::New(env, cells.data(), cells.size_bytes(), letGo, channel);
  if (env.IsExceptionPending()) {
    channel->release();
    return env.Undefined();
  }
  Napi::BigUint64Array made = Napi::BigUint64Array::New(env, cells.size(), memory, 0);
  array = Napi::Persistent(made.As<Napi::Object>());
  return made;
}

Napi::Value EngineObject::keepAlive(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const bool on = reader.flag(info[0], "on");
  if (!reader.ok()) return reader.fail();
  channel_->keepAlive(on);
  return info.Env().Undefined();
}

Napi::Value EngineObject::summarizeComplete(const Napi::CallbackInfo& info) {
  Reader reader(info.Env());
  const bool on = reader.flag(info[0], "on");
  if (!reader.ok()) return reader.fail();
  channel_->engine().summarizeComplete(on);
  return info.Env().Undefined();
}

Napi::Value EngineObject::trim(const Napi::CallbackInfo& info) {
  channel_->engine().trim();
  return info.Env().Undefined();
}

Napi::Value EngineObject::stop(const Napi::CallbackInfo& info) {
  channel_->stop(Channel::LastBatch::deliver);
  return info.Env().Undefined();
}

namespace {

Napi::Value contract(const Napi::CallbackInfo& info) { return contractTables(info.Env()); }

Napi::Value versions(const Napi::CallbackInfo& info) {
  const engine::Versions found = engine::versions();
  Napi::Object all = Napi::Object::New(info.Env());
  all.Set("openssl", found.openssl);
  all.Set("opensslBuilt", found.opensslBuilt);
  all.Set("suites", found.suites);
  all.Set("groups", found.groups);
  all.Set("mismatch", found.mismatch);
  return all;
}

Napi::Value start(const Napi::CallbackInfo& info) {
  const Instance* instance = info.Env().GetInstanceData<Instance>();
  const Napi::MaybeOrValue<Napi::Object> made = instance->engineClass.New({info[0], info[1]});
  return made;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance{Napi::Persistent(EngineObject::define(env))};
  env.SetInstanceData(instance);  // owns it
  exports.Set("contract", Napi::Function::New<contract>(env, "contract"));
  exports.Set("versions", Napi::Function::New<versions>(env, "versions"));
  exports.Set("start", Napi::Function::New<start>(env, "start"));
  return exports;
}

NODE_API_MODULE(onehop, initialize)

}  // namespace
}  // namespace onehop::binding
