#include <string>
#include <vector>

#include "base/check.h"
#include "case.h"
#include "h2/frame.h"
#include "h2/frame_reader.h"
#include "h2/hpack.h"

namespace onehop::micro {
namespace {

using h2::HeaderList;

// The head of a CONNECT as the engine sends it.
HeaderList connectHead() {
  HeaderList head;
  head.add(":method", "CONNECT");
  head.add(":authority", "10.244.1.17:8080");
  head.add("baggage",
           "k8s.namespace.name=shop,k8s.pod.name=web-6d4cf56db6-x2x9p,service.name=web");
  head.add("forwarded", "for=\"10.244.0.12\"");
  head.add("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  return head;
}

// The same head from an encoder that Huffman-codes every text and has it put into the table, as
// Envoy's and the Rust h2 crate do for new values.
constexpr std::string_view kHuffmanHead =
    "4287bdab4e9c17b7ff418c0817134d2e15c2edc780f03f40858c734c398bb6eaf217a87495158c855ea1d2581139"
    "ebfaeaf217acf22f50e92c1e0b1ace48d1256dc923716f22f2fd7f482d9dcc42af50e92c1e0b1f408794f6781d92"
    "164f8d94f641fc840b89a69702e117f340884d83216b1d85a93fa700166a395f14acb6ebb1b2d483706c90af89f9"
    "005015a7597160025038e8c608c6f8051bab003f";

std::vector<uint8_t> fromHex(std::string_view hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(
        static_cast<uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

class Encode final : public Case {
 public:
  int64_t run(uint32_t count) override {
    const int64_t begin = nowNanos();
    for (uint32_t i = 0; i < count; ++i) {
      out_.clear();
      encoder_.encode(head_, out_);
      keep(out_.size());
    }
    return nowNanos() - begin;
  }

 private:
  const HeaderList head_ = connectHead();
  h2::HpackEncoder encoder_;
  std::vector<uint8_t> out_;
};

class Decode final : public Case {
 public:
  explicit Decode(bool huffman) {
    if (huffman) {
      block_ = fromHex(kHuffmanHead);
    } else {
      h2::HpackEncoder().encode(connectHead(), block_);
    }
  }
  int64_t run(uint32_t count) override {
    const int64_t begin = nowNanos();
    for (uint32_t i = 0; i < count; ++i) {
      fields_.clear();
      CHECK(decoder_.decode(block_, h2::HpackCaps{}, fields_) == h2::HpackOutcome::ok);
      CHECK(fields_.size() == 5);
    }
    return nowNanos() - begin;
  }

 private:
  h2::HpackDecoder decoder_;
  HeaderList fields_;
  std::vector<uint8_t> block_;
};

// Cuts what one record carries: frames of one kind, one behind the other.
class Parse final : public Case, h2::FrameReader::Sink {
 public:
  Parse(h2::FrameType type, size_t payloadBytes) {
    constexpr size_t kPlaintext = 16384;
    const size_t frame = h2::kFrameHeaderBytes + payloadBytes;
    frames_ = static_cast<uint32_t>(kPlaintext / frame);
    CHECK(frames_ > 0);
    bytes_.resize(frames_ * frame, 1);
    for (uint32_t i = 0; i < frames_; ++i) {
      h2::storeFrameHeader(bytes_.data() + i * frame, payloadBytes, type, 0, 2 * i + 1);
    }
  }
  int64_t run(uint32_t count) override {
    // Whole records; what is too much counts in proportion.
    const uint32_t records = (count + frames_ - 1) / frames_;
    seen_ = 0;
    const int64_t begin = nowNanos();
    for (uint32_t i = 0; i < records; ++i) {
      CHECK(reader_.feed(bytes_, *this) == h2::FrameReader::Outcome::ok);
    }
    const int64_t spent = nowNanos() - begin;
    CHECK(seen_ == uint64_t{records} * frames_);
    return spent * count / static_cast<int64_t>(seen_);
  }

 private:
  bool onFrameHeader(const h2::FrameHeader&) override { return true; }
  bool onDataPart(const h2::FrameHeader&, ByteSpan, size_t left) override {
    if (left == 0) ++seen_;
    return true;
  }
  bool onFrame(const h2::FrameHeader&, ByteSpan) override {
    ++seen_;
    return true;
  }

  h2::FrameReader reader_{false};
  std::vector<uint8_t> bytes_;
  uint32_t frames_ = 0;
  uint64_t seen_ = 0;
};

}  // namespace

std::unique_ptr<Case> makeProtocolCase(std::string_view name, uint32_t size) {
  if (name == "hpack-encode") return std::make_unique<Encode>();
  if (name == "hpack-decode") return std::make_unique<Decode>(false);
  if (name == "hpack-decode-huffman") return std::make_unique<Decode>(true);
  if (name == "frame-data" && size >= 1 && size <= 16375) {
    return std::make_unique<Parse>(h2::FrameType::data, size);
  }
  if (name == "frame-window") return std::make_unique<Parse>(h2::FrameType::windowUpdate, 4);
  return nullptr;
}

}  // namespace onehop::micro
