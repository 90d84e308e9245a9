#pragma once

#include <string>

namespace onehop::tls {

struct Versions {
  std::string running;  // of the library the symbols were bound to
  std::string built;    // of the headers
  std::string suites;   // what we negotiate, joined by ':'
  std::string groups;   // '' when there is a mismatch
  std::string mismatch;
};

// Safe to call whatever library the process has.
Versions versions();

// Whether code built with the headers of one OpenSSL may call another: both 3.x, and the running one's
// minor not older, as a minor only adds functions and a patch adds none. Numbers as
// OPENSSL_VERSION_NUMBER.
bool opensslFits(unsigned long built, unsigned long running);
// '' when the OpenSSL of this process fits the headers we were built with; else which is which. Nothing
// else of this room may be called then.
std::string opensslMismatch();

}  // namespace onehop::tls
