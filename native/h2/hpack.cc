#include "h2/hpack.h"

#include <algorithm>

#include "base/check.h"
#include "h2/hpack_static.h"

namespace onehop::h2 {
namespace {

constexpr size_t kEntryOverhead = 32;  // RFC 7541 4.1
constexpr size_t kOverCapFactor = 4;
// No integer of ours needs more; a peer's longer one is an attack or an error either way.
constexpr uint32_t kIntegerMax = 1u << 28;

bool decodeInteger(ByteSpan& in, unsigned prefixBits, uint32_t* value) {
  if (in.empty()) return false;
  const uint32_t mask = (1u << prefixBits) - 1;
  uint32_t result = in[0] & mask;
  in = in.subspan(1);
  if (result < mask) {
    *value = result;
    return true;
  }
  for (unsigned shift = 0; shift <= 28; shift += 7) {
    if (in.empty()) return false;
    const uint8_t byte = in[0];
    in = in.subspan(1);
    const uint64_t sum = result + (uint64_t{byte & 0x7fu} << shift);
    if (sum > kIntegerMax) return false;
    result = static_cast<uint32_t>(sum);
    if ((byte & 0x80) == 0) {
      *value = result;
      return true;
    }
  }
  return false;
}

void encodeInteger(uint8_t first, unsigned prefixBits, size_t value, std::vector<uint8_t>& out) {
  const size_t mask = (size_t{1} << prefixBits) - 1;
  if (value < mask) {
    out.push_back(static_cast<uint8_t>(first | value));
    return;
  }
  out.push_back(static_cast<uint8_t>(first | mask));
  for (value -= mask; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<uint8_t>(value | 0x80));
  }
  out.push_back(static_cast<uint8_t>(value));
}

void encodeString(std::string_view text, std::vector<uint8_t>& out) {
  encodeInteger(0, 7, text.size(), out);
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

void HeaderList::add(std::string_view name, std::string_view value) {
  entries_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(name.size()),
                      static_cast<uint32_t>(value.size())});
  text_.append(name);
  text_.append(value);
}

void HeaderList::clear() {
  text_.clear();
  entries_.clear();
}

HeaderList::Field HeaderList::operator[](size_t index) const {
  CHECK(index < entries_.size());
  const Entry& entry = entries_[index];
  const std::string_view text(text_);
  return {text.substr(entry.offset, entry.nameBytes),
          text.substr(entry.offset + entry.nameBytes, entry.valueBytes)};
}

std::optional<std::string_view> HeaderList::find(std::string_view name) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Field field = (*this)[i];
    if (field.name == name) return field.value;
  }
  return std::nullopt;
}

// Scratch strings live for one block, so that an idle connection holds none.
struct HpackDecoder::Run {
  ByteSpan in;
  const HpackCaps& caps;
  HeaderList& out;
  std::string name;
  std::string value;
  size_t bytes = 0;  // counted with overhead, stored or not
  size_t fields = 0;
  size_t updates = 0;
  HpackOutcome outcome = HpackOutcome::ok;

  size_t storeMax() const { return caps.listBytesMax * kOverCapFactor; }

  bool fail(HpackOutcome why) {
    outcome = why;
    return false;
  }

  bool readString(std::string& into) {
    into.clear();
    if (in.empty()) return fail(HpackOutcome::invalid);
    const bool huffman = (in[0] & 0x80) != 0;
    uint32_t length = 0;
    if (!decodeInteger(in, 7, &length) || length > in.size()) return fail(HpackOutcome::invalid);
    const ByteSpan coded = in.first(length);
    in = in.subspan(length);
    if (!huffman) {
      into.assign(asText(coded));
      return true;
    }
    size_t decoded = 0;
    if (!decodeHuffman(coded, into, storeMax(), &decoded)) return fail(HpackOutcome::invalid);
    return decoded <= storeMax() || fail(HpackOutcome::flood);
  }

  bool emit(std::string_view fieldName, std::string_view fieldValue) {
    ++fields;
    bytes += fieldName.size() + fieldValue.size() + kEntryOverhead;
    if (fields > caps.fieldsMax * kOverCapFactor || bytes > caps.listBytesMax * kOverCapFactor) {
      return fail(HpackOutcome::flood);
    }
    if (fields > caps.fieldsMax || bytes > caps.listBytesMax) {
      outcome = HpackOutcome::tooLarge;
    } else {
      out.add(fieldName, fieldValue);
    }
    return true;
  }
};

HpackDecoder::HpackDecoder(uint32_t tableBytesMax)
    : tableMax_(tableBytesMax), limit_(tableBytesMax) {}

void HpackDecoder::setTableLimit(uint32_t bytes) {
  limit_ = bytes;
  if (tableMax_ > limit_) {
    updateDue_ = true;
    tableMax_ = limit_;
    evictTo(limit_);
  }
}

