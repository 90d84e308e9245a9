#include "h2/hpack.h"

#include <gtest/gtest.h>

#include <string>

#include "support/hex.h"

namespace onehop::h2 {
namespace {

const HpackCaps kCaps;

std::string show(const HeaderList& fields) {
  std::string text;
  for (size_t i = 0; i < fields.size(); ++i) {
    text.append(fields[i].name).append("=").append(fields[i].value).append("\n");
  }
  return text;
}

// Decodes one block; the outcome goes into the text when it is not ok.
std::string decode(HpackDecoder& decoder, std::string_view block, const HpackCaps& caps = kCaps) {
  HeaderList fields;
  switch (decoder.decode(asBytes(block), caps, fields)) {
    case HpackOutcome::ok:
      return show(fields);
    case HpackOutcome::tooLarge:
      return "too large";
    case HpackOutcome::flood:
      return "flood";
    case HpackOutcome::invalid:
      return "invalid";
  }
  return "?";
}

std::string decodeFresh(std::string_view block, const HpackCaps& caps = kCaps) {
  HpackDecoder decoder;
  return decode(decoder, block, caps);
}

// RFC 7541 C.2.
TEST(HpackTest, SingleFieldVectors) {
  HpackDecoder decoder;
  EXPECT_EQ(decode(decoder, hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")),
            "custom-key=custom-header\n");
  EXPECT_EQ(decoder.tableBytes(), 55u);
  EXPECT_EQ(decodeFresh(hex("040c 2f73 616d 706c 652f 7061 7468")), ":path=/sample/path\n");
  EXPECT_EQ(decodeFresh(hex("1008 7061 7373 776f 7264 0673 6563 7265 74")), "password=secret\n");
  EXPECT_EQ(decodeFresh(hex("82")), ":method=GET\n");
}

const char* const kRequests[] = {
    ":method=GET\n:scheme=http\n:path=/\n:authority=www.example.com\n",
    ":method=GET\n:scheme=http\n:path=/\n:authority=www.example.com\ncache-control=no-cache\n",
    ":method=GET\n:scheme=https\n:path=/index.html\n:authority=www.example.com\n"
    "custom-key=custom-value\n",
};
const size_t kRequestTableBytes[] = {57, 110, 164};

// RFC 7541 C.3 and C.4.
TEST(HpackTest, RequestVectors) {
  const char* const plain[] = {
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  };
  const char* const huffman[] = {
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  };
  for (const auto& blocks : {plain, huffman}) {
    HpackDecoder decoder;
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(decode(decoder, hex(blocks[i])), kRequests[i]);
      EXPECT_EQ(decoder.tableBytes(), kRequestTableBytes[i]);
      EXPECT_EQ(decoder.tableEntries(), i < 2 ? size_t(i) + 1 : 3u);
    }
  }
}

// RFC 7541 C.5 and C.6: a table of 256 bytes, entries evicted.
TEST(HpackTest, ResponseVectorsEvict) {
  const char* const plain[] = {
      "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a"
      "3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "4803 3330 37c1 c0bf",
      "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04"
      "677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49"
      "553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
  };
  const char* const huffman[] = {
      "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e"
      "919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7"
      "821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed"
      "4ee5 b106 3d50 07",
  };
  const std::string when = "date=Mon, 21 Oct 2013 20:13:21 GMT\n";
  const std::string where = "location=https://www.example.com\n";
  for (const auto& blocks : {plain, huffman}) {
    HpackDecoder decoder(256);
    EXPECT_EQ(decode(decoder, hex(blocks[0])),
              ":status=302\ncache-control=private\n" + when + where);
    EXPECT_EQ(decoder.tableBytes(), 222u);
    EXPECT_EQ(decode(decoder, hex(blocks[1])),
              ":status=307\ncache-control=private\n" + when + where);
    EXPECT_EQ(decoder.tableBytes(), 222u);
    EXPECT_EQ(decoder.tableEntries(), 4u);
    EXPECT_EQ(decode(decoder, hex(blocks[2])),
              ":status=200\ncache-control=private\ndate=Mon, 21 Oct 2013 20:13:22 GMT\n" + where +
                  "content-encoding=gzip\nset-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; "
                  "max-age=3600; version=1\n");
    EXPECT_EQ(decoder.tableBytes(), 215u);
    EXPECT_EQ(decoder.tableEntries(), 3u);
  }
}

TEST(HpackTest, EncoderUsesStaticEntriesAndNoTable) {
  HpackEncoder encoder;
  HeaderList fields;
  fields.add(":method", "CONNECT");
  fields.add(":status", "200");
  fields.add(":authority", "10.0.0.1:80");
  fields.add("baggage", std::string(300, 'b'));
  std::vector<uint8_t> first;
  encoder.encode(fields, first);
  EXPECT_EQ(first[0], 0x20);
  std::vector<uint8_t> second;
  encoder.encode(fields, second);
  EXPECT_EQ(first.size(), second.size() + 1);  // the size is announced once
  HpackDecoder decoder;
  EXPECT_EQ(decode(decoder, asText(first)), show(fields));
  EXPECT_EQ(decode(decoder, asText(second)), show(fields));
  EXPECT_EQ(decoder.tableEntries(), 0u);
}

TEST(HpackTest, HuffmanPaddingAndEos) {
  const auto huffman = [](std::string_view digits, size_t store = 100) {
    std::string out;
    size_t decoded = 0;
    const bool good = decodeHuffman(asBytes(hex(digits)), out, store, &decoded);
    return good ? out + "/" + std::to_string(decoded) : std::string("bad");
  };
  EXPECT_EQ(huffman(""), "/0");
  EXPECT_EQ(huffman("f1e3 c2e5 f23a 6ba0 ab90 f4ff"), "www.example.com/15");
  EXPECT_EQ(huffman("f1e3 c2e5 f23a 6ba0 ab90 f4ff", 3), "www/15");
  EXPECT_EQ(huffman("1f"), "a/1");      // 00011 111
  EXPECT_EQ(huffman("1e"), "bad");      // padding not of ones
  EXPECT_EQ(huffman("1f ff"), "bad");   // 8 bits of padding more than needed
  EXPECT_EQ(huffman("ff"), "bad");      // 8 bits of padding alone
  EXPECT_EQ(huffman("ffff ffff"), "bad");         // EOS
  EXPECT_EQ(huffman("1fff fffffc"), "bad");
  EXPECT_EQ(huffman("ffffff"), "bad");  // an incomplete code
  EXPECT_EQ(huffman("fffffffb"), "\x16/1");  // 30 bits
}

TEST(HpackTest, HuffmanSymbolsOfEveryKindOfLength) {
  // RFC 7541 Appendix B: codes at the edges of the lengths.
  std::string out;
  size_t decoded = 0;
  struct Code {
    int symbol;
    uint32_t bits;
    unsigned length;
  };
  for (const Code& code : {Code{0, 0x1ff8, 13}, Code{1, 0x7fffd8, 23}, Code{'~', 0x1ffd, 13},
                           Code{255, 0x3ffffee, 26}, Code{10, 0x3ffffffc, 30},
                           Code{22, 0x3ffffffe, 30}, Code{249, 0xffffffe, 28},
                           Code{'\\', 0x7fff0, 19}, Code{'z', 0x7b, 7}, Code{'&', 0xf8, 8},
                           Code{'|', 0x7fc, 11}, Code{'<', 0x7ffc, 15}, Code{195, 0x7fff1, 19}, Code{220, 0xffffffd, 28},
                           Code{9, 0xffffea, 24}, Code{127, 0xffffffc, 28}, Code{'0', 0, 5}}) {
    // Twice, then padding.
    uint64_t bits = uint64_t{code.bits} << code.length | code.bits;
    unsigned length = 2 * code.length;
    while (length % 8 != 0) {
      bits = bits << 1 | 1;
      ++length;
    }
    std::string bytes;
    for (unsigned left = length; left > 0; left -= 8) {
      bytes.push_back(static_cast<char>(bits >> (left - 8)));
    }
    out.clear();
    ASSERT_TRUE(decodeHuffman(asBytes(bytes), out, 10, &decoded)) << code.symbol;
    EXPECT_EQ(out, std::string(2, static_cast<char>(code.symbol))) << code.symbol;
  }
}

TEST(HpackTest, RejectsBrokenBlocks) {
  const char* const broken[] = {
      "80",                // index 0
      "be",                // index 62 of an empty table
      "ff ff ff ff ff 7f", // integer beyond reason
      "ff 80 80 80 80 80 80 80 00",  // leading zeros without end
      "40",                // no name
      "40 05 61 62",       // name cut
      "40 01 61",          // no value
      "40 01 61 05 62",    // value cut
      "00 81 ff 00",       // padding of 8 bits
      "7f",                // integer cut
      "82 20",             // table size update after a field
      "3f e2 1f",          // table size 4097, above the limit
      "7f 00 01 61",       // name index 63 of an empty table
  };
  for (const char* block : broken) EXPECT_EQ(decodeFresh(hex(block)), "invalid") << block;
}

TEST(HpackTest, TruncatedAtEveryByteNeverPasses) {
  const std::string block = hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
  for (size_t cut = 1; cut < block.size(); ++cut) {
    EXPECT_EQ(decodeFresh(std::string_view(block).substr(0, cut)), "invalid") << cut;
  }
}

TEST(HpackTest, TableUpdatesAreBounded) {
  EXPECT_EQ(decodeFresh(hex("20 3f e1 1f 82")), ":method=GET\n");  // 0, then 4096
  EXPECT_EQ(decodeFresh(hex("20 20 20 82")), "flood");
}

TEST(HpackTest, ALowerLimitWantsAnUpdateFirst) {
  HpackDecoder decoder;
  EXPECT_EQ(decode(decoder, hex("4001 6101 62")), "a=b\n");
  decoder.setTableLimit(0);
  EXPECT_EQ(decoder.tableEntries(), 0u);
  HpackDecoder strict;
  strict.setTableLimit(0);
  EXPECT_EQ(decode(strict, hex("82")), "invalid");
  EXPECT_EQ(decode(decoder, hex("20 82")), ":method=GET\n");
  EXPECT_EQ(decode(decoder, hex("82")), ":method=GET\n");
  EXPECT_EQ(decode(decoder, hex("4001 6101 62 be")), "invalid");  // nothing is kept
}

TEST(HpackTest, AnEntryAboveTheTableEmptiesIt) {
  HpackDecoder decoder(64);
  EXPECT_EQ(decode(decoder, hex("4001 6101 62")), "a=b\n");
  EXPECT_EQ(decoder.tableEntries(), 1u);
  const std::string big = hex("4001 6140") + std::string(64, 'x');
  EXPECT_EQ(decode(decoder, big), "a=" + std::string(64, 'x') + "\n");
  EXPECT_EQ(decoder.tableEntries(), 0u);
}

// The name of a new entry refers to one that its own insertion evicts.
TEST(HpackTest, InsertWithANameThatIsEvicted) {
  HpackDecoder decoder(64);
  EXPECT_EQ(decode(decoder, hex("4004 6e616d65 0176")), "name=v\n");
  EXPECT_EQ(decode(decoder, hex("7e 02 7777")), "name=ww\n");
  EXPECT_EQ(decode(decoder, hex("be")), "name=ww\n");
  EXPECT_EQ(decoder.tableEntries(), 1u);
}

TEST(HpackTest, CapsFieldsAndBytes) {
  const HpackCaps caps{1000, 10};
  EXPECT_EQ(decodeFresh(std::string(10, '\x82'), caps).substr(0, 12), ":method=GET\n");
  EXPECT_EQ(decodeFresh(std::string(11, '\x82'), caps), "too large");
  EXPECT_EQ(decodeFresh(std::string(40, '\x82'), caps), "too large");
  EXPECT_EQ(decodeFresh(std::string(41, '\x82'), caps), "flood");
  EXPECT_EQ(decodeFresh(hex("0001 617f ea07") + std::string(1001, 'x'), caps), "invalid");
  EXPECT_EQ(decodeFresh(hex("0001 617f ea06") + std::string(127 + 0x36a, 'x'), caps), "too large");
}

// The bomb of CVE-2016-6581: one large entry, referred to by one byte each.
TEST(HpackTest, ABombOfReferencesStops) {
  std::string bomb = hex("4001 617f 8119") + std::string(127 + 0xc81, 'x');
  bomb += std::string(16000, '\xbe');
  EXPECT_EQ(decodeFresh(bomb, {65536, 128}), "flood");
}

TEST(HpackTest, AHuffmanBombStops) {
  // '0' takes five bits: 8/5 of the coded size.
  const std::string coded(30000, '\0');
  std::string block = hex("0001 61 ff");
  size_t rest = coded.size() - 127;
  for (; rest >= 128; rest >>= 7) block.push_back(static_cast<char>(rest | 0x80));
  block.push_back(static_cast<char>(rest));
  EXPECT_EQ(decodeFresh(block + coded, {8192, 128}), "flood");
  EXPECT_EQ(decodeFresh(block + coded, {20000, 128}), "too large");
}

TEST(HpackTest, TooLargeKeepsTheTableRight) {
  HpackDecoder decoder;
  const HpackCaps caps{100, 10};
  EXPECT_EQ(decode(decoder, hex("4001 6164") + std::string(100, 'x'), caps), "too large");
  EXPECT_EQ(decoder.tableEntries(), 1u);
  EXPECT_EQ(decode(decoder, hex("be")), "a=" + std::string(100, 'x') + "\n");
}

TEST(HpackTest, ManyInsertsTurnTheRingOver) {
  HpackDecoder decoder;
  for (int i = 0; i < 2000; ++i) {
    const std::string value = std::to_string(i);
    std::string block = hex("4001 61");
    block.push_back(static_cast<char>(value.size()));
    block += value;
    ASSERT_EQ(decode(decoder, block), "a=" + value + "\n");
    ASSERT_LE(decoder.tableBytes(), 4096u);
    ASSERT_EQ(decode(decoder, "\xbe"), "a=" + value + "\n");
    if (i > 0) {
      ASSERT_EQ(decode(decoder, "\xbf"), "a=" + std::to_string(i - 1) + "\n");
    }
  }
}

TEST(HeaderListTest, FindsCountsAndClears) {
  HeaderList fields;
  fields.add("a", "1");
  fields.add("b", "");
  fields.add("a", "2");
  EXPECT_EQ(fields.find("a").value_or("?"), "1");
  EXPECT_EQ(fields.find("b").value_or("?"), "");
  EXPECT_FALSE(fields.find("c").has_value());
  EXPECT_EQ(fields.listBytes(), 5u + 3 * 32);
  fields.clear();
  EXPECT_TRUE(fields.empty());
}

}  // namespace
}  // namespace onehop::h2
