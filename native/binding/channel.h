#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "engine/engine.h"

namespace onehop::binding {

// One engine of one JavaScript environment, and the one threadsafe function by which its shards wake
// that environment. Counted by hand, on the JavaScript thread only: the JavaScript object, the
// threadsafe function and each counter array hold it, whoever lets go last frees it. So the counter
// memory outlives the engine's stop for as long as an array over it is alive.
class Channel final : public engine::EngineObserver {
 public:
  // The caller holds one count. Null: could not start, and an exception is pending.
  static Channel* open(Napi::Env env, const engine::EngineOptions& options,
                       Napi::Function onEvents);

  void hold() { ++holders_; }
  void release();

  engine::Engine& engine() { return *engine_; }
  bool stopped() const { return stopped_; }

  // The callback of an asynchronous call; called once, at the latest from stop(). When the call itself
  // fails, forget() it.
  engine::RequestId expect(Napi::Function done);
  void forget(engine::RequestId request) { waiting_.erase(request); }

  // Whether the threadsafe function holds the process open. Not at the start.
  void keepAlive(bool on);
  // Joins the shards; delivers what is left or drops it. Idempotent.
  enum class LastBatch : uint8_t { deliver, drop };
  void stop(LastBatch last);

 private:
  Channel(Napi::Env env, Napi::Function onEvents);
  ~Channel();

  // Any thread.
  void onBatchReady() override;

  static void onWake(napi_env env, napi_value, void* context, void*);
  static void onFunctionGone(napi_env, void* channel, void*);
  static void onEnvironmentExit(void* channel);

  void deliver();
  void call(Napi::Function callback, std::initializer_list<napi_value> values);
  Napi::Function take(engine::RequestId request);
  void abandon();

  Napi::Env env_;
  Napi::FunctionReference onEvents_;
  std::unordered_map<engine::RequestId, Napi::FunctionReference> waiting_;
  engine::RequestId nextRequest_ = 1;
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<engine::Engine> engine_;
  int holders_ = 1;
  bool stopped_ = false;
};

}  // namespace onehop::binding