void HpackDecoder::evictTo(size_t bytes) {
  while (tableBytes_ > bytes) {
    CHECK(count_ > 0);
    Entry& oldest = ring_[(newest_ + count_ - 1) % ring_.size()];
    tableBytes_ -= oldest.name.size() + oldest.value.size() + kEntryOverhead;
    oldest = Entry{};
    --count_;
  }
  if (count_ == 0 && bytes == 0) std::vector<Entry>().swap(ring_);
}

const HpackDecoder::Entry& HpackDecoder::entryAt(size_t index) const {
  CHECK(index < count_);
  return ring_[(newest_ + index) % ring_.size()];
}

void HpackDecoder::insert(std::string_view name, std::string_view value) {
  const size_t bytes = name.size() + value.size() + kEntryOverhead;
  if (bytes > tableMax_) {
    evictTo(0);
    return;
  }
  evictTo(tableMax_ - bytes);
  if (count_ == ring_.size()) {
    // Grows by doubling up to what the table could ever hold, in age order.
    std::vector<Entry> larger(std::max<size_t>(8, ring_.size() * 2));
    for (size_t i = 0; i < count_; ++i) {
      larger[i] = std::move(ring_[(newest_ + i) % ring_.size()]);
    }
    ring_.swap(larger);
    newest_ = 0;
  }
  newest_ = static_cast<uint32_t>((newest_ + ring_.size() - 1) % ring_.size());
  ring_[newest_] = Entry{std::string(name), std::string(value)};
  ++count_;
  tableBytes_ += bytes;
}

bool HpackDecoder::lookup(size_t index, bool withValue, Run& run) const {
  if (index == 0) return run.fail(HpackOutcome::invalid);
  if (index <= kStaticCount) {
    run.name.assign(kStaticFields[index - 1].name);
    if (withValue) run.value.assign(kStaticFields[index - 1].value);
    return true;
  }
  if (index - kStaticCount > count_) return run.fail(HpackOutcome::invalid);
  const Entry& entry = entryAt(index - kStaticCount - 1);
  run.name.assign(entry.name);
  if (withValue) run.value.assign(entry.value);
  return true;
}

bool HpackDecoder::decodeTableUpdate(Run& run) {
  uint32_t bytes = 0;
  // RFC 7541 4.2: only before the first field of a block.
  if (run.fields > 0 || !decodeInteger(run.in, 5, &bytes) || bytes > limit_) {
    return run.fail(HpackOutcome::invalid);
  }
  if (++run.updates > run.caps.tableUpdatesMax) return run.fail(HpackOutcome::flood);
  updateDue_ = false;
  tableMax_ = bytes;
  evictTo(bytes);
  return true;
}

bool HpackDecoder::decodeField(Run& run) {
  const uint8_t first = run.in[0];
  if ((first & 0xe0) == 0x20) return decodeTableUpdate(run);
  if (updateDue_) return run.fail(HpackOutcome::invalid);
  uint32_t index = 0;
  if ((first & 0x80) != 0) {
    if (!decodeInteger(run.in, 7, &index)) return run.fail(HpackOutcome::invalid);
    return lookup(index, true, run) && run.emit(run.name, run.value);
  }
  const bool indexed = (first & 0x40) != 0;
  if (!decodeInteger(run.in, indexed ? 6 : 4, &index)) return run.fail(HpackOutcome::invalid);
  if (index == 0 ? !run.readString(run.name) : !lookup(index, false, run)) return false;
  if (!run.readString(run.value)) return false;
  if (indexed) insert(run.name, run.value);
  return run.emit(run.name, run.value);
}

HpackOutcome HpackDecoder::decode(ByteSpan block, const HpackCaps& caps, HeaderList& out) {
  Run run{block, caps, out, {}, {}};
  while (!run.in.empty()) {
    if (!decodeField(run)) return run.outcome;
  }
  return run.outcome;
}

void HpackEncoder::encode(const HeaderList& fields, std::vector<uint8_t>& out) {
  if (!announced_) {
    announced_ = true;
    out.push_back(0x20);  // table size 0, below whatever the peer allows now or later
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    const HeaderList::Field field = fields[i];
    size_t nameIndex = 0;
    size_t exactIndex = 0;
    for (size_t s = 0; s < kStaticCount && exactIndex == 0; ++s) {
      if (kStaticFields[s].name != field.name) continue;
      if (nameIndex == 0) nameIndex = s + 1;
      if (kStaticFields[s].value == field.value) exactIndex = s + 1;
    }
    if (exactIndex != 0) {
      encodeInteger(0x80, 7, exactIndex, out);
      continue;
    }
    encodeInteger(0x00, 4, nameIndex, out);  // literal without indexing
    if (nameIndex == 0) encodeString(field.name, out);
    encodeString(field.value, out);
  }
}

}  // namespace onehop::h2
