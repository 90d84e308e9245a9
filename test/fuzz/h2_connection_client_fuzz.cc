#include "support/h2_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t length) {
  onehop::h2::Script(onehop::h2::Role::client, bytes, length).play();
  return 0;
}
