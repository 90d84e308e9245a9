#pragma once

#include "io/event_loop.h"
#include "io/tcp_stream.h"

// What the rooms above see of io besides stream.h, under this room's name: they run on the loop and hand
// sockets down, and make no system call.
namespace onehop::transport {

using io::EventLoop;
using io::PassHook;
using io::Retirable;
using io::TcpStream;
using io::Timer;

}  // namespace onehop::transport
