#include "tls/record.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tls/support/hex.h"
#include "tls/support/raw_record.h"

namespace onehop::tls {
namespace {

// RFC 8448 section 3, "Simple 1-RTT Handshake" (TLS_AES_128_GCM_SHA256).
constexpr const char* kClientSecret =
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr const char* kServerSecret =
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
constexpr const char* kClientData =
    "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa 66 bc ab"
    "3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d"
    "ea e6 3a ee bb 21 69 49 15 e4";
constexpr const char* kClientAlert =
    "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3";
constexpr const char* kServerTicket =
    "17 03 03 00 de 3a 6b 8f 90 41 4a 97 d6 95 9c 34 87 68 0d e5 13 4a 2b 24 0e 6c ff ac 11 6e 95"
    "d4 1d 6a f8 f6 b5 80 dc f3 d1 1d 63 c7 58 db 28 9a 01 59 40 25 2f 55 71 3e 06 1d c1 3e 07 88"
    "91 a3 8e fb cf 57 53 ad 8e f1 70 ad 3c 73 53 d1 6d 9d a7 73 b9 ca 7f 2b 9f a1 b6 c0 d4 a3 d0"
    "3f 75 e0 9c 30 ba 1e 62 97 2a c4 6f 75 f7 b9 81 be 63 43 9b 29 99 ce 13 06 46 15 13 98 91 d5"
    "e4 c5 b4 06 f1 6e 3f c1 81 a7 7c a4 75 84 00 25 db 2f 0a 77 f8 1b 5a b0 5b 94 c0 13 46 75 5f"
    "69 23 2c 86 51 9d 86 cb ee ac 87 aa c3 47 d1 43 f9 60 5d 64 f6 50 db 4d 02 3e 70 e9 52 ca 49"
    "fe 51 37 12 1c 74 bc 26 97 68 7e 24 87 46 d6 df 35 30 05 f3 bc e1 86 96 12 9c 81 53 55 6b 3b"
    "6c 67 79 b3 7b f1 59 85 68 4f";
constexpr const char* kServerData =
    "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0 5f 82 aa 1b"
    "36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab f3"
    "32 54 0d d0 32 e1 67 c2 95 5d";
constexpr const char* kServerAlert =
    "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9";
// Secret 00..2f; the records were computed by Python's cryptography package.
constexpr const char* kCountingSecret =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "202122232425262728292a2b2c2d2e2f";

std::vector<uint8_t> counting(size_t bytes) {
  std::vector<uint8_t> out(bytes);
  std::iota(out.begin(), out.end(), uint8_t{0});
  return out;
}

std::string expand(Suite suite, const char* secretHex, const char* label, size_t bytes) {
  const std::vector<uint8_t> secret = fromHex(secretHex);
  std::vector<uint8_t> out(bytes);
  expandLabel(suite, secret.data(), label, out);
  return toHex(out);
}

TEST(KeySchedule, TrafficKeysOfRfc8448) {
  constexpr Suite kSuite = Suite::aes128GcmSha256;
  EXPECT_EQ(expand(kSuite, kClientSecret, "key", 16), "17422dda596ed5d9acd890e3c63f5051");
  EXPECT_EQ(expand(kSuite, kClientSecret, "iv", 12), "5b78923dee08579033e523d9");
  EXPECT_EQ(expand(kSuite, kServerSecret, "key", 16), "9f02283b6c9c07efc26bb9f2ac92e356");
  EXPECT_EQ(expand(kSuite, kServerSecret, "iv", 12), "cf782b88dd83549aadf1e984");
}

TEST(KeySchedule, Aes256AndKeyUpdate) {
  EXPECT_EQ(expand(Suite::aes256GcmSha384, kCountingSecret, "key", 32),
            "6877d022f1c61d24ebb7487c16752d9a4798e40431c75b39320e537c90e23225");
  EXPECT_EQ(expand(Suite::aes256GcmSha384, kCountingSecret, "iv", 12),
            "42822531a0fe88648fc09e9f");
  EXPECT_EQ(expand(Suite::aes256GcmSha384, kCountingSecret, "traffic upd", 48),
            "401331b63e9d59f202e8f041042d9516f4cd7fa2e2ee14631d3b49fc340d7af37fc2c0c9f252d8036f81"
            "ec5b85cbe5db");
  EXPECT_EQ(expand(Suite::aes128GcmSha256, kClientSecret, "traffic upd", 32),
            "fcdfcc72725aaee48bf64e4fd8b749cdbdbab39d90da0b26e2245ca6ea167207");
}

TEST(Record, SealsTheClientRecordsOfRfc8448) {
  RecordSealer sealer(trafficState(Suite::aes128GcmSha256, kClientSecret));
  EXPECT_EQ(sealRecord(sealer, counting(50)), fromHex(kClientData));
  const uint8_t closeNotify[] = {1, 0};
  EXPECT_EQ(sealRecord(sealer, ByteSpan(closeNotify), ContentType::alert), fromHex(kClientAlert));
  EXPECT_EQ(sealer.sequence(), 2u);
}

TEST(Record, OpensTheServerRecordsOfRfc8448) {
  RecordOpener opener(trafficState(Suite::aes128GcmSha256, kServerSecret));
  std::vector<uint8_t> ticket = fromHex(kServerTicket);
  auto opened = opener.open(ticket);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.value().type, ContentType::handshake);
  EXPECT_EQ(opened.value().content.size(), 205u);
  EXPECT_EQ(opened.value().content[0], 4);  // NewSessionTicket
  std::vector<uint8_t> payload = fromHex(kServerData);
  auto second = opener.open(payload);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second.value().type, ContentType::data);
  EXPECT_EQ(toHex(second.value().content), toHex(counting(50)));
  EXPECT_EQ(second.value().content.data(), payload.data() + kRecordHeader) << "not in place";
  std::vector<uint8_t> alert = fromHex(kServerAlert);
  auto third = opener.open(alert);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(third.value().type, ContentType::alert);
  EXPECT_EQ(toHex(third.value().content), "0100");
}

