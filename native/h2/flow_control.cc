#include "h2/flow_control.h"

#include <algorithm>

#include "base/check.h"
#include "h2/stream.h"

namespace onehop::h2 {
namespace {

// PINGs are rationed by peers (our own flood guard too): 10 a second stay far below.
constexpr Nanos kSampleInterval = 100 * kMillisecond;
constexpr uint32_t kManyBusy = 4;
// Shares are whole records, and so is all that a stream was ever granted: a peer that fills records would
// send what is left of its window as a frame of crumbs.
constexpr auto kUnit = static_cast<uint32_t>(kUnitPayloadMax);

}  // namespace

void WindowLedger::subtract(size_t bytes) {
  CHECK(bytes <= bytes_);
  bytes_ -= bytes;
}

WindowShares::WindowShares(const WindowLimits& limits, WindowLedger* ledger)
    : limits_(limits),
      ledger_(ledger),
      connectionWindow_(kWindowDefault),
      budget_(std::max<uint32_t>(limits.budgetInitial, kWindowDefault)) {
  CHECK(limits.streamMin > 0 && limits.budgetMax <= kWindowMax);
}

bool WindowShares::onArrival(size_t bytes) {
  if (static_cast<int64_t>(bytes) > connectionWindow_) return false;
  connectionWindow_ -= static_cast<int64_t>(bytes);
  arrivedBytes_ += bytes;
  // Only traffic that could come near the window is worth a PING.
  if (!sampling_ && arrivedBytes_ - sampleStartBytes_ >= budget_ / 4) {
    sampleDue_ = budget_ < limits_.budgetMax;
  }
  return true;
}

bool WindowShares::connectionCreditDue() const {
  // A quarter keeps WINDOW_UPDATEs rare and the peer always supplied.
  return static_cast<int64_t>(budget_) - connectionWindow_ >= budget_ / 4;
}

uint32_t WindowShares::takeConnectionCredit() {
  if (!connectionCreditDue()) return 0;
  const int64_t credit = budget_ - connectionWindow_;
  connectionWindow_ = budget_;
  return static_cast<uint32_t>(credit);
}

void WindowShares::hold(Stream& stream, size_t bytes) {
  stream.unconsumed_ += static_cast<uint32_t>(bytes);
  held_ += bytes;
  if (ledger_ != nullptr) ledger_->add(bytes);
}

void WindowShares::release(Stream& stream, size_t bytes) {
  CHECK(bytes <= stream.unconsumed_);
  stream.unconsumed_ -= static_cast<uint32_t>(bytes);
  held_ -= bytes;
  if (ledger_ != nullptr) ledger_->subtract(bytes);
}

bool WindowShares::overloaded() const {
  if (ledger_ == nullptr || !ledger_->full()) return false;
  return held_ > (ledger_->broken() ? limits_.streamMin : ledger_->much());
}

uint32_t WindowShares::share() const {
  if (ledger_ != nullptr && ledger_->scarce() && held_ > ledger_->much()) return limits_.streamMin;
  const uint32_t busy = std::max<uint32_t>(busyStreams_, 1);
  const uint32_t fair = std::max(budget_ / busy, limits_.streamMin);
  return fair < kUnit ? fair : fair - fair % kUnit;
}

uint32_t WindowShares::streamCredit(const Stream& stream) const {
  if (ledger_ != nullptr && ledger_->full() && stream.unconsumed_ > 0) return 0;
  const int64_t target = share();
  const int64_t outstanding = stream.receiveWindow_ + stream.creditDue_ + stream.unconsumed_;
  const int64_t missing = target - outstanding;
  // One of a few streams may need all of its window to fill a long pipe; many fill it together, and then
  // half as many WINDOW_UPDATEs save more than the last quarter of each window is worth.
  const int64_t step = busyStreams_ >= kManyBusy ? target / 2 : target / 4;
  if (missing < step) return 0;
  const auto credit = static_cast<uint32_t>(missing);
  const uint32_t beyond = (stream.grantRest_ + credit) % kUnit;
  return credit >= kUnit + beyond ? credit - beyond : credit;
}

void WindowShares::noteBusy(Stream& stream) {
  if (stream.busyRound_ != busyRound_) {
    stream.busyRound_ = busyRound_;
    ++busyNow_;
    busyStreams_ = std::max(busyStreams_, busyNow_);
  }
  // A round is one budget's worth of arrivals: who took part in it is busy.
  if (arrivedBytes_ - busyRoundBytes_ >= budget_) {
    busyRoundBytes_ = arrivedBytes_;
    busyStreams_ = std::max<uint32_t>(busyNow_, 1);
    busyNow_ = 0;
    busyRound_ = static_cast<uint8_t>(busyRound_ == 255 ? 1 : busyRound_ + 1);
  }
}

void WindowShares::forget(Stream& stream) { release(stream, stream.unconsumed_); }

void WindowShares::startSample(Nanos now) {
  nextSampleAt_ = now + kSampleInterval;
  sampling_ = true;
  sampleDue_ = false;
  // The batch that has just arrived counts: a peer that the window holds back sends a whole window at
  // once, and its answer to the PING comes before the next one.
  sampleStartBytes_ = batchStartBytes_;
}

void WindowShares::noteRoundTrip(Nanos roundTrip) {
  roundTrip = std::max(roundTrip, kMicrosecond);
  roundTripMin_ = roundTripMin_ == 0 ? roundTrip : std::min(roundTrip, roundTripMin_);
}

void WindowShares::endSample(Nanos roundTrip) {
  if (!sampling_) return;
  sampling_ = false;
  noteRoundTrip(roundTrip);
  const bool room = ledger_ == nullptr || !ledger_->scarce();
  // Scaled to the empty path: what makes the round trip longer is our own queue, and a larger window
  // would only make that longer.
  const double bytes = static_cast<double>(arrivedBytes_ - sampleStartBytes_) *
                       static_cast<double>(roundTripMin_) /
                       static_cast<double>(std::max(roundTrip, kMicrosecond));
  if (room && bytes > budget_ / 2) {
    budget_ = static_cast<uint32_t>(
        std::min<uint64_t>(uint64_t{budget_} * 2, std::max(limits_.budgetMax, budget_)));
  }
}

}  // namespace onehop::h2
