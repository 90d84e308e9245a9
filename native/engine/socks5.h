#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/close_reason.h"

namespace onehop::engine {

// The server's half of RFC 1928 up to the request, bytes in, bytes out: no authentication, CONNECT only,
// IPv4, IPv6 and domain names. It never asks for a byte beyond the request, so what follows stays in
// the socket for the relay.
class Socks5 {
 public:
  enum class State : uint8_t {
    methods,  // VER NMETHODS METHODS
    request,  // VER CMD RSV ATYP ADDR PORT
    ready,    // destination() or domain() and port() are known
    failed,   // reply() says why; send it, then close
  };

  State state() const { return state_; }
  // How many more bytes may be fed now; 1 .. 262. 0 when ready or failed.
  size_t wants() const { return state_ >= State::ready ? 0 : need_ - have_; }
  // At most wants() bytes. Appends to `output` what must be sent at once.
  void feed(ByteSpan bytes, std::string& output);

  bool isDomain() const { return domainBytes_ > 0; }
  SocketAddress destination() const;  // not for domains
  std::string domain() const;         // lower case, without the port
  uint16_t port() const;

  // The reply that ends the exchange: success with 0.0.0.0:0, or the code that fits `reason`.
  static std::string reply(CloseReason reason);

 private:
  void feedMethods(std::string& output);
  void feedRequest(std::string& output);
  void fail(std::string& output, uint8_t code);

  std::array<uint8_t, 262> bytes_{};
  uint16_t have_ = 0;
  uint16_t need_ = 2;
  State state_ = State::methods;
  uint8_t domainBytes_ = 0;
};

}  // namespace onehop::engine
