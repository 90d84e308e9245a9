#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "tls/support/session_pair.h"

namespace onehop::tls {

// A foreign TLS program run as a child, its standard streams joined to us. All waits end after 10 s.
class Tool {
 public:
  static bool present(const char* program);
  explicit Tool(std::vector<std::string> command);
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;
  ~Tool();  // kills it
  void write(std::string_view text);
  void closeInput();
  // Reads its output until it holds `text`.
  bool expect(std::string_view text);
  bool ended();
  const std::string& output() const { return output_; }

 private:
  bool readSome(int timeoutMs);
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  bool ended_ = false;
  std::string output_;
};

// PEM files for a tool; removed with the object.
class PemFolder {
 public:
  PemFolder();
  PemFolder(const PemFolder&) = delete;
  PemFolder& operator=(const PemFolder&) = delete;
  ~PemFolder();
  std::string write(const char* name, std::string_view text);

 private:
  std::string path_;
  std::vector<std::string> files_;
};

// A loopback connection that a session is driven over, blocking.
class Wire {
 public:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire();
  // Listens on a free port of loopback.
  int listen();
  bool accept();
  // Tries until a listener is there.
  bool connect(int port);
  // Sends what the endpoint has.
  bool flush(Endpoint& end);
  // Receives until `done` or the peer's FIN; false on error or after 10 s.
  template <typename Done>
  bool run(Endpoint& end, Done done) {
    while (!done()) {
      if (!flush(end) || !receive(end)) return done();
    }
    return flush(end);
  }
  bool sawFin() const { return sawFin_; }
  static int freePort();

 private:
  bool receive(Endpoint& end);
  int listener_ = -1;
  int socket_ = -1;
  bool sawFin_ = false;
};

}  // namespace onehop::tls
