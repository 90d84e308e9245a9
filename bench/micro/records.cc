#include <algorithm>
#include <vector>

#include "base/check.h"
#include "case.h"
#include "tls/record.h"

namespace onehop::micro {
namespace {

using tls::ContentType;
using tls::RecordOpener;
using tls::RecordSealer;
using tls::Suite;

// As many records as a send block holds, or so much memory of small ones.
constexpr size_t kGroupBytes = 64 * 1024;
constexpr size_t kGroupMax = 256;

tls::TrafficState traffic(Suite suite) {
  tls::TrafficState state;
  state.suite = suite;
  for (size_t i = 0; i < state.secret.size(); ++i) {
    state.secret[i] = static_cast<uint8_t>(i * 7 + 1);
  }
  return state;
}

// A group of records lies in memory as in a send or receive buffer, one behind the other.
class Records : public Case {
 public:
  Records(Suite suite, size_t bytes)
      : sealer_(traffic(suite)),
        opener_(traffic(suite)),
        bytes_(bytes),
        recordBytes_(kRecordHeader + bytes + kRecordTrailer),
        group_(std::clamp<size_t>(kGroupBytes / bytes, 1, kGroupMax)),
        memory_(group_ * recordBytes_, 0x5a) {}

 protected:
  size_t groupOf(uint32_t left) const { return std::min<size_t>(left, group_); }
  void seal(size_t index) {
    keep(sealer_.seal(memory_.data() + index * recordBytes_, bytes_, ContentType::data));
  }
  void open(size_t index) {
    const auto opened = opener_.open({memory_.data() + index * recordBytes_, recordBytes_});
    CHECK(opened.ok() && opened.value().content.size() == bytes_);
  }
  // Both ends move on together long before a key has sealed its records.
  void renew() {
    if (sealer_.sequence() + group_ < tls::kKeyUpdateRecords) return;
    sealer_.update();
    opener_.update();
  }

 private:
  RecordSealer sealer_;
  RecordOpener opener_;
  size_t bytes_;
  size_t recordBytes_;
  size_t group_;
  std::vector<uint8_t> memory_;
};

class Seal final : public Records {
 public:
  using Records::Records;
  int64_t run(uint32_t count) override {
    int64_t spent = 0;
    for (uint32_t done = 0; done < count;) {
      const size_t group = groupOf(count - done);
      renew();
      const int64_t begin = nowNanos();
      for (size_t i = 0; i < group; ++i) seal(i);
      spent += nowNanos() - begin;
      done += static_cast<uint32_t>(group);
    }
    return spent;
  }
};

class Open final : public Records {
 public:
  using Records::Records;
  int64_t run(uint32_t count) override {
    int64_t spent = 0;
    for (uint32_t done = 0; done < count;) {
      const size_t group = groupOf(count - done);
      renew();
      for (size_t i = 0; i < group; ++i) seal(i);
      const int64_t begin = nowNanos();
      for (size_t i = 0; i < group; ++i) open(i);
      spent += nowNanos() - begin;
      done += static_cast<uint32_t>(group);
    }
    return spent;
  }
};

}  // namespace

std::unique_ptr<Case> makeRecordCase(std::string_view name, uint32_t size) {
  if (size < 1 || size > kRecordPlaintextMax) return nullptr;
  if (name == "seal-128") return std::make_unique<Seal>(Suite::aes128GcmSha256, size);
  if (name == "seal-256") return std::make_unique<Seal>(Suite::aes256GcmSha384, size);
  if (name == "open-128") return std::make_unique<Open>(Suite::aes128GcmSha256, size);
  if (name == "open-256") return std::make_unique<Open>(Suite::aes256GcmSha384, size);
  return nullptr;
}

}  // namespace onehop::micro