TEST(Record, SealsAes256AtAnySequence) {
  RecordSealer first(trafficState(Suite::aes256GcmSha384, kCountingSecret));
  EXPECT_EQ(toHex(sealRecord(first, "hbone")),
            "170303001620551052701a4d303f4a1c54286e17fa78d96a4e8b46");
  RecordOpener late(
      trafficState(Suite::aes256GcmSha384, kCountingSecret, 0x0102030405060708));
  auto record = fromHex("1703030016d1eb3fd4b9577b8bb256917459103fd20712e9f80af4");
  auto opened = late.open(record);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(asText(opened.value().content), "hbone");
  EXPECT_EQ(late.sequence(), 0x0102030405060709u);
}

TEST(Record, UpdatesKeys) {
  RecordSealer large(trafficState(Suite::aes256GcmSha384, kCountingSecret, 7));
  large.update();
  EXPECT_EQ(large.sequence(), 0u);
  EXPECT_EQ(toHex(sealRecord(large, "hbone")),
            "170303001644f7cce9e211bb392319c5b9a56517793c51ed7a19ec");
  RecordSealer small(trafficState(Suite::aes128GcmSha256, kClientSecret, 9));
  small.update();
  EXPECT_EQ(toHex(sealRecord(small, "hbone")),
            "170303001660b9dee8a693e6f35e024ec28057cc98e3684bc013cf");
}

class RecordBothSuites : public ::testing::TestWithParam<Suite> {
 protected:
  TrafficState state(uint64_t sequence = 0) {
    return trafficState(GetParam(), kCountingSecret, sequence);
  }
  // What open() says of `record` to an opener that expects `sequence`.
  Result<OpenedRecord> open(std::vector<uint8_t>& record, uint64_t sequence = 0) {
    RecordOpener opener(state(sequence));
    return opener.open(record);
  }
  int alertFor(std::vector<uint8_t> record, uint64_t sequence = 0) {
    auto opened = open(record, sequence);
    EXPECT_TRUE(opened.ok() || opened.error().reason == CloseReason::tlsRecord);
    return opened.ok() ? -1 : opened.error().code;
  }
};

TEST_P(RecordBothSuites, CarriesEverySizeEdge) {
  RecordSealer sealer(state());
  RecordOpener opener(state());
  for (const size_t bytes : {0, 1, 15, 16, 17, 255, 16383, 16384}) {
    std::vector<uint8_t> record = sealRecord(sealer, counting(bytes));
    ASSERT_EQ(record.size(), kRecordHeader + bytes + kRecordTrailer);
    auto opened = opener.open(record);
    ASSERT_TRUE(opened.ok()) << bytes;
    EXPECT_EQ(toHex(opened.value().content), toHex(counting(bytes)));
  }
}

TEST_P(RecordBothSuites, RefusesEveryFlippedBitAndWipesTheBytes) {
  RecordSealer sealer(state());
  const std::vector<uint8_t> good = sealRecord(sealer, "a plaintext");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<uint8_t> bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_EQ(alertFor(bad), kAlertBadRecordMac) << "bit " << bit;
  }
  std::vector<uint8_t> bad = good;
  bad.back() ^= 1;
  ASSERT_FALSE(open(bad).ok());
  for (size_t i = kRecordHeader; i < bad.size() - 16; ++i) EXPECT_EQ(bad[i], 0) << i;
}

