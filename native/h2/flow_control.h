#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace onehop::h2 {

class Stream;

// A shard's account of bytes that arrived on tunnels and were not passed on. Shared by its connections.
class WindowLedger {
 public:
  explicit WindowLedger(size_t bytesMax) : bytesMax_(bytesMax) {}
  void add(size_t bytes) { bytes_ += bytes; }
  void subtract(size_t bytes);
  size_t bytes() const { return bytes_; }
  // Over three quarters: shares of connections that hold much shrink to their minimum. Over the cap:
  // only streams that hold nothing are given credit, and the stream that delivers to a connection that
  // holds much is reset (windows were granted when there was room, so the cap alone cannot be kept
  // without it). Over twice the cap: the same on every connection that holds more than a trifle.
  bool scarce() const { return bytes_ > bytesMax_ / 4 * 3; }
  bool full() const { return bytes_ > bytesMax_; }
  bool broken() const { return bytes_ > 2 * bytesMax_; }
  // One connection holding this is many times what a drained one does within a turn.
  size_t much() const { return bytesMax_ / 64; }

 private:
  size_t bytes_ = 0;
  size_t bytesMax_;
};

struct WindowLimits {
  uint32_t streamInitial = 256 * 1024;      // SETTINGS_INITIAL_WINDOW_SIZE
  uint32_t streamMin = 32 * 1024;           // the smallest share, but for the cut to whole records
  uint32_t budgetInitial = 2 * 1024 * 1024; // connection window, and sum of shares, at first
  uint32_t budgetMax = 16 * 1024 * 1024;    // as far as the bandwidth-delay estimate may raise it
};

// Receive windows of one connection. The budget follows the bandwidth-delay product: a PING measures
// the round trip, and when more than half a budget arrives within the shortest one seen, it doubles (the
// window was the limit). A stream's share is the budget divided by the streams that are busy.
class WindowShares {
 public:
  WindowShares(const WindowLimits& limits, WindowLedger* ledger);

  // DATA of `bytes` (padding included) arrived: false when the connection window does not allow it.
  bool onArrival(size_t bytes);
  // What the connection's WINDOW_UPDATE should carry now; 0 for none yet. Taken: the window grows.
  uint32_t takeConnectionCredit();
  bool connectionCreditDue() const;
  // Payload that waits for its owner, counted in the shard's ledger.
  void hold(Stream& stream, size_t bytes);
  void release(Stream& stream, size_t bytes);
  // The stream's WINDOW_UPDATE to send now; 0 when the peer has enough, or must wait.
  uint32_t streamCredit(const Stream& stream) const;
  uint32_t share() const;
  void noteBusy(Stream& stream);
  void forget(Stream& stream);

  // Bandwidth-delay sampling. A batch is what one feed() brings.
  void beginBatch() { batchStartBytes_ = arrivedBytes_; }
  bool wantsSample(Nanos now) const { return !sampling_ && sampleDue_ && now >= nextSampleAt_; }
  void startSample(Nanos now);
  void endSample(Nanos roundTrip);
  void noteRoundTrip(Nanos roundTrip);  // any other: SETTINGS, keepalive

  uint32_t budget() const { return budget_; }
  uint64_t arrivedBytes() const { return arrivedBytes_; }
  uint32_t busyStreams() const { return busyStreams_; }
  bool overloaded() const;

 private:
  const WindowLimits& limits_;
  WindowLedger* ledger_;
  int64_t connectionWindow_;  // what the peer may still send
  Nanos nextSampleAt_ = 0;
  Nanos roundTripMin_ = 0;
  uint64_t arrivedBytes_ = 0;
  uint64_t held_ = 0;  // payload that was received and not passed on, of all streams
  uint64_t batchStartBytes_ = 0;
  uint64_t sampleStartBytes_ = 0;
  uint64_t busyRoundBytes_ = 0;  // arrivedBytes_ when the present busy round began
  uint32_t budget_;
  uint32_t busyStreams_ = 0;   // as shares count them: the larger of the last and the present round
  uint32_t busyNow_ = 0;
  uint8_t busyRound_ = 1;
  bool sampling_ = false;
  bool sampleDue_ = false;
};

}  // namespace onehop::h2
