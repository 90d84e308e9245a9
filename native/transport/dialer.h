#pragma once

#include "base/address.h"
#include "base/clock.h"
#include "io/dial.h"
#include "io/socket.h"

namespace onehop::transport {

using io::BindChoice;
using io::Dial;
using io::DialEvents;
using io::NetContext;
using io::SocketOptions;

// Where to connect and how the socket is made. Copied where it is kept.
struct DialTarget {
  SocketAddress address;
  BindChoice bind;
  NetContext context;
  SocketOptions socket;
};

}  // namespace onehop::transport
