#pragma once

#include "base/clock.h"

namespace onehop::io {

// Asks the scheduler to give the calling thread the processor sooner and for less at a time: with a
// shorter slice than the thread that runs, it goes before it as soon as it wakes. Its share stays what it
// was. Linux 6.12 and later; nothing happens on others.
void setSchedulerSlice(Nanos slice);

}  // namespace onehop::io
