#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loadgen {

enum class Work { upload, download, pingPong, connectClose, idle };

struct Plan {
  Work work = Work::pingPong;
  std::vector<std::string> targets;  // ip:port, taken in turn
  unsigned flows = 1;
  uint32_t messageBytes = 64;
  double warmupSeconds = 0.3;
  double seconds = 1.0;
  double rate = 0;  // operations per second over all flows, open loop; 0 is closed loop
  std::vector<int> peers;  // process ids whose CPU is read at the edges of the measured window
};

struct Report {
  double seconds = 0;         // measured window
  uint64_t operations = 0;    // messages answered, or connections completed
  uint64_t bytes = 0;         // payload moved in the window, one direction
  uint64_t failures = 0;      // refused, reset, short or corrupt, over the whole run
  uint64_t corrupt = 0;
  uint64_t late = 0;          // open loop: operations never started because the flows were all busy
  double cpuSeconds = 0;      // this generator, in the window
  uint64_t p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;  // ns; open loop: from the intended start
  std::vector<double> peersCpuSeconds;  // in the order of Plan::peers; negative: it is gone
  std::string firstError;
};

// Runs the plan on one thread. In open loop the latency of an operation starts when it was due, not when
// a flow was free, so a stall is charged to every operation it delayed.
Report runClient(const Plan& plan);

}  // namespace loadgen
