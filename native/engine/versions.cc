#include "engine/versions.h"

#include <utility>

#include "tls/versions.h"

namespace onehop::engine {

Versions versions() {
  tls::Versions found = tls::versions();
  return {std::move(found.running), std::move(found.built), std::move(found.suites),
          std::move(found.groups), std::move(found.mismatch)};
}

}  // namespace onehop::engine
