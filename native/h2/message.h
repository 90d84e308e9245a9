#pragma once

#include <cstdint>

#include "h2/hpack.h"

namespace onehop::h2 {

enum class MessageKind : uint8_t { request, response, trailers };

struct MessageFacts {
  bool valid = false;
  bool isConnect = false;
  bool isHead = false;
  bool hasAuthority = false;
  int status = 0;               // responses
  int64_t contentLength = -1;   // -1: none declared
};

// RFC 9113 8.2, 8.3 and 8.5: whether the fields make a well-formed message, and what they say.
MessageFacts inspectMessage(MessageKind kind, const HeaderList& fields);

}  // namespace onehop::h2
