#pragma once

#include <string>

namespace loadgen {

// Serves Hello connections on one thread until killed; prints {"listening":PORT} first.
[[noreturn]] void runServer(const std::string& address);

}  // namespace loadgen
