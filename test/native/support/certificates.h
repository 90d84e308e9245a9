#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tls/credentials.h"

struct evp_pkey_st;
struct x509_st;

namespace onehop::test {

// What is wrong with a certificate.
enum class Flaw {
  none,
  expired,
  notYetValid,
  wrongRoot,            // issued by another authority of the same name
  noSpiffe,             // a DNS name only
  foreignUri,           // one URI, not a SPIFFE one
  wrongTrustDomain,     // spiffe://other.local/...
  clientUsageOnly,      // EKU clientAuth
  serverUsageOnly,      // EKU serverAuth
  codeSigningUsage,     // EKU neither
  brokenSignature,
  missingIntermediate,  // the chain is not complete
  expiredIntermediate,
  intermediateNotAuthority,  // the issuer has CA:FALSE
  depthExceeded,             // six intermediates
  authorityLeaf,        // CA:TRUE
};

struct LeafOptions {
  std::vector<std::string> uris{};
  Flaw flaw = Flaw::none;
  bool extendedUsage = true;  // false: no EKU at all
  bool throughIntermediate = false;
};

struct Issued {
  std::string chainPem;  // leaf first, without the root
  std::string keyPem;
};

// A certificate authority in memory, P-256 throughout.
class Authority {
 public:
  explicit Authority(const std::string& name = "onehop test root");
  const std::string& rootPem() const { return rootPem_; }
  Issued issue(const LeafOptions& options) const;
  Issued issue(const std::string& uri) const { return issue(LeafOptions{{uri}}); }

 private:
  std::string name_;
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> certificate_;
  std::string rootPem_;
};

// The authority tests share.
const Authority& testAuthority();
// Credentials issued and rooted there; aborts the test program when that fails.
std::shared_ptr<const tls::Credentials> testCredentials(const std::string& uri);
std::shared_ptr<const tls::Credentials> testCredentials(const LeafOptions& options);

inline constexpr const char* kClientId = "spiffe://cluster.local/ns/default/sa/client";
inline constexpr const char* kServerId = "spiffe://cluster.local/ns/default/sa/server";

}  // namespace onehop::test
