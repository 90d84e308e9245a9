#pragma once

#include "h2/connection.h"

namespace onehop::h2 {

// Streams closed inside a call are freed when the outermost call is over, so that references in the
// frames above stay good.
struct Connection::Scope {
  explicit Scope(Connection& connection) : connection_(connection) { ++connection_.depth_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() {
    if (--connection_.depth_ == 0) connection_.bury();
  }
  Connection& connection_;
};

}  // namespace onehop::h2
