#pragma once

#include <string>

namespace loadgen {

// Serves Hello connections and HTTP/1.1 until killed; prints {"listening":PORT} first. Bulk
// transfers have a thread of their own, so that answers to messages do not wait behind them.
[[noreturn]] void runServer(const std::string& address, const std::string& congestion);

}  // namespace loadgen
