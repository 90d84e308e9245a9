#include "h2/frame_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "support/raw.h"

namespace onehop::h2 {
namespace {

// Writes down what it is given; DATA parts are joined.
struct Log final : FrameReader::Sink {
  bool onFrameHeader(const FrameHeader& header) override {
    text += "<" + std::to_string(header.type) + ":" + std::to_string(header.length) + ">";
    if (header.type == 77) reader->skipPayload();
    return header.type != stopAt;
  }
  bool onDataPart(const FrameHeader&, ByteSpan part, size_t left) override {
    text += asText(part);
    if (left == 0) text += ".";
    return true;
  }
  bool onFrame(const FrameHeader& header, ByteSpan payload) override {
    text += "[" + std::string(asText(payload)) + "]";
    return header.type != stopAfter;
  }
  std::string text;
  FrameReader* reader = nullptr;
  int stopAt = -1, stopAfter = -1;
};

const std::string kFrames = dataFrame(1, "data") + dataFrame(3, "") + frame(6, 0, 0, "12345678") +
                            frame(4, 1, 0) + frame(77, 0, 9, "skipped") + frame(9, 4, 1, "block");
const std::string kRead = "<0:4>data.<0:0>.<6:8>[12345678]<4:0>[]<77:7><9:5>[block]";

TEST(FrameReaderTest, CutsFramesAtEverySplit) {
  for (size_t cut = 0; cut <= kFrames.size(); ++cut) {
    for (const size_t second : {cut, (cut + kFrames.size()) / 2}) {
      FrameReader reader(false);
      Log log;
      log.reader = &reader;
      const std::string_view bytes(kFrames);
      for (const auto part : {bytes.substr(0, cut), bytes.substr(cut, second - cut),
                              bytes.substr(second)}) {
        ASSERT_EQ(reader.feed(asBytes(part), log), FrameReader::Outcome::ok);
      }
      EXPECT_EQ(log.text, kRead) << cut;
      EXPECT_FALSE(reader.midFrame());
      EXPECT_EQ(reader.memoryBytes(), 0u);
    }
  }
}

TEST(FrameReaderTest, OneByteAtATime) {
  FrameReader reader(true);
  Log log;
  log.reader = &reader;
  for (const char c : kPreface + kFrames) {
    ASSERT_EQ(reader.feed(asBytes(std::string_view(&c, 1)), log), FrameReader::Outcome::ok);
  }
  EXPECT_EQ(log.text, kRead);
}

TEST(FrameReaderTest, RefusesAWrongPrefaceAtItsFirstWrongByte) {
  for (size_t i = 0; i < kPreface.size(); ++i) {
    std::string wrong = kPreface.substr(0, i + 1);
    wrong[i] ^= 1;
    FrameReader reader(true);
    Log log;
    EXPECT_EQ(reader.feed(asBytes(wrong), log), FrameReader::Outcome::badPreface) << i;
    EXPECT_FALSE(reader.prefaceDone());
  }
}

TEST(FrameReaderTest, StopsWhenTheSinkSaysSo) {
  for (const bool atHeader : {true, false}) {
    FrameReader reader(false);
    Log log;
    log.reader = &reader;
    (atHeader ? log.stopAt : log.stopAfter) = 6;
    EXPECT_EQ(reader.feed(asBytes(kFrames), log), FrameReader::Outcome::stopped);
    EXPECT_EQ(log.text, atHeader ? "<0:4>data.<0:0>.<6:8>" : "<0:4>data.<0:0>.<6:8>[12345678]");
  }
}

TEST(FrameReaderTest, KeepsOnlyTheFrameThatIsSplit) {
  FrameReader reader(false);
  Log log;
  log.reader = &reader;
  const std::string big = frame(1, 4, 1, std::string(16384, 'h'));
  ASSERT_EQ(reader.feed(asBytes(std::string_view(big).substr(0, 10000)), log),
            FrameReader::Outcome::ok);
  EXPECT_TRUE(reader.midFrame());
  EXPECT_GE(reader.memoryBytes(), 9991u);
  EXPECT_LE(reader.memoryBytes(), 32768u);
  ASSERT_EQ(reader.feed(asBytes(std::string_view(big).substr(10000)), log),
            FrameReader::Outcome::ok);
  EXPECT_EQ(reader.memoryBytes(), 0u);
}

TEST(FrameReaderTest, TheReservedBitOfAStreamIdIsIgnored) {
  std::string bytes = dataFrame(5, "");
  bytes[5] = static_cast<char>(bytes[5] | 0x80);
  EXPECT_EQ(parseFrameHeader(reinterpret_cast<const uint8_t*>(bytes.data())).streamId, 5u);
}

}  // namespace
}  // namespace onehop::h2
