#include "support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdlib>

#include "base/check.h"

namespace onehop::test {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

constexpr long kHour = 3600;

Key makeKey() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  CHECK(key != nullptr);
  return key;
}

template <typename Write>
std::string toPem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  CHECK(write(bio) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  std::string pem(bytes, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

std::string certificatePem(X509* x) {
  return toPem([x](BIO* bio) { return PEM_write_bio_X509(bio, x); });
}

std::string keyPem(EVP_PKEY* key) {
  return toPem([key](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void addExtension(X509* x, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(x, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

struct Subject {
  std::string name;
  bool authority = false;
  std::string usage{};  // EKU, '' for none
  std::vector<std::string> names{};
  long fromSeconds = -kHour;
  long untilSeconds = 24 * kHour;
};

// Issuer null: self-signed.
Certificate makeCertificate(const Subject& subject, EVP_PKEY* key, X509* issuer,
                            EVP_PKEY* issuerKey) {
  Certificate made(X509_new(), X509_free);
  X509* x = made.get();
  uint8_t serial[8];
  CHECK(X509_set_version(x, 2) == 1 && RAND_bytes(serial, sizeof(serial)) == 1);
  uint64_t number = 0;
  for (const uint8_t byte : serial) number = number << 8 | byte;
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), number >> 1);
  X509_gmtime_adj(X509_getm_notBefore(x), subject.fromSeconds);
  X509_gmtime_adj(X509_getm_notAfter(x), subject.untilSeconds);
  X509_set_pubkey(x, key);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(subject.name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(x, issuer != nullptr ? X509_get_subject_name(issuer) : name);
  addExtension(x, NID_basic_constraints,
               subject.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  addExtension(x, NID_key_usage,
               subject.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!subject.usage.empty()) addExtension(x, NID_ext_key_usage, subject.usage);
  std::string names;
  for (const std::string& one : subject.names) names += (names.empty() ? "" : ",") + one;
  if (!names.empty()) addExtension(x, NID_subject_alt_name, names);
  CHECK(X509_sign(x, issuerKey, EVP_sha256()) > 0);
  return made;
}

Certificate breakSignature(const Certificate& good) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(good.get(), &der);
  CHECK(size > 0);
  der[size - 1] ^= 1;  // the last byte of the ECDSA signature's s
  const uint8_t* at = der;
  Certificate broken(d2i_X509(nullptr, &at, size), X509_free);
  OPENSSL_free(der);
  CHECK(broken != nullptr);
  return broken;
}

Subject leafSubject(const LeafOptions& options) {
  Subject leaf{"leaf"};
  leaf.usage = options.extendedUsage ? "serverAuth,clientAuth" : "";
  for (const std::string& uri : options.uris) leaf.names.push_back("URI:" + uri);
  switch (options.flaw) {
    case Flaw::expired:
      leaf.fromSeconds = -2 * kHour;
      leaf.untilSeconds = -kHour;
      break;
    case Flaw::notYetValid: leaf.fromSeconds = kHour; break;
    case Flaw::noSpiffe: leaf.names = {"DNS:leaf.example"}; break;
    case Flaw::foreignUri: leaf.names = {"URI:https://cluster.local/ns/default/sa/client"}; break;
    case Flaw::wrongTrustDomain:
      leaf.names = {"URI:spiffe://other.local/ns/default/sa/client"};
      break;
    case Flaw::clientUsageOnly: leaf.usage = "clientAuth"; break;
    case Flaw::serverUsageOnly: leaf.usage = "serverAuth"; break;
    case Flaw::codeSigningUsage: leaf.usage = "codeSigning"; break;
    case Flaw::authorityLeaf: leaf.authority = true; break;
    default: break;
  }
  return leaf;
}

int intermediates(const LeafOptions& options) {
  switch (options.flaw) {
    case Flaw::missingIntermediate:
    case Flaw::expiredIntermediate:
    case Flaw::intermediateNotAuthority: return 1;
    case Flaw::depthExceeded: return 6;
    default: return options.throughIntermediate ? 1 : 0;
  }
}

}  // namespace

Authority::Authority(const std::string& name) : name_(name), key_(makeKey()) {
  certificate_ = makeCertificate({name, true}, key_.get(), nullptr, key_.get());
  rootPem_ = certificatePem(certificate_.get());
}

Issued Authority::issue(const LeafOptions& options) const {
  if (options.flaw == Flaw::wrongRoot) {
    LeafOptions same = options;
    same.flaw = Flaw::none;
    return Authority(name_).issue(same);
  }
  Key issuerKey = key_;
  Certificate issuer = certificate_;
  std::string between;
  for (int i = 0; i < intermediates(options); ++i) {
    Subject subject{"intermediate " + std::to_string(i), true};
    if (options.flaw == Flaw::expiredIntermediate) {
      subject.fromSeconds = -2 * kHour;
      subject.untilSeconds = -kHour;
    }
    subject.authority = options.flaw != Flaw::intermediateNotAuthority;
    const Key key = makeKey();
    issuer = makeCertificate(subject, key.get(), issuer.get(), issuerKey.get());
    issuerKey = key;
    between = certificatePem(issuer.get()) + between;
  }
  const Key key = makeKey();
  Certificate leaf =
      makeCertificate(leafSubject(options), key.get(), issuer.get(), issuerKey.get());
  if (options.flaw == Flaw::brokenSignature) leaf = breakSignature(leaf);
  if (options.flaw == Flaw::missingIntermediate) between.clear();
  return {certificatePem(leaf.get()) + between, keyPem(key.get())};
}

const Authority& testAuthority() {
  static const Authority authority;
  return authority;
}

std::shared_ptr<const tls::Credentials> testCredentials(const LeafOptions& options) {
  const Issued issued = testAuthority().issue(options);
  auto made =
      tls::Credentials::parse(issued.chainPem, issued.keyPem, testAuthority().rootPem());
  CHECK(made.ok());
  return made.value();
}

std::shared_ptr<const tls::Credentials> testCredentials(const std::string& uri) {
  return testCredentials(LeafOptions{{uri}});
}

}  // namespace onehop::test
