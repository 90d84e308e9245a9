#pragma once

#include <string>

namespace onehop::engine {

struct Versions {
  std::string openssl;
  std::string opensslBuilt;
  std::string suites;
  std::string groups;
  std::string mismatch;  // why the running OpenSSL does not fit; nothing may be started then
};

Versions versions();

}  // namespace onehop::engine
