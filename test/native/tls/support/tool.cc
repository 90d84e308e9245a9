#include "tls/support/tool.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "base/check.h"

namespace onehop::tls {
namespace {

constexpr int kPatienceMs = 10'000;

int64_t nowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int bound(int* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  CHECK(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  *port = ntohs(address.sin_port);
  return fd;
}

bool readable(int fd, int timeoutMs) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, timeoutMs) == 1;
}

}  // namespace

bool Tool::present(const char* program) {
  std::string_view path = std::getenv("PATH") != nullptr ? std::getenv("PATH") : "";
  while (!path.empty()) {
    const std::string folder(path.substr(0, path.find(':')));
    if (::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    path.remove_prefix(std::min(path.size(), folder.size() + 1));
  }
  return false;
}

Tool::Tool(std::vector<std::string> command) {
  ::signal(SIGPIPE, SIG_IGN);
  int in[2];
  int out[2];
  CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, out[1], 2);
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  CHECK(posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  in_ = in[1];
  out_ = out[0];
}

Tool::~Tool() {
  closeInput();
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(out_);
}

void Tool::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(in_, text.data(), text.size());
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void Tool::closeInput() {
  if (in_ >= 0) ::close(in_);
  in_ = -1;
}

bool Tool::readSome(int timeoutMs) {
  if (ended_ || !readable(out_, timeoutMs)) return false;
  char room[4096];
  const ssize_t n = ::read(out_, room, sizeof(room));
  if (n <= 0) {
    ended_ = true;
    return false;
  }
  output_.append(room, static_cast<size_t>(n));
  return true;
}

bool Tool::expect(std::string_view text) {
  const int64_t deadline = nowMs() + kPatienceMs;
  while (output_.find(text) == std::string::npos) {
    const int64_t left = deadline - nowMs();
    if (left <= 0 || !readSome(static_cast<int>(left))) return false;
  }
  return true;
}

bool Tool::ended() {
  while (readSome(kPatienceMs)) {
  }
  return ended_;
}

PemFolder::PemFolder() {
  std::string path = "/tmp/onehop-tls-XXXXXX";
  CHECK(::mkdtemp(path.data()) != nullptr);
  path_ = path;
}

PemFolder::~PemFolder() {
  for (const std::string& file : files_) ::unlink(file.c_str());
  ::rmdir(path_.c_str());
}

std::string PemFolder::write(const char* name, std::string_view text) {
  files_.push_back(path_ + "/" + name);
  const int fd = ::open(files_.back().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  CHECK(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(fd);
  return files_.back();
}

Wire::~Wire() {
  if (listener_ >= 0) ::close(listener_);
  if (socket_ >= 0) ::close(socket_);
}

int Wire::freePort() {
  int port = 0;
  ::close(bound(&port));
  return port;
}

int Wire::listen() {
  int port = 0;
  listener_ = bound(&port);
  CHECK(::listen(listener_, 1) == 0);
  return port;
}

bool Wire::accept() {
  if (!readable(listener_, kPatienceMs)) return false;
  socket_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  return socket_ >= 0;
}

bool Wire::connect(int port) {
  const sockaddr_in address = loopback(port);
  const int64_t deadline = nowMs() + kPatienceMs;
  while (nowMs() < deadline) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return true;
    }
    ::close(socket_);
    socket_ = -1;
    ::poll(nullptr, 0, 20);
  }
  return false;
}

bool Wire::flush(Endpoint& end) {
  end.drain();
  size_t sent = 0;
  while (sent < end.wire.size()) {
    const ssize_t n =
        ::send(socket_, end.wire.data() + sent, end.wire.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  end.wire.clear();
  return true;
}

bool Wire::receive(Endpoint& end) {
  if (sawFin_ || !readable(socket_, kPatienceMs)) return false;
  uint8_t room[65536];
  const ssize_t n = ::recv(socket_, room, sizeof(room), 0);
  sawFin_ = n <= 0;
  if (sawFin_) return true;
  const bool good = end.feed({room, static_cast<size_t>(n)});
  if (!good) flush(end);
  return good;
}

}  // namespace onehop::tls
