#include "io/helper.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "io/event_loop.h"
#include "io/slice.h"

namespace onehop::io {

namespace {
// Weighs a third of a loop where both compete for one processor, and is put aside when the loop wakes.
constexpr int kNice = 5;
constexpr Nanos kSlice = 100 * kMicrosecond;
}  // namespace

Helper::~Helper() {
  if (running_) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    pthread_join(thread_, nullptr);
  }
  while (first_ != nullptr) first_ = std::move(first_->next);
}

bool Helper::begin() {
  if (!running_) running_ = pthread_create(&thread_, nullptr, &Helper::main, this) == 0;
  return running_;
}

void Helper::send(std::unique_ptr<Errand> errand) {
  if (!begin()) {  // no thread to be had: later than now, but here
    errand->work();
    return complete(std::move(errand));
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Errand* const raw = errand.get();
    (first_ == nullptr ? first_ : last_->next) = std::move(errand);
    last_ = raw;
  }
  changed_.notify_one();
}

void* Helper::main(void* self) {
  static_cast<Helper*>(self)->run();
  return nullptr;
}

void Helper::run() {
  pthread_setname_np(pthread_self(), "onehop-helper");
  const auto id = static_cast<id_t>(syscall(SYS_gettid));
  setpriority(PRIO_PROCESS, id, getpriority(PRIO_PROCESS, id) + kNice);  // a refusal changes nothing
  setSchedulerSlice(kSlice);
  while (true) {
    std::unique_ptr<Errand> errand;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || first_ != nullptr; });
      if (stopping_) return;
      errand = std::move(first_);
      first_ = std::move(errand->next);
    }
    errand->work();
    complete(std::move(errand));
  }
}

void Helper::complete(std::unique_ptr<Errand> errand) {
  const bool pushed = finished_.push(errand);
  CHECK(pushed);
  loop_.wake();
}

void Helper::finishAll() {
  std::unique_ptr<Errand> errand = finished_.takeAll();
  while (errand != nullptr) {
    std::unique_ptr<Errand> next = std::move(errand->next);
    errand->finish();
    errand = std::move(next);
  }
}

}  // namespace onehop::io
