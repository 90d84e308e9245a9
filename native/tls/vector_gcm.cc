#include "tls/vector_gcm.h"

#include <cstring>

#include "base/check.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#include "tls/openssl.h"

// Every function that has such instructions says so itself: no other code of the build gets them.
#define VECTOR_TARGET __attribute__((target("avx2,aes,pclmul,vaes,vpclmulqdq")))
#define VECTOR VECTOR_TARGET __attribute__((always_inline)) static inline

namespace onehop::tls {

// Blocks are hashed with their bytes in reverse, as 128-bit numbers; the hash key is kept multiplied by
// x, so that a product of reversed operands comes out in place.
struct VectorGcmCode {
  using One = __m128i;  // a block
  using Two = __m256i;  // two blocks
  using Gcm = VectorGcm;

  static constexpr size_t kBatch = 256;  // bytes that are en- or decrypted and hashed in one step
  static constexpr int kBatchTwos = 8;

  struct Product {  // sums of Karatsuba products, not reduced
    Two low, middle, high;
  };

  VECTOR One load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const One*>(p)); }
  VECTOR Two loadTwo(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Two*>(p));
  }
  VECTOR void store(uint8_t* p, One v) { _mm_storeu_si128(reinterpret_cast<One*>(p), v); }
  VECTOR void storeTwo(uint8_t* p, Two v) { _mm256_storeu_si256(reinterpret_cast<Two*>(p), v); }
  VECTOR Two both(One v) { return _mm256_broadcastsi128_si256(v); }
  VECTOR Two roundKey(const Gcm& g, int round) { return both(load(g.rounds_ + 16 * round)); }
  VECTOR const uint8_t* power(const Gcm& g, size_t n) {
    return g.powers_ + 16 * (Gcm::kPowers - n);
  }
  VECTOR One order() {
    return _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  }
  VECTOR One reverse(One v) { return _mm_shuffle_epi8(v, order()); }
  VECTOR Two reverse(Two v) { return _mm256_shuffle_epi8(v, both(order())); }
  VECTOR Two swapHalves(Two v) { return _mm256_shuffle_epi32(v, 0x4e); }
  VECTOR One swapHalves(One v) { return _mm_shuffle_epi32(v, 0x4e); }
  VECTOR Two exor(Two a, Two b) { return _mm256_xor_si256(a, b); }
  VECTOR One exor(One a, One b) { return _mm_xor_si128(a, b); }
  VECTOR Two zero() { return _mm256_setzero_si256(); }
  VECTOR Two lowOnly(One v) { return _mm256_zextsi128_si256(v); }

  VECTOR void multiplyAdd(Product& p, Two x, Two h) {
    p.low = exor(p.low, _mm256_clmulepi64_epi128(x, h, 0x00));
    p.high = exor(p.high, _mm256_clmulepi64_epi128(x, h, 0x11));
    p.middle = exor(p.middle, _mm256_clmulepi64_epi128(exor(x, swapHalves(x)),
                                                       exor(h, swapHalves(h)), 0x00));
  }

  VECTOR One addHalves(Two v) {
    return exor(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  }

  // The sum of both lanes modulo x^128 + x^7 + x^2 + x + 1, folded from below in two steps.
  VECTOR One reduce(const Product& p) {
    const One polynomial = _mm_set_epi64x(0, static_cast<long long>(0xc200000000000000ull));
    const One low = addHalves(p.low);
    One high = addHalves(p.high);
    One middle = exor(addHalves(p.middle), exor(low, high));
    middle = exor(middle, exor(_mm_clmulepi64_si128(low, polynomial, 0x00), swapHalves(low)));
    high = exor(high, exor(_mm_clmulepi64_si128(middle, polynomial, 0x00), swapHalves(middle)));
    return high;
  }

  VECTOR One multiply(One a, One b) {
    Product p{zero(), zero(), zero()};
    multiplyAdd(p, lowOnly(a), lowOnly(b));
    return reduce(p);
  }

  template <int Rounds>
  VECTOR One encryptBlock(const Gcm& g, One v) {
    v = exor(v, load(g.rounds_));
#pragma GCC unroll 16
    for (int r = 1; r < Rounds; ++r) v = _mm_aesenc_si128(v, load(g.rounds_ + 16 * r));
    return _mm_aesenclast_si128(v, load(g.rounds_ + 16 * Rounds));
  }

  // Counter blocks under the first round key; moves the counter past them.
  template <int Count>
  VECTOR void startStream(const Gcm& g, Two& counter, Two* state) {
    const Two first = roundKey(g, 0);
    const Two step = _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2);
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) {
      state[i] = exor(reverse(counter), first);
      counter = _mm256_add_epi32(counter, step);
    }
  }

  template <int Count>
  VECTOR void streamRound(const Gcm& g, int round, Two* state) {
    const Two key = roundKey(g, round);
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) state[i] = _mm256_aesenc_epi128(state[i], key);
  }

  template <int Rounds, int Count>
  VECTOR void keyStream(const Gcm& g, Two counter, Two* out) {
    startStream<Count>(g, counter, out);
#pragma GCC unroll 16
    for (int r = 1; r < Rounds; ++r) streamRound<Count>(g, r, out);
    const Two last = roundKey(g, Rounds);
#pragma GCC unroll 8
    for (int i = 0; i < Count; ++i) out[i] = _mm256_aesenclast_epi128(out[i], last);
  }

  // The i-th pair of a batch's blocks, with the hash so far added to its first block.
  VECTOR void hashPair(const Gcm& g, Product& p, const uint8_t* batch, int i, One hash) {
    Two x = reverse(loadTwo(batch + 32 * i));
    if (i == 0) x = exor(x, lowOnly(hash));
    multiplyAdd(p, x, loadTwo(power(g, 16) + 32 * i));
  }

  VECTOR One hashBatch(const Gcm& g, const uint8_t* batch, One hash) {
    Product p{zero(), zero(), zero()};
#pragma GCC unroll 8
    for (int i = 0; i < kBatchTwos; ++i) hashPair(g, p, batch, i, hash);
    return reduce(p);
  }

  // One batch in place, and, between its rounds, the hash of a batch of ciphertext (`hashed`, which may
  // be this one before it is decrypted).
  template <int Rounds, bool Hash>
  VECTOR One cryptBatch(const Gcm& g, Two& counter, uint8_t* data, const uint8_t* hashed,
                        One hash) {
    Two state[kBatchTwos];
    Product p{zero(), zero(), zero()};
    startStream<kBatchTwos>(g, counter, state);
#pragma GCC unroll 16
    for (int r = 1; r < Rounds; ++r) {
      streamRound<kBatchTwos>(g, r, state);
      if (Hash && r <= kBatchTwos) hashPair(g, p, hashed, r - 1, hash);
    }
    const Two last = roundKey(g, Rounds);
#pragma GCC unroll 8
    for (int i = 0; i < kBatchTwos; ++i) {
      uint8_t* at = data + 32 * i;
      storeTwo(at, _mm256_aesenclast_epi128(state[i], exor(last, loadTwo(at))));
    }
    return Hash ? reduce(p) : hash;
  }

  // What is left of a message, less than a batch, with the block of lengths: their hash.
  template <int Rounds, bool Encrypt>
  VECTOR One cryptRest(const Gcm& g, Two counter, uint8_t* data, size_t bytes, One lengths,
                       Product p, One hash) {
    const size_t whole = bytes / 32;
    const size_t part = bytes % 32;
    const size_t twos = whole + (part != 0 ? 1 : 0);
    Two stream[kBatchTwos];
    if (twos > 4) {
      keyStream<Rounds, 8>(g, counter, stream);
    } else if (twos > 2) {
      keyStream<Rounds, 4>(g, counter, stream);
    } else if (twos > 1) {
      keyStream<Rounds, 2>(g, counter, stream);
    } else {
      keyStream<Rounds, 1>(g, counter, stream);
    }
    const uint8_t* h = power(g, (bytes + 15) / 16 + 1);
    Two before = lowOnly(hash);
    for (size_t i = 0; i < whole; ++i, h += 32, before = zero()) {
      const Two in = loadTwo(data + 32 * i);
      const Two out = exor(in, stream[i]);
      storeTwo(data + 32 * i, out);
      multiplyAdd(p, exor(reverse(Encrypt ? out : in), before), loadTwo(h));
    }
    Two end = lowOnly(lengths);
    if (part != 0) {
      alignas(32) uint8_t padded[32] = {};
      uint8_t* at = data + 32 * whole;
      std::memcpy(padded, at, part);
      Two cipher = loadTwo(padded);
      storeTwo(padded, exor(cipher, stream[whole]));
      std::memcpy(at, padded, part);
      std::memset(padded + part, 0, sizeof(padded) - part);
      if (Encrypt) cipher = loadTwo(padded);
      const Two x = exor(reverse(cipher), before);
      before = zero();
      if (part <= 16) {
        end = _mm256_inserti128_si256(x, lengths, 1);
      } else {
        multiplyAdd(p, x, loadTwo(h));
        h += 32;
      }
    }
    multiplyAdd(p, exor(end, before), loadTwo(h));
    return reduce(p);
  }

  template <int Rounds, bool Encrypt>
  VECTOR void crypt(const Gcm& g, const uint8_t* nonce, const uint8_t* aad, size_t aadBytes,
                    uint8_t* data, size_t bytes, uint8_t* tag) {
    uint8_t block[16] = {};
    if (aadBytes != 0) std::memcpy(block, aad, aadBytes);
    const One aadBlock = reverse(load(block));
    const One lengths =
        _mm_set_epi64x(static_cast<long long>(aadBytes * 8), static_cast<long long>(bytes * 8));
    std::memcpy(block, nonce, 12);
    block[12] = block[13] = block[14] = 0;
    block[15] = 1;
    const One first = load(block);
    const One mask = encryptBlock<Rounds>(g, first);
    Two counter = _mm256_add_epi32(both(reverse(first)), _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1));
    Product p{zero(), zero(), zero()};
    One hash = _mm_setzero_si128();
    if (bytes < kBatch) {
      const size_t blocks = (aadBytes + 15) / 16 + (bytes + 15) / 16 + 1;
      multiplyAdd(p, lowOnly(aadBlock), lowOnly(load(power(g, blocks))));
    } else {
      hash = aadBytes == 0 ? hash : multiply(aadBlock, load(power(g, 1)));
      if (Encrypt) {
        cryptBatch<Rounds, false>(g, counter, data, nullptr, hash);
        data += kBatch;
        bytes -= kBatch;
      }
      for (; bytes >= kBatch; data += kBatch, bytes -= kBatch) {
        hash = cryptBatch<Rounds, true>(g, counter, data, Encrypt ? data - kBatch : data, hash);
      }
      if (Encrypt) hash = hashBatch(g, data - kBatch, hash);
    }
    hash = cryptRest<Rounds, Encrypt>(g, counter, data, bytes, lengths, p, hash);
    store(tag, exor(reverse(hash), mask));
  }

  VECTOR uint32_t substitute(uint32_t word) {
    const One at1 = _mm_set_epi32(0, 0, static_cast<int>(word), 0);
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_aeskeygenassist_si128(at1, 0)));
  }

  // FIPS 197 section 5.2.
  VECTOR_TARGET static void expand(uint8_t* rounds, const uint8_t* key, size_t keyBytes) {
    uint32_t words[60];
    const size_t given = keyBytes / 4;
    const size_t total = 4 * (given + 7);
    std::memcpy(words, key, keyBytes);
    uint32_t constant = 1;
    for (size_t i = given; i < total; ++i) {
      uint32_t word = words[i - 1];
      if (i % given == 0) {
        word = substitute(word);
        word = (word >> 8 | word << 24) ^ constant;
        constant = (constant << 1) ^ (constant >> 7) * 0x11b;
      } else if (given == 8 && i % given == 4) {
        word = substitute(word);
      }
      words[i] = words[i - given] ^ word;
    }
    std::memcpy(rounds, words, total * 4);
    OPENSSL_cleanse(words, sizeof(words));
  }

  VECTOR_TARGET static void prepare(Gcm& g, const uint8_t* key, size_t keyBytes) {
    expand(g.rounds_, key, keyBytes);
    const One nothing = _mm_setzero_si128();
    const One h = reverse(g.wide_ ? encryptBlock<14>(g, nothing) : encryptBlock<10>(g, nothing));
    // Times x: one bit up, and the bit that falls out comes back as the polynomial.
    const uint64_t low = static_cast<uint64_t>(_mm_cvtsi128_si64(h));
    const uint64_t high = static_cast<uint64_t>(_mm_extract_epi64(h, 1));
    const uint64_t out = 0 - (high >> 63);
    const uint64_t newHigh = (high << 1 | low >> 63) ^ (out & 0xc200000000000000ull);
    const uint64_t newLow = (low << 1) ^ (out & 1);
    const One first = _mm_set_epi64x(static_cast<long long>(newHigh), static_cast<long long>(newLow));
    One power = first;
    for (size_t n = 1; n <= Gcm::kPowers; ++n) {
      store(g.powers_ + 16 * (Gcm::kPowers - n), power);
      power = multiply(power, first);
    }
  }

  template <bool Encrypt>
  VECTOR_TARGET static void run(const Gcm& g, const uint8_t* nonce, const uint8_t* aad,
                                size_t aadBytes, uint8_t* data, size_t bytes, uint8_t* tag) {
    CHECK(aadBytes <= Gcm::kAadMax && bytes <= Gcm::kMessageMax);
    if (g.wide_) {
      crypt<14, Encrypt>(g, nonce, aad, aadBytes, data, bytes, tag);
    } else {
      crypt<10, Encrypt>(g, nonce, aad, aadBytes, data, bytes, tag);
    }
  }
};

