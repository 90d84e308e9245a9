#include "binding/channel.h"

#include <unistd.h>

#include "binding/translate.h"

namespace onehop::binding {

using engine::Batch;
using engine::RequestId;

Channel::Channel(Napi::Env env, Napi::Function onEvents)
    : env_(env), onEvents_(Napi::Persistent(onEvents)) {}

Channel::~Channel() {
  CHECK(stopped_ && waiting_.empty());
}

Channel* Channel::open(Napi::Env env, const engine::EngineOptions& options,
                       Napi::Function onEvents) {
  Channel* channel = new Channel(env, onEvents);  // counted: see release()
  napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, "onehop"), 0, 1, channel, onFunctionGone,
      channel, onWake, &channel->wake_);
  if (status != napi_ok) {
    channel->stopped_ = true;
    channel->release();
    throwError(env, makeError(CloseReason::internal, "no threadsafe function"));
    return nullptr;
  }
  channel->hold();  // by the threadsafe function, until onFunctionGone
  channel->keepAlive(false);
  Result<std::unique_ptr<engine::Engine>> started = engine::Engine::start(options, *channel);
  if (!started.ok()) {
    channel->stopped_ = true;
    channel->onEvents_.Reset();
    napi_release_threadsafe_function(channel->wake_, napi_tsfn_release);
    channel->release();
    throwError(env, started.error());
    return nullptr;
  }
  channel->engine_ = std::move(started.value());
  status = napi_add_env_cleanup_hook(env, onEnvironmentExit, channel);
  CHECK(status == napi_ok);
  return channel;
}

void Channel::release() {
  CHECK(holders_ > 0);
  if (--holders_ == 0) delete this;
}

RequestId Channel::expect(Napi::Function done) {
  const RequestId request = nextRequest_++;
  waiting_.emplace(request, Napi::Persistent(done));
  return request;
}

void Channel::keepAlive(bool on) {
  if (stopped_) return;
  if (on) napi_ref_threadsafe_function(env_, wake_);
  else napi_unref_threadsafe_function(env_, wake_);
}

void Channel::onBatchReady() {
  // The queue is unbounded, so only a closing environment refuses; it stops us by its hook.
  static_cast<void>(napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking));
}

// An environment on its way out still turns its loop, before it calls our hook; then Node-API refuses
// whatever could run JavaScript, and the batch stays for the hook to drop.
static bool mayRunJavaScript(napi_env env) {
  napi_value probe = nullptr;
  return env != nullptr && napi_create_object(env, &probe) == napi_ok &&
         napi_set_named_property(env, probe, "probe", probe) == napi_ok;
}

void Channel::onWake(napi_env env, napi_value, void* context, void*) {
  auto* channel = static_cast<Channel*>(context);
  if (!channel->stopped_ && mayRunJavaScript(env)) channel->deliver();
}

void Channel::onFunctionGone(napi_env, void* channel, void*) {
  static_cast<Channel*>(channel)->release();
}

// No JavaScript may run any more. The threadsafe function was made before this hook was added, so it is
// still there, and goes after it.
void Channel::onEnvironmentExit(void* data) {
  auto* channel = static_cast<Channel*>(data);
  if (channel->stopped_) return;
  channel->stopped_ = true;
  channel->engine_->stop();
  channel->abandon();
}

void Channel::stop(LastBatch last) {
  if (stopped_) return;
  napi_remove_env_cleanup_hook(env_, onEnvironmentExit, this);
  engine_->stop();
  if (last == LastBatch::deliver) deliver();
  if (stopped_) return;  // a callback was here before us
  stopped_ = true;
  abandon();
  napi_release_threadsafe_function(wake_, napi_tsfn_release);
}

// Whatever nobody will hear of any more.
void Channel::abandon() {
  const Batch rest = engine_->takeBatch();
  for (const engine::Delivery& delivery : rest.events.deliveries) ::close(delivery.fd);
  for (const engine::DialOutcome& dial : rest.dials) {
    if (dial.fd >= 0) ::close(dial.fd);
  }
  waiting_.clear();
  onEvents_.Reset();
}

Napi::Function Channel::take(RequestId request) {
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return {};
  Napi::Function done = found->second.Value();
  waiting_.erase(found);
  return done;
}

// An exception is the embedding program's: it becomes its 'uncaughtException'.
void Channel::call(Napi::Function callback, std::initializer_list<napi_value> values) {
  if (!callback.IsEmpty() && !env_.IsExceptionPending()) callback.Call(values);
  if (!env_.IsExceptionPending()) return;
  napi_value thrown = nullptr;
  if (napi_get_and_clear_last_exception(env_, &thrown) == napi_ok) {
    napi_fatal_exception(env_, thrown);
  }
}

void Channel::deliver() {
  Batch batch = engine_->takeBatch();
  if (!batch.events.empty()) {
    Napi::HandleScope scope(env_);
    call(onEvents_.Value(), {toJs(env_, batch.events)});
  }
  for (const engine::DialOutcome& dial : batch.dials) {
    Napi::HandleScope scope(env_);
    const Napi::Function done = take(dial.request);
    Napi::Object facts = Napi::Object::New(env_);
    facts.Set("peerIdentity", dial.peerIdentity);
    facts.Set("shard", dial.shard);
    facts.Set("flow", static_cast<double>(dial.flow));
    const napi_value error = dial.error ? toJs(env_, *dial.error) : env_.Null();
    if (done.IsEmpty() && dial.fd >= 0) ::close(dial.fd);
    call(done, {error, Napi::Number::New(env_, dial.fd), facts});
  }
  for (const engine::FlowsOutcome& outcome : batch.flows) {
    Napi::HandleScope scope(env_);
    call(take(outcome.request), {toJs(env_, outcome.flows)});
  }
  for (const engine::TunnelsOutcome& outcome : batch.tunnels) {
    Napi::HandleScope scope(env_);
    call(take(outcome.request), {toJs(env_, outcome.tunnels)});
  }
  for (const RequestId request : batch.drained) {
    Napi::HandleScope scope(env_);
    call(take(request), {});
  }
}

}  // namespace onehop::binding
