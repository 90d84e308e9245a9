#pragma once

#include <napi.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/contract.h"
#include "engine/engine.h"

// Values across the seam, field by field as in contract.ts. No decisions here.
namespace onehop::binding {

// Reads what JavaScript passed. TypeScript has validated it; this only keeps wrong types and numbers
// out of range from reaching the engine. The first problem sticks, later reads return zero values.
class Reader {
 public:
  explicit Reader(Napi::Env env) : env_(env) {}

  bool ok() const { return problem_.empty(); }
  // Throws in JavaScript, code 'argument', unless the read itself has thrown. Returns undefined.
  Napi::Value fail() const;

  Napi::Object object(Napi::Value value, const char* what);
  Napi::Function function(Napi::Value value, const char* what);
  std::string text(Napi::Value value, const char* what);
  uint64_t integer(Napi::Value value, const char* what, uint64_t most);
  bool flag(Napi::Value value, const char* what);
  // Every element of an array, each in a scope of its own.
  template <typename Visit>
  void each(Napi::Value value, const char* what, Visit&& visit) {
    const Napi::Array list = array(value, what);
    const uint32_t length = ok() ? list.Length() : 0;
    for (uint32_t i = 0; i < length && ok(); ++i) {
      Napi::HandleScope scope(env_);
      visit(list.Get(i));
    }
  }

  std::string text(const Napi::Object& from, const char* field);
  uint32_t u32(const Napi::Object& from, const char* field);
  uint64_t handle(const Napi::Object& from, const char* field);
  bool flag(const Napi::Object& from, const char* field);
  // Index into `words`.
  size_t word(const Napi::Object& from, const char* field, const char* const* words, size_t count);
  engine::HeaderPairs headers(const Napi::Object& from, const char* field);

 private:
  Napi::Array array(Napi::Value value, const char* what);
  void wrong(const char* what, const char* wanted);
  Napi::Value get(const Napi::Object& from, const char* field);

  Napi::Env env_;
  std::string problem_;
};

engine::EngineOptions readOptions(Reader& reader, Napi::Value value);
engine::CredentialSpec readCredential(Reader& reader, Napi::Value value);
engine::ListenSpec readListen(Reader& reader, Napi::Value value);
engine::DialSpec readDial(Reader& reader, Napi::Value value);
std::vector<engine::Verdict> readVerdicts(Reader& reader, Napi::Value value);

Napi::Object toJs(Napi::Env env, const engine::CredentialInfo& info);
Napi::Object toJs(Napi::Env env, const engine::Listening& listening);
Napi::Object toJs(Napi::Env env, const engine::EventBatch& batch);
Napi::Array toJs(Napi::Env env, const std::vector<engine::FlowFacts>& flows);
Napi::Array toJs(Napi::Env env, const std::vector<engine::TunnelFacts>& tunnels);
// { reason, code, detail }
Napi::Object toJs(Napi::Env env, const Error& error);
// The tables of the contract, each joined by ','.
Napi::Object contractTables(Napi::Env env);

// Throws an Error with `code` = the reason and `number` = the error's code. Returns undefined.
Napi::Value throwError(Napi::Env env, const Error& error);

}  // namespace onehop::binding
