// Both AEADs against the vectors of the GCM specification, and ours against OpenSSL's.
#include "tls/aead.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tls/support/hex.h"
#include "tls/vector_gcm.h"

namespace onehop::tls {
namespace {

using Bytes = std::vector<uint8_t>;

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 1-3 and 13-15.
struct Vector {
  const char* key;
  const char* nonce;
  const char* plain;
  const char* cipher;
  const char* tag;
};
constexpr const char* kPlain =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
constexpr Vector kVectors[] = {
    {"00000000000000000000000000000000", "000000000000000000000000", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {"00000000000000000000000000000000", "000000000000000000000000",
     "00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
     "ab6e47d42cec13bdf53a67b21257bddf"},
    {"feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", kPlain,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
     "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", kPlain,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
};

class AeadTest : public testing::TestWithParam<AeadChoice> {};

TEST_P(AeadTest, SealsAndOpensTheVectorsOfTheSpecification) {
  for (const Vector& vector : kVectors) {
    const Bytes key = fromHex(vector.key);
    const Bytes nonce = fromHex(vector.nonce);
    Bytes data = fromHex(vector.plain);
    uint8_t tag[Aead::kTagBytes];
    Aead::create(key, Direction::seal, GetParam())->seal(nonce.data(), {}, data, tag);
    EXPECT_EQ(toHex(data), vector.cipher);
    EXPECT_EQ(toHex(tag), vector.tag);
    const auto opener = Aead::create(key, Direction::open, GetParam());
    EXPECT_TRUE(opener->open(nonce.data(), {}, data, tag));
    EXPECT_EQ(toHex(data), vector.plain);
  }
}

TEST_P(AeadTest, RefusesAndWipesWhatWasTamperedWith) {
  const Bytes key(16, 3);
  const Bytes nonce(12, 4);
  const auto sealer = Aead::create(key, Direction::seal, GetParam());
  const auto opener = Aead::create(key, Direction::open, GetParam());
  for (const size_t bytes : {1u, 31u, 300u}) {
    Bytes aad{23, 3, 3, 0, 17};
    Bytes sealed(bytes, 'p');
    Bytes tag(Aead::kTagBytes);
    sealer->seal(nonce.data(), aad, sealed, tag.data());
    const auto refuses = [&](Bytes& where) {
      for (size_t bit = 0; bit < where.size() * 8; ++bit) {
        where[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        Bytes data = sealed;
        EXPECT_FALSE(opener->open(nonce.data(), aad, data, tag.data())) << bytes << " " << bit;
        EXPECT_EQ(data, Bytes(bytes, 0)) << "plaintext was given away";
        where[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      }
    };
    refuses(aad);
    refuses(tag);
    refuses(sealed);
    EXPECT_TRUE(opener->open(nonce.data(), aad, sealed, tag.data()));
    EXPECT_EQ(sealed, Bytes(bytes, 'p'));
  }
}

INSTANTIATE_TEST_SUITE_P(Both, AeadTest, testing::Values(AeadChoice::fastest, AeadChoice::openssl),
                         [](const auto& test) {
                           return test.param == AeadChoice::fastest ? "fastest" : "openssl";
                         });

// Every way through the code: lengths below, at and over a batch, each number of leftover blocks, every
// alignment of the buffer, every length of the additional data, both keys.
TEST(VectorGcm, DoesWhatOpensslDoes) {
  if (!VectorGcm::supported()) GTEST_SKIP() << "this processor has no VAES or no VPCLMULQDQ";
  std::mt19937 random(20);
  const auto fill = [&](Bytes& bytes) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  };
  std::vector<size_t> lengths(1300);
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = i;
  for (size_t i = 16'300; i < 16'500; ++i) lengths.push_back(i);
  constexpr uint8_t kGuard = 0xa5;
  for (const size_t keyBytes : {16u, 32u}) {
    for (const size_t length : lengths) {
      Bytes key(keyBytes), nonce(12), aad(length % (VectorGcm::kAadMax + 1)), plain(length);
      for (Bytes* bytes : {&key, &nonce, &aad, &plain}) fill(*bytes);
      const size_t shift = length % 37;
      Bytes room(shift + length + 64, kGuard);
      uint8_t* at = room.data() + shift;
      std::copy(plain.begin(), plain.end(), at);
      Bytes right = plain;
      uint8_t rightTag[Aead::kTagBytes], tag[Aead::kTagBytes], openTag[Aead::kTagBytes];
      Aead::create(key, Direction::seal, AeadChoice::openssl)
          ->seal(nonce.data(), aad, right, rightTag);
      const VectorGcm gcm(key.data(), key.size());
      gcm.encrypt(nonce.data(), aad.data(), aad.size(), at, length, tag);
      ASSERT_EQ(toHex(tag), toHex(rightTag)) << keyBytes << " " << length;
      ASSERT_EQ(Bytes(at, at + length), right) << keyBytes << " " << length;
      gcm.decrypt(nonce.data(), aad.data(), aad.size(), at, length, openTag);
      ASSERT_EQ(toHex(openTag), toHex(rightTag)) << keyBytes << " " << length;
      ASSERT_EQ(Bytes(at, at + length), plain) << keyBytes << " " << length;
      std::fill(at, at + length, kGuard);
      ASSERT_EQ(room, Bytes(room.size(), kGuard)) << "wrote beside its buffer, " << length;
    }
  }
}

// The counter is 32 bits wide and the hash of a long message is folded again and again.
TEST(VectorGcm, DoesWhatOpensslDoesOnALongMessage) {
  if (!VectorGcm::supported()) GTEST_SKIP() << "this processor has no VAES or no VPCLMULQDQ";
  const Bytes key(32, 0xff);
  const Bytes nonce(12, 0xff);
  const Bytes aad(VectorGcm::kAadMax, 0xff);
  Bytes ours(VectorGcm::kMessageMax - 1, 0xff);
  Bytes right = ours;
  uint8_t tag[Aead::kTagBytes], rightTag[Aead::kTagBytes];
  const VectorGcm gcm(key.data(), key.size());
  gcm.encrypt(nonce.data(), aad.data(), aad.size(), ours.data(), ours.size(), tag);
  Aead::create(key, Direction::seal, AeadChoice::openssl)->seal(nonce.data(), aad, right, rightTag);
  EXPECT_EQ(toHex(tag), toHex(rightTag));
  EXPECT_EQ(std::memcmp(ours.data(), right.data(), right.size()), 0);
}

}  // namespace
}  // namespace onehop::tls
