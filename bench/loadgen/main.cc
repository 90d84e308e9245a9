#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "client.h"
#include "cpu.h"
#include "net.h"
#include "relay.h"
#include "server.h"
#include "wire.h"

namespace {

constexpr const char* kUsage =
    "usage: loadgen server IP:PORT [--congestion NAME]\n"
    "       loadgen client WORK IP:PORT[,IP:PORT...] [OPTION VALUE]...\n"
    "       loadgen relay IP:PORT IP:PORT [--congestion NAME]\n"
    "       loadgen cpu PID...\n"
    "WORK: upload, download, ping-pong, connect-close, http, idle, or connect-once: each target\n"
    "once, N at a time, the window is all of it\n"
    "OPTIONS of the client:\n"
    "  --flows N          connections (1)\n"
    "  --beside N         ping-pong flows beside upload or download; the latencies are theirs (0)\n"
    "  --message BYTES    of a message or an HTTP body, 1 to 1000000 (64)\n"
    "  --seconds S        the measured window; idle: how long the flows are held (1)\n"
    "  --warmup S         before the window (0.3)\n"
    "  --rate N           operations per second of all flows, open loop; 0: closed loop (0)\n"
    "  --encoding NAME    of HTTP bodies: fixed or chunked (fixed)\n"
    "  --congestion NAME  TCP congestion control (the kernel's default)\n"
    "  --source IP        connect-close, idle: first source address (towards 127/8: 127.200.x.1)\n"
    "  --sources N        how many are taken in turn (8)\n"
    "  --cpu-of PID[,PID] processes whose CPU seconds in the window are reported\n"
    "It prints one JSON line; idle also {\"connected\":FLOWS} when all stand. cpu prints the CPU\n"
    "nanoseconds of each process, null for one that is not there.\n";

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr, "loadgen: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

double number(const std::string& option, const char* text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != 0 || !(value >= least && value <= most)) {
    usage(option + " wants a number from " + std::to_string(least) + " to " +
          std::to_string(most) + ", not '" + text + "'");
  }
  return value;
}

loadgen::Work work(const std::string& name) {
  if (name == "upload") return loadgen::Work::upload;
  if (name == "download") return loadgen::Work::download;
  if (name == "ping-pong") return loadgen::Work::pingPong;
  if (name == "connect-close") return loadgen::Work::connectClose;
  if (name == "connect-once") return loadgen::Work::connectOnce;
  if (name == "http") return loadgen::Work::http;
  if (name == "idle") return loadgen::Work::idle;
  usage("'" + name + "' is no work");
}

void print(const loadgen::Report& r) {
  const auto count = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  const auto micros = [](uint64_t nanos) { return static_cast<double>(nanos) / 1e3; };
  std::printf("{\"seconds\":%.6f,\"operations\":%llu,\"bytes\":%llu,\"bulkBytes\":%llu,", r.seconds,
              count(r.operations), count(r.bytes), count(r.bulkBytes));
  std::printf("\"failures\":%llu,\"corrupt\":%llu,\"late\":%llu,\"reopened\":%llu,",
              count(r.failures), count(r.corrupt), count(r.late), count(r.reopened));
  std::printf("\"cpuSeconds\":%.6f,\"busiest\":%.4f,\"runDelaySeconds\":%.6f,\"saturated\":%s,",
              r.cpuSeconds, r.busiest, r.runDelaySeconds, r.saturated() ? "true" : "false");
  std::printf("\"p50Us\":%.3f,\"p90Us\":%.3f,\"p99Us\":%.3f,\"p999Us\":%.3f,\"maxUs\":%.3f,",
              micros(r.p50), micros(r.p90), micros(r.p99), micros(r.p999), micros(r.max));
  std::printf("\"peersCpuSeconds\":[");
  for (size_t i = 0; i < r.peersCpuSeconds.size(); ++i) {
    std::printf("%s%.6f", i == 0 ? "" : ",", r.peersCpuSeconds[i]);
  }
  std::printf("],\"firstError\":\"%s\"}\n", r.firstError.c_str());
}

