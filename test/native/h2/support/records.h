#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "h2/output.h"

namespace onehop::h2 {

// An Output that keeps what was written as text, and the size of each record.
class Records final : public Output {
 public:
  static constexpr size_t kRecordBytes = kUnitPayloadMax + kFrameHeaderBytes;

  MutableByteSpan room(size_t least) override {
    CHECK(least > 0 && least <= 4096 && !reserved_);
    if (kRecordBytes - open_.size() < least) closeRecord();
    if (text_.size() + open_.size() >= bytesMax) return {};
    room_ = kRecordBytes - open_.size();
    return {scratch_, room_};
  }
  void commit(size_t bytes) override {
    CHECK(bytes > 0 && bytes <= room_);
    open_.append(reinterpret_cast<const char*>(scratch_), bytes);
    room_ = 0;
  }
  size_t reserveUnits(OutputUnit* units, size_t count) override {
    CHECK(count > 0 && count <= kUnitsPerPull && !reserved_);
    closeRecord();
    const size_t free = bytesMax > text_.size() ? bytesMax - text_.size() : 0;
    count = std::min({count, unitsMax, (free + kRecordBytes - 1) / kRecordBytes});
    for (size_t i = 0; i < count; ++i) {
      units[i] = {units_[i], units_[i] + kFrameHeaderBytes, kUnitPayloadMax};
    }
    reserved_ = count;
    return count;
  }
  void commitUnits(size_t fullUnits, size_t lastBytes) override {
    CHECK(reserved_ > 0 && fullUnits + (lastBytes > 0 ? 1 : 0) <= reserved_);
    CHECK(lastBytes <= kRecordBytes);
    for (size_t i = 0; i < fullUnits; ++i) addRecord(units_[i], kRecordBytes);
    if (lastBytes > 0) addRecord(units_[fullUnits], lastBytes);
    reserved_ = 0;
  }

  // All that was written since the last call.
  std::string take() {
    closeRecord();
    std::string text;
    text.swap(text_);
    recordSizes_.clear();
    return text;
  }
  const std::vector<size_t>& closedRecords() {
    closeRecord();
    return recordSizes_;
  }

  size_t bytesMax = size_t{1} << 30;  // full beyond
  size_t unitsMax = kUnitsPerPull;

 private:
  void closeRecord() {
    if (open_.empty()) return;
    recordSizes_.push_back(open_.size());
    text_ += open_;
    open_.clear();
  }
  void addRecord(const uint8_t* bytes, size_t count) {
    recordSizes_.push_back(count);
    text_.append(reinterpret_cast<const char*>(bytes), count);
  }

  uint8_t scratch_[kRecordBytes];
  uint8_t units_[kUnitsPerPull][kRecordBytes];
  std::string open_;
  std::string text_;
  std::vector<size_t> recordSizes_;
  size_t room_ = 0;
  size_t reserved_ = 0;
};

}  // namespace onehop::h2
