#include "io/slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace onehop::io {

namespace {
// sched_setattr(2), as far as it has been since Linux 3.14; the C library has no declaration.
struct Attributes {
  uint32_t size = sizeof(Attributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // of SCHED_OTHER: the slice, nanoseconds, 100 us to 100 ms
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(Attributes) == 48);
}  // namespace

void setSchedulerSlice(Nanos slice) {
  Attributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;  // somebody knows better
  attributes.runtime = static_cast<uint64_t>(slice);
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace onehop::io
