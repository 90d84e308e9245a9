#pragma once

#include <cstdint>

namespace onehop::transport {

// What the TLS connections of one shard did, client and server together. One thread writes and reads.
struct TlsCounters {
  uint64_t handshakesActive = 0;  // begun, and neither done, failed nor given up by us
  uint64_t handshakesOk = 0;
  uint64_t handshakesFailed = 0;  // by the peer, the network or the deadline
  uint64_t recordsOpened = 0;     // records of application data; bytes are those of their plaintext
  uint64_t bytesOpened = 0;
  uint64_t recordsSealed = 0;
  uint64_t bytesSealed = 0;
  uint64_t keyUpdates = 0;  // both directions
};

}  // namespace onehop::transport
