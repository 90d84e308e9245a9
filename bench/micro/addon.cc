// prepare(name, size) makes a case, run(case, count) does it `count` times and returns nanoseconds;
// versions() says which OpenSSL the rooms are bound to. bench/suite/micro knows the cases.

#include <node_api.h>

#include <string>

#include "case.h"
#include "tls/versions.h"

namespace onehop::micro {
namespace {

std::unique_ptr<Case> make(std::string_view name, uint32_t size) {
  if (auto made = makeRecordCase(name, size)) return made;
  if (auto made = makeProtocolCase(name, size)) return made;
  return makeFlowCacheCase(name, size);
}

napi_value refuse(napi_env env, const char* why) {
  napi_throw_type_error(env, nullptr, why);
  return nullptr;
}

napi_value prepare(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  char name[64];
  size_t length = 0;
  uint32_t size = 0;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  if (count != 2 ||
      napi_get_value_string_utf8(env, arguments[0], name, sizeof name, &length) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &size) != napi_ok) {
    return refuse(env, "prepare(name, size)");
  }
  const std::string problem = tls::opensslMismatch();
  if (!problem.empty()) return refuse(env, problem.c_str());
  std::unique_ptr<Case> made = make({name, length}, size);
  if (made == nullptr) return refuse(env, "there is no such case");
  napi_value held = nullptr;
  const auto letGo = [](napi_env, void* data, void*) { delete static_cast<Case*>(data); };
  if (napi_create_external(env, made.get(), letGo, nullptr, &held) != napi_ok) return nullptr;
  made.release();
  return held;
}

napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  void* held = nullptr;
  uint32_t times = 0;
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  if (count != 2 || napi_get_value_external(env, arguments[0], &held) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &times) != napi_ok || times == 0) {
    return refuse(env, "run(case, count)");
  }
  napi_value nanos = nullptr;
  napi_create_int64(env, static_cast<Case*>(held)->run(times), &nanos);
  return nanos;
}

napi_value versions(napi_env env, napi_callback_info) {
  napi_value text = nullptr;
  const std::string running = tls::versions().running;
  napi_create_string_utf8(env, running.data(), running.size(), &text);
  return text;
}

napi_value initialize(napi_env env, napi_value exports) {
  const napi_property_descriptor functions[] = {
    {"prepare", nullptr, prepare, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
    {"run", nullptr, run, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
    {"versions", nullptr, versions, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, 3, functions);
  return exports;
}

NAPI_MODULE(onehop_micro, initialize)

}  // namespace
}  // namespace onehop::micro
