#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace loadgen {

enum class Work : uint8_t { upload, download, pingPong, connectClose, connectOnce, http, idle };

struct Plan {
  Work work = Work::pingPong;
  std::vector<std::string> targets;  // ip:port, taken in turn; connectOnce: each once
  unsigned flows = 1;
  unsigned pingFlows = 0;  // ping-pong flows on a thread of their own beside the work
  uint32_t messageBytes = 64;
  double warmupSeconds = 0.3;
  double seconds = 1.0;  // idle: how long the connections are held
  double rate = 0;       // operations per second over all flows, open loop; 0 is closed loop
  bool chunked = false;  // http: ask for chunked answers
  std::string congestion;
  // connect-close and idle: first of the source addresses taken in turn; '' is 127.200.x.1 towards
  // 127/8 and the kernel's choice elsewhere.
  std::string source;
  unsigned sources = 8;
  std::vector<int> peers;  // process ids whose CPU is read at the edges of the window
};

struct Report {
  double seconds = 0;         // measured window
  uint64_t operations = 0;    // answered in the window; idle: flows that still answer at the end
  uint64_t bytes = 0;         // payload moved in the window, one direction
  uint64_t bulkBytes = 0;     // the same of the bulk flows beside ping-pong
  uint64_t failures = 0;      // refused, reset, short, corrupt, unanswered; over the whole run
  uint64_t corrupt = 0;       // of these: wrong bytes
  uint64_t late = 0;          // open loop: operations that found no free flow until the end
  uint64_t reopened = 0;      // http: connections the other side ended between two answers
  double cpuSeconds = 0;      // this generator, in the window
  double busiest = 0;          // share of the window that its busiest thread was running
  double runDelaySeconds = 0;  // its threads were ready and waited for a processor
  uint64_t p50 = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;  // ns; open loop: from the intended start
  std::vector<double> peersCpuSeconds;  // in the order of Plan::peers; negative: it is gone
  std::string firstError;

  bool saturated() const { return busiest >= 0.95; }
};

// Runs the plan, on one thread for each kind of flow. The warm-up begins when each flow has been
// answered once, those that connect for each operation aside. An operation's latency starts when it was
// due, in open loop when the schedule says so, free flow or not: a stall is charged to every
// operation it delayed. Those due in the window are waited for after it; what then has no answer
// counts as a failure, with its age as its latency.
Report runClient(const Plan& plan);

}  // namespace loadgen
