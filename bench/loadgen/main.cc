#include <csignal>
#include <cstdio>
#include <cstring>

#include "client.h"
#include "net.h"
#include "server.h"

namespace {

constexpr const char* kUsage =
    "usage: loadgen server IP:PORT\n"
    "       loadgen client WORK IP:PORT[,IP:PORT...] [--flows N] [--message BYTES] [--seconds S]\n"
    "                      [--warmup S] [--rate OPERATIONS_PER_SECOND]\n"
    "                      [--cpu-of PID[,PID...]]\n"
    "WORK: upload, download, ping-pong, connect-close, idle\n";

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr, "loadgen: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

double number(const char* option, const char* text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != 0 || value < least || value > most) {
    usage(std::string(option) + " wants a number from " + std::to_string(least) + " to " +
          std::to_string(most) + ", not '" + text + "'");
  }
  return value;
}

loadgen::Work work(const std::string& name) {
  if (name == "upload") return loadgen::Work::upload;
  if (name == "download") return loadgen::Work::download;
  if (name == "ping-pong") return loadgen::Work::pingPong;
  if (name == "connect-close") return loadgen::Work::connectClose;
  if (name == "idle") return loadgen::Work::idle;
  usage("'" + name + "' is no work");
}

void print(const loadgen::Report& r) {
  std::string peers;
  for (double seconds : r.peersCpuSeconds) {
    if (!peers.empty()) peers.push_back(',');
    peers.append(std::to_string(seconds));
  }
  std::printf(
      "{\"seconds\":%.6f,\"operations\":%llu,\"bytes\":%llu,\"failures\":%llu,\"corrupt\":%llu,"
      "\"late\":%llu,\"cpuSeconds\":%.6f,\"p50Us\":%.3f,\"p90Us\":%.3f,\"p99Us\":%.3f,"
      "\"p999Us\":%.3f,\"maxUs\":%.3f,\"peersCpuSeconds\":[%s],\"firstError\":\"%s\"}\n",
      r.seconds, static_cast<unsigned long long>(r.operations),
      static_cast<unsigned long long>(r.bytes), static_cast<unsigned long long>(r.failures),
      static_cast<unsigned long long>(r.corrupt), static_cast<unsigned long long>(r.late),
      r.cpuSeconds, static_cast<double>(r.p50) / 1e3, static_cast<double>(r.p90) / 1e3,
      static_cast<double>(r.p99) / 1e3, static_cast<double>(r.p999) / 1e3,
      static_cast<double>(r.max) / 1e3, peers.c_str(), r.firstError.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && std::strcmp(argv[1], "server") == 0) loadgen::runServer(argv[2]);
  if (argc < 4 || std::strcmp(argv[1], "client") != 0) usage("what shall it do?");
  loadgen::Plan plan;
  plan.work = work(argv[2]);
  for (std::string rest = argv[3]; !rest.empty();) {
    const size_t comma = rest.find(',');
    plan.targets.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  for (int i = 4; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 >= argc) usage(option + " wants a value");
    const char* value = argv[i + 1];
    if (option == "--flows") {
      plan.flows = static_cast<unsigned>(number(argv[i], value, 1, 60000));
    } else if (option == "--message") {
      plan.messageBytes = static_cast<uint32_t>(number(argv[i], value, 1, 1 << 20));
    } else if (option == "--seconds") {
      plan.seconds = number(argv[i], value, 0.05, 3600);
    } else if (option == "--warmup") {
      plan.warmupSeconds = number(argv[i], value, 0, 60);
    } else if (option == "--rate") {
      plan.rate = number(argv[i], value, 1, 1e7);
    } else if (option == "--cpu-of") {
      for (const char* text = value; *text != 0;) {
        char* end = nullptr;
        const long pid = std::strtol(text, &end, 10);
        if (end == text || pid < 1 || (*end != 0 && *end != ',')) {
          usage(std::string("--cpu-of wants process ids, not '") + value + "'");
        }
        plan.peers.push_back(static_cast<int>(pid));
        text = *end == ',' ? end + 1 : end;
      }
    } else {
      usage("'" + option + "' is no option");
    }
  }
  print(loadgen::runClient(plan));
  return 0;
}
