#pragma once

#include <string>

namespace onehop::engine {

struct Versions {
  std::string openssl;
  std::string opensslBuilt;
  std::string suites;
  std::string groups;
};

Versions versions();

}  // namespace onehop::engine
