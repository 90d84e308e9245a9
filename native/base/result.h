#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/close_reason.h"

namespace onehop {

// Whose fault an error is, seen from this process.
enum class Side : uint8_t { internal, downstream, upstream };

struct Error {
  CloseReason reason = CloseReason::internal;
  Side side = Side::internal;
  bool retrySafe = false;  // nothing of the flow's bytes has been sent upstream
  int code = 0;            // errno, TLS alert, HTTP/2 error code or HTTP status; 0 when none applies
  std::string detail;      // for logs; never parsed
};

inline Error makeError(CloseReason reason, std::string detail = {}, int code = 0,
                       Side side = Side::internal) {
  return Error{reason, side, false, code, std::move(detail)};
}

// A value or an Error. Test with ok() before touching either.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}           // NOLINT: implicit on purpose
  Result(Error error) : error_(std::move(error)) {}       // NOLINT: implicit on purpose
  bool ok() const { return value_.has_value(); }
  T& value() {
    CHECK(ok());
    return *value_;
  }
  const T& value() const {
    CHECK(ok());
    return *value_;
  }
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<T> value_;
  std::optional<Error> error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}       // NOLINT: implicit on purpose
  bool ok() const { return !error_.has_value(); }
  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace onehop
