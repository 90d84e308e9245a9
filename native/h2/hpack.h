#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace onehop::h2 {

// Header fields in order, in two allocations whatever their number. Views are valid until the next add
// or clear.
class HeaderList {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  HeaderList() = default;
  void add(std::string_view name, std::string_view value);
  void clear();
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  Field operator[](size_t index) const;
  // The first field of that (lower-case) name.
  std::optional<std::string_view> find(std::string_view name) const;
  // As RFC 9113 6.5.2 counts: name + value + 32 for each field.
  size_t listBytes() const { return text_.size() + 32 * entries_.size(); }
  // What it really holds of memory.
  size_t memoryBytes() const { return text_.capacity() + entries_.capacity() * sizeof(Entry); }

 private:
  struct Entry {
    uint32_t offset;
    uint32_t nameBytes;
    uint32_t valueBytes;
  };
  std::string text_;
  std::vector<Entry> entries_;
};

// Caps while decoding one header block. Up to four times a cap the block is still decoded, for the
// table's sake, but not stored (`tooLarge`); beyond that the connection has to go (`flood`).
struct HpackCaps {
  size_t listBytesMax = 16384;
  size_t fieldsMax = 128;
  size_t tableUpdatesMax = 2;  // RFC 7541 4.2 needs at most two
};

enum class HpackOutcome : uint8_t {
  ok,
  tooLarge,  // table state is right, the list is not complete: refuse this message
  flood,     // far over the caps, or an attack shape: drop the connection
  invalid,   // RFC 7541 broken: COMPRESSION_ERROR
};

// RFC 7541 decoder. Holds no memory until the peer fills the dynamic table.
class HpackDecoder {
 public:
  explicit HpackDecoder(uint32_t tableBytesMax = 4096);
  // Our SETTINGS_HEADER_TABLE_SIZE took effect (acknowledged). When it is below the table's present
  // maximum, the next block has to start with a table size update.
  void setTableLimit(uint32_t bytes);
  // Appends the fields of one whole block to `out`.
  HpackOutcome decode(ByteSpan block, const HpackCaps& caps, HeaderList& out);
  size_t tableBytes() const { return tableBytes_; }
  size_t tableEntries() const { return count_; }
  // What the table holds of memory: each text may have a block of its own.
  size_t memoryBytes() const { return ring_.capacity() * sizeof(Entry) + tableBytes_; }

 private:
  struct Entry {
    std::string name;
    std::string value;
  };
  struct Run;  // one decode() call
  void evictTo(size_t bytes);
  void insert(std::string_view name, std::string_view value);
  const Entry& entryAt(size_t index) const;  // 0 = newest
  bool decodeField(Run& run);
  bool decodeTableUpdate(Run& run);
  bool lookup(size_t index, bool withValue, Run& run) const;

  std::vector<Entry> ring_;
  uint32_t newest_ = 0;  // ring index
  uint32_t count_ = 0;
  size_t tableBytes_ = 0;
  uint32_t tableMax_;  // what the encoder chose
  uint32_t limit_;     // what we allow it to choose
  bool updateDue_ = false;
};

// RFC 7541 encoder with a table of size 0: static references and literals. Stateless but for the first
// block, which announces the size.
class HpackEncoder {
 public:
  void encode(const HeaderList& fields, std::vector<uint8_t>& out);

 private:
  bool announced_ = false;
};

// RFC 7541 5.2: appends the decoded text; false when the coding is invalid. Stops storing (but not
// checking) after `storeMax` bytes; `decodedBytes` counts all.
bool decodeHuffman(ByteSpan coded, std::string& out, size_t storeMax, size_t* decodedBytes);

}  // namespace onehop::h2