std::vector<int> pids(const char* value) {
  std::vector<int> all;
  for (const char* text = value; *text != 0;) {
    char* end = nullptr;
    const long pid = std::strtol(text, &end, 10);
    if (end == text || pid < 1 || pid > INT32_MAX || (*end != 0 && *end != ',')) {
      usage(std::string("--cpu-of wants process ids, not '") + value + "'");
    }
    all.push_back(static_cast<int>(pid));
    text = *end == ',' ? end + 1 : end;
  }
  return all;
}

void applyOption(loadgen::Plan& plan, const std::string& option, const char* value) {
  if (option == "--flows") {
    plan.flows = static_cast<unsigned>(number(option, value, 1, 60000));
  } else if (option == "--beside") {
    plan.pingFlows = static_cast<unsigned>(number(option, value, 0, 10000));
  } else if (option == "--message") {
    plan.messageBytes = static_cast<uint32_t>(number(option, value, 1, loadgen::kMessageMax));
  } else if (option == "--seconds") {
    plan.seconds = number(option, value, 0.05, 3600);
  } else if (option == "--warmup") {
    plan.warmupSeconds = number(option, value, 0, 60);
  } else if (option == "--rate") {
    plan.rate = number(option, value, 0, 1e7);
  } else if (option == "--encoding") {
    plan.chunked = std::strcmp(value, "chunked") == 0;
    if (!plan.chunked && std::strcmp(value, "fixed") != 0) usage("--encoding: fixed or chunked");
  } else if (option == "--congestion") {
    plan.congestion = value;
  } else if (option == "--source") {
    plan.source = value;
  } else if (option == "--sources") {
    plan.sources = static_cast<unsigned>(number(option, value, 1, 60000));
  } else if (option == "--cpu-of") {
    plan.peers = pids(value);
  } else {
    usage("'" + option + "' is no option");
  }
}

int runClient(int argc, char** argv) {
  if (argc < 4) usage("the client wants a work and a target");
  loadgen::Plan plan;
  plan.work = work(argv[2]);
  for (std::string rest = argv[3]; !rest.empty();) {
    const size_t comma = rest.find(',');
    plan.targets.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  if (plan.targets.empty()) usage("the client wants a target");
  for (int i = 4; i < argc; i += 2) {
    if (i + 1 >= argc) usage(std::string(argv[i]) + " wants a value");
    applyOption(plan, argv[i], argv[i + 1]);
  }
  const bool bulk = plan.work == loadgen::Work::upload || plan.work == loadgen::Work::download;
  if (plan.pingFlows > 0 && !bulk) usage("--beside goes with upload or download");
  if (plan.rate > 0 && (plan.work == loadgen::Work::idle ||
                        plan.work == loadgen::Work::connectOnce || (bulk && plan.pingFlows == 0))) {
    usage("--rate goes with operations");
  }
  prctl(PR_SET_TIMERSLACK, 1);  // nanosecond: operations of an open loop begin when they are due
  print(loadgen::runClient(plan));
  return 0;
}

int printCpu(int argc, char** argv) {
  std::vector<pid_t> asked;
  for (int i = 2; i < argc; ++i) {
    asked.push_back(static_cast<pid_t>(number("cpu", argv[i], 1, 1 << 30)));
  }
  const char* before = "{";
  for (const pid_t pid : asked) {
    const auto nanos = loadgen::processCpuNanos(pid);
    std::printf("%s\"%d\":", before, pid);
    before = ",";
    if (nanos) {
      std::printf("%lld", static_cast<long long>(*nanos));
    } else {
      std::printf("null");
    }
  }
  std::printf("}\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "client") return runClient(argc, argv);
  if (command == "cpu" && argc > 2) return printCpu(argc, argv);
  if (command == "relay") {
    if (argc == 4) loadgen::runRelay(argv[2], argv[3], "");
    if (argc != 6 || std::strcmp(argv[4], "--congestion") != 0) usage("the relay wants two addresses");
    loadgen::runRelay(argv[2], argv[3], argv[5]);
  }
  if (command != "server") usage("what shall it do?");
  if (argc == 3) loadgen::runServer(argv[2], "");
  if (argc != 5 || std::strcmp(argv[3], "--congestion") != 0) usage("the server wants an address");
  loadgen::runServer(argv[2], argv[4]);
}
