#pragma once

#include "base/clock.h"

namespace onehop::hbone {

// Every stage of a connection's life ends by itself.
struct HboneDeadlines {
  Nanos dial = 10 * kSecond;
  Nanos handshake = 10 * kSecond;  // accept to the end of the TLS handshake
  Nanos preface = 10 * kSecond;    // to the peer's preface and SETTINGS
  Nanos connect = 15 * kSecond;    // CONNECT sent to its response
  Nanos liveness = 20 * kSecond;   // no progress and no PONG
  Nanos idle = 300 * kSecond;      // without streams
};

}  // namespace onehop::hbone
