#include <cstdint>

#include "base/check.h"
#include "h2/hpack.h"

namespace onehop::h2 {
namespace {

// RFC 7541 Appendix B is a canonical code: symbols in order of code, and how many there are of each
// length, say it all. 256 is EOS.
constexpr unsigned kLengthMin = 5;
constexpr unsigned kLengthMax = 30;
constexpr uint8_t kCountOfLength[kLengthMax + 1] = {
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3,
    0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4,
};
constexpr uint16_t kSymbols[257] = {
    48, 49, 50, 97, 99, 101, 105, 111, 115, 116, 32, 37, 45, 46, 47, 51, 52, 53,
    54, 55, 56, 57, 61, 65, 95, 98, 100, 102, 103, 104, 108, 109, 110, 112, 114, 117,
    58, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82,
    83, 84, 85, 86, 87, 89, 106, 107, 113, 118, 119, 120, 121, 122, 38, 42, 44, 59,
    88, 90, 33, 34, 40, 41, 63, 39, 43, 124, 35, 62, 0, 36, 64, 91, 93, 126,
    94, 125, 60, 96, 123, 92, 195, 208, 128, 130, 131, 162, 184, 194, 224, 226, 153, 161,
    167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230, 129, 132, 133, 134, 136, 146, 154,
    156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232,
    233, 1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165,
    166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239, 9, 142, 144, 145, 148, 159,
    171, 206, 215, 225, 236, 237, 199, 207, 234, 235, 192, 193, 200, 201, 202, 205, 210, 213,
    218, 219, 238, 240, 242, 243, 255, 203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245,
    246, 247, 248, 250, 251, 252, 253, 254, 2, 3, 4, 5, 6, 7, 8, 11, 12, 14,
    15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220,
    249, 10, 13, 22, 256,
};

struct LengthRow {
  uint64_t limit;   // codes of this length, left-aligned to 32 bits, are below it
  uint32_t first;   // the first code of this length, right-aligned
  uint16_t offset;  // of its symbol
};

struct LengthTable {
  LengthRow rows[kLengthMax + 1];
};

constexpr LengthTable makeLengthTable() {
  LengthTable table{};
  uint32_t code = 0;
  uint16_t offset = 0;
  for (unsigned length = 1; length <= kLengthMax; ++length) {
    code <<= 1;
    table.rows[length].first = code;
    table.rows[length].offset = offset;
    code += kCountOfLength[length];
    offset = static_cast<uint16_t>(offset + kCountOfLength[length]);
    table.rows[length].limit = uint64_t{code} << (32 - length);
  }
  return table;
}
constexpr LengthTable kLengths = makeLengthTable();
static_assert(kLengths.rows[kLengthMax].limit == uint64_t{1} << 32, "the code is complete");
constexpr uint16_t kEndOfString = 256;

}  // namespace

bool decodeHuffman(ByteSpan coded, std::string& out, size_t storeMax, size_t* decodedBytes) {
  uint64_t window = 0;  // the next `have` bits, right-aligned
  unsigned have = 0;
  size_t next = 0;
  size_t decoded = 0;
  for (;;) {
    while (have <= 32 && next < coded.size()) {
      window = window << 8 | coded[next++];
      have += 8;
    }
    if (have == 0) break;
    // Missing bits read as ones, as the padding has to be.
    const uint64_t aligned = have >= 32 ? window >> (have - 32)
                                        : window << (32 - have) | ((uint64_t{1} << (32 - have)) - 1);
    const uint32_t top = static_cast<uint32_t>(aligned);
    unsigned length = kLengthMin;
    while (top >= kLengths.rows[length].limit) ++length;
    if (length > have) {
      // Only padding may be left: at most 7 bits, all ones.
      const uint64_t ones = (uint64_t{1} << have) - 1;
      if (have > 7 || (window & ones) != ones) return false;
      break;
    }
    CHECK(length <= kLengthMax);
    const LengthRow& row = kLengths.rows[length];
    const uint16_t symbol = kSymbols[row.offset + ((top >> (32 - length)) - row.first)];
    if (symbol == kEndOfString) return false;
    if (decoded++ < storeMax) out.push_back(static_cast<char>(symbol));
    have -= length;
    window &= have == 0 ? 0 : (~uint64_t{0} >> (64 - have));
  }
  *decodedBytes = decoded;
  return true;
}

}  // namespace onehop::h2