bool VectorGcm::supported() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kVaes = 1u << 9;
  constexpr unsigned kVpclmulqdq = 1u << 10;
  // avx2 also says that the kernel keeps the wide registers.
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
         (c & kVaes) != 0 && (c & kVpclmulqdq) != 0;
}

VectorGcm::VectorGcm(const uint8_t* key, size_t keyBytes)
    : powers_{}, rounds_{}, wide_(keyBytes == 32) {
  CHECK(keyBytes == 16 || keyBytes == 32);
  VectorGcmCode::prepare(*this, key, keyBytes);
}

void VectorGcm::encrypt(const uint8_t* nonce, const uint8_t* aad, size_t aadBytes, uint8_t* data,
                        size_t bytes, uint8_t* tag) const {
  VectorGcmCode::run<true>(*this, nonce, aad, aadBytes, data, bytes, tag);
}

void VectorGcm::decrypt(const uint8_t* nonce, const uint8_t* aad, size_t aadBytes, uint8_t* data,
                        size_t bytes, uint8_t* tag) const {
  VectorGcmCode::run<false>(*this, nonce, aad, aadBytes, data, bytes, tag);
}

VectorGcm::~VectorGcm() {
  OPENSSL_cleanse(powers_, sizeof(powers_));
  OPENSSL_cleanse(rounds_, sizeof(rounds_));
}

}  // namespace onehop::tls

#else

namespace onehop::tls {

bool VectorGcm::supported() { return false; }
VectorGcm::VectorGcm(const uint8_t*, size_t) : wide_(false) { CHECK(supported()); }
VectorGcm::~VectorGcm() = default;
void VectorGcm::encrypt(const uint8_t*, const uint8_t*, size_t, uint8_t*, size_t, uint8_t*) const {
  CHECK(supported());
}
void VectorGcm::decrypt(const uint8_t*, const uint8_t*, size_t, uint8_t*, size_t, uint8_t*) const {
  CHECK(supported());
}

}  // namespace onehop::tls

#endif
