#pragma once

#include <napi.h>

#include "binding/channel.h"

namespace onehop::binding {

// NativeEngine of contract.ts: each method reads its arguments, calls the engine, converts the answer.
class EngineObject final : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // (options, onEvents)
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject();

 private:
  Napi::Value putCredential(const Napi::CallbackInfo& info);
  Napi::Value removeCredential(const Napi::CallbackInfo& info);
  Napi::Value listen(const Napi::CallbackInfo& info);
  Napi::Value closeListener(const Napi::CallbackInfo& info);
  Napi::Value answer(const Napi::CallbackInfo& info);
  Napi::Value purgePool(const Napi::CallbackInfo& info);
  Napi::Value dial(const Napi::CallbackInfo& info);
  Napi::Value flows(const Napi::CallbackInfo& info);
  Napi::Value tunnels(const Napi::CallbackInfo& info);
  Napi::Value closeFlow(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value engineCounters(const Napi::CallbackInfo& info);
  Napi::Value keepAlive(const Napi::CallbackInfo& info);
  Napi::Value drain(const Napi::CallbackInfo& info);
  Napi::Value summarizeComplete(const Napi::CallbackInfo& info);
  Napi::Value trim(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);

  // The one array over `cells`, made on first use.
  Napi::Value shared(Napi::Env env, Napi::ObjectReference& array, std::span<uint64_t> cells);

  Channel* channel_ = nullptr;  // one count is ours; null only when the constructor threw
  Napi::ObjectReference counters_;
  Napi::ObjectReference engineCounters_;
};

}  // namespace onehop::binding
