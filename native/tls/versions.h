#pragma once

#include <string>

namespace onehop::tls {

struct Versions {
  std::string running;  // of the library the symbols were bound to
  std::string built;    // of the headers
  std::string suites;   // what we negotiate, joined by ':'
  std::string groups;
};

// Makes no use of the library beyond asking for its version and groups.
Versions versions();

}  // namespace onehop::tls
