#pragma once

#include <string>

namespace loadgen {

// Carries every connection to `listen` on to `destination`, bytes as they come, on one thread: what
// a plaintext hop costs at least. An end of one side ends that direction of the other, a reset resets
// it. Prints {"listening":PORT} first.
[[noreturn]] void runRelay(const std::string& listen, const std::string& destination,
                           const std::string& congestion);

}  // namespace loadgen