TEST_P(RecordBothSuites, RefusesEveryTruncation) {
  RecordSealer sealer(state());
  const std::vector<uint8_t> good = sealRecord(sealer, "a plaintext");
  for (size_t bytes = kRecordHeader; bytes < good.size(); ++bytes) {
    std::vector<uint8_t> bad(good.begin(), good.begin() + static_cast<ptrdiff_t>(bytes));
    store16(bad.data() + 3, static_cast<uint16_t>(bytes - kRecordHeader));
    EXPECT_EQ(alertFor(bad), kAlertBadRecordMac) << bytes;
  }
}

TEST_P(RecordBothSuites, RefusesReorderingAndReplay) {
  RecordSealer sealer(state());
  const std::vector<uint8_t> first = sealRecord(sealer, "first");
  const std::vector<uint8_t> second = sealRecord(sealer, "second");
  EXPECT_EQ(alertFor(second), kAlertBadRecordMac);      // before the first
  EXPECT_EQ(alertFor(first, 1), kAlertBadRecordMac);    // again
  EXPECT_EQ(alertFor(second, 1), -1);
}

TEST_P(RecordBothSuites, RefusesAnotherKey) {
  RecordSealer sealer(state());
  sealer.update();
  EXPECT_EQ(alertFor(sealRecord(sealer, "x")), kAlertBadRecordMac);
}

TEST_P(RecordBothSuites, BoundsTheSize) {
  // The largest lawful one: full plaintext, its type, no room for padding.
  std::vector<uint8_t> inner(kRecordPlaintextMax + 1, 'x');
  inner.back() = 23;
  EXPECT_EQ(alertFor(sealInner(state(), inner)), -1);
  // One byte more of padding or plaintext is too much (RFC 8446 5.4).
  inner.push_back(0);
  EXPECT_EQ(alertFor(sealInner(state(), inner)), kAlertRecordOverflow);
  inner.resize(kRecordReceiveMax - kRecordHeader - 16, 0);
  EXPECT_EQ(alertFor(sealInner(state(), inner)), kAlertRecordOverflow);
  inner.push_back(0);
  EXPECT_EQ(alertFor(sealInner(state(), inner)), kAlertRecordOverflow);
}

TEST_P(RecordBothSuites, StripsPaddingAndNeedsAType) {
  auto padded = sealInner(state(), fromHex("6869 17 000000000000"));
  auto opened = open(padded);
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(asText(opened.value().content), "hi");
  // Zero bytes of the content itself stay.
  auto zeros = sealInner(state(), fromHex("0000 17 00"));
  auto kept = open(zeros);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(toHex(kept.value().content), "0000");
  EXPECT_EQ(alertFor(sealInner(state(), std::vector<uint8_t>(1, 0))), kAlertUnexpectedMessage);
  EXPECT_EQ(alertFor(sealInner(state(), std::vector<uint8_t>(16385, 0))), kAlertUnexpectedMessage);
  EXPECT_EQ(alertFor(sealInner(state(), {})), kAlertBadRecordMac);  // no inner byte at all
}

TEST_P(RecordBothSuites, SequenceEdges) {
  for (const uint64_t sequence : {uint64_t{0xff}, uint64_t{0x100}, uint64_t{0xffff'ffff},
                                  uint64_t{0x1'0000'0000}, UINT64_MAX - 1}) {
    auto record = sealInner(state(sequence), fromHex("78 17"));
    EXPECT_EQ(alertFor(record, sequence), -1) << sequence;
  }
  auto last = sealInner(state(UINT64_MAX), fromHex("78 17"));
  EXPECT_EQ(alertFor(last, UINT64_MAX), kAlertBadRecordMac);  // may not wrap
}

TEST_P(RecordBothSuites, NeverSealsPastTheLimitOfAKey) {
  uint8_t record[64] = {};
  RecordSealer last(state(kKeyRecordsMax - 1));
  last.seal(record, 1, ContentType::data);
  EXPECT_DEATH(last.seal(record, 1, ContentType::data), "kKeyRecordsMax");
  last.update();
  last.seal(record, 1, ContentType::data);
  std::vector<uint8_t> large(kRecordMax + 1);
  EXPECT_DEATH(last.seal(large.data(), kRecordPlaintextMax + 1, ContentType::data),
               "kRecordPlaintextMax");
}

INSTANTIATE_TEST_SUITE_P(Suites, RecordBothSuites,
                         ::testing::Values(Suite::aes128GcmSha256, Suite::aes256GcmSha384),
                         [](const auto& at) {
                           return at.param == Suite::aes256GcmSha384 ? "Aes256" : "Aes128";
                         });

}  // namespace
}  // namespace onehop::tls
