#include "hbone/tunnel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace onehop::hbone {
namespace {

struct FakeCarrier final : TunnelCarrier {
  void sourceReady(h2::Stream&) override { ++ready; }
  void consumed(h2::Stream&, size_t bytes) override { credit += bytes; }
  void resetTunnel(h2::Stream&, h2::ErrorCode code) override { resetCode = static_cast<int>(code); }
  ReceiveGather& gather() override { return gathered; }
  void tunnelGone(h2::Stream&) override { ++gone; }
  // A tunnel only passes its stream back to its carrier and never looks into it.
  h2::Stream& stream() { return *reinterpret_cast<h2::Stream*>(storage); }
  alignas(h2::Stream) unsigned char storage[sizeof(h2::Stream)] = {};
  ReceiveGather gathered;
  size_t credit = 0;
  int ready = 0, gone = 0, resetCode = -1;
};

struct FakeLocal final : io::ByteStream {
  io::IoResult readv(const iovec* parts, int) override {
    if (!input.empty()) {
      const size_t bytes = std::min(parts[0].iov_len, input.size());
      std::copy_n(input.data(), bytes, static_cast<char*>(parts[0].iov_base));
      input.erase(0, bytes);
      return {io::IoState::ok, bytes};
    }
    if (broken) return {io::IoState::failed, 0, CloseReason::downstreamReset, 104};
    return {inputEnded ? io::IoState::end : io::IoState::wouldBlock};
  }
  io::IoResult writev(const iovec* parts, int count) override {
    ++writes;
    size_t taken = 0;
    for (int i = 0; i < count; ++i) {
      const size_t bytes = std::min(parts[i].iov_len, room);
      output.append(static_cast<const char*>(parts[i].iov_base), bytes);
      room -= bytes;
      taken += bytes;
    }
    return {room == 0 ? io::IoState::wouldBlock : io::IoState::ok, taken};
  }
  void closeWrite() override { ended = true; }
  void reset(CloseReason) override { wasReset = true; }
  void setObserver(io::StreamObserver* o) override { observer = o; }
  std::string input, output;
  size_t room = 1 << 20;
  int writes = 0;
  bool inputEnded = false, broken = false, ended = false, wasReset = false;
  io::StreamObserver* observer = nullptr;
};

struct Events final : io::DriverEvents {
  void onMoved(bool, size_t) override {}
  void onDirectionEnd(bool) override { ++ends; }
  void onDriverDone(CloseReason r, int, bool) override { ++done, reason = r; }
  int ends = 0, done = 0;
  CloseReason reason = CloseReason::none;
};

struct TunnelTest : testing::Test {
  FakeCarrier carrier;
  FakeLocal local;
  Events events;
  Tunnel tunnel{carrier, carrier.stream()};
  char bytes[64] = {};
  iovec part{bytes, sizeof bytes};
};

TEST_F(TunnelTest, GathersPayloadsIntoOneWriteAndReturnsCreditWhenWritten) {
  tunnel.attach(local, events);
  tunnel.onPayload(asBytes("one"), false);
  tunnel.onPayload(asBytes("two"), false);
  EXPECT_EQ(carrier.credit, 0u);
  tunnel.flushReceived();
  EXPECT_EQ(local.output, "onetwo");
  EXPECT_EQ(local.writes, 1);
  EXPECT_EQ(carrier.credit, 6u);
}

TEST_F(TunnelTest, KeepsOnlyTheUnsentRestAndHoldsTheEndBack) {
  local.room = 4;
  tunnel.attach(local, events);
  tunnel.onPayload(asBytes("onetwo"), true);
  EXPECT_EQ(carrier.credit, 4u);
  EXPECT_FALSE(local.ended);
  local.room = 100;
  local.observer->onWritable();
  EXPECT_EQ(local.output, "onetwo");
  EXPECT_EQ(carrier.credit, 6u);
  EXPECT_TRUE(local.ended);
  EXPECT_EQ(events.done, 0);  // the other direction goes on
}

TEST_F(TunnelTest, EndsEachDirectionAlone) {
  tunnel.attach(local, events);
  local.input = "hi";
  local.inputEnded = true;
  EXPECT_EQ(tunnel.pull(&part, 1).bytes, 2u);
  EXPECT_EQ(tunnel.pull(&part, 1).state, h2::PullState::end);
  EXPECT_EQ(events.done, 0);
  tunnel.onPayload({}, true);
  EXPECT_TRUE(local.ended);
  EXPECT_EQ(events.reason, CloseReason::complete);
}

TEST_F(TunnelTest, MapsResetsBothWays) {
  tunnel.attach(local, events);
  local.broken = true;
  const h2::Pull pull = tunnel.pull(&part, 1);
  EXPECT_EQ(pull.state, h2::PullState::failed);
  EXPECT_EQ(pull.code, 0xau);
  EXPECT_EQ(events.reason, CloseReason::downstreamReset);

  FakeLocal other;
  Events otherEvents;
  Tunnel second(carrier, carrier.stream());
  second.attach(other, otherEvents);
  second.onPeerReset(CloseReason::upstreamReset, 8);
  EXPECT_TRUE(other.wasReset);
  EXPECT_EQ(otherEvents.reason, CloseReason::upstreamReset);
}

TEST_F(TunnelTest, WorksUnattachedWithBoundedBuffers) {
  std::string big(Tunnel::kWriteBytesMax + 10, 'x');
  const iovec from{big.data(), big.size()};
  EXPECT_EQ(tunnel.writev(&from, 1).bytes, Tunnel::kWriteBytesMax);
  EXPECT_EQ(tunnel.pull(&part, 1).bytes, sizeof bytes);
  tunnel.onPayload(asBytes("back"), true);
  EXPECT_EQ(tunnel.readv(&part, 1).bytes, 4u);
  EXPECT_EQ(carrier.credit, 4u);
  EXPECT_EQ(tunnel.readv(&part, 1).state, io::IoState::end);
}

}  // namespace
}  // namespace onehop::hbone
