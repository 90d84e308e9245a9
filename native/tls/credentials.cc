#include "tls/credentials.h"

#include <ctime>
#include <vector>

#include "tls/handshake.h"
#include "tls/openssl.h"
#include "tls/spiffe_id.h"

namespace onehop::tls {
namespace {

constexpr size_t kPemBytesMax = 1024 * 1024;
constexpr size_t kChainMax = 8;
constexpr long kChainBytesMax = 32 * 1024;
constexpr int kVerifyDepth = 4;
// OpenSSL from 3.2 on would compress the certificates of every handshake anew (RFC 8879) where it was built
// with a library for that, and expand those of a peer. Node 24's has Brotli, at its highest level: two
// thirds of what a handshake costs, for a few hundred bytes. SSL_OP_NO_TX_CERTIFICATE_COMPRESSION and
// SSL_OP_NO_RX_CERTIFICATE_COMPRESSION: 3.0 has no names for them, and does nothing with the bits.
constexpr uint64_t kNoCertificateCompression = uint64_t{3} << 32;

Error bad(std::string text) {
  ERR_clear_error();
  return makeError(CloseReason::noCredential, std::move(text));
}

int noPassword(char*, int, int, void*) { return -1; }

std::vector<std::string> uriNames(const X509* leaf) {
  std::vector<std::string> uris;
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* s = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                      static_cast<size_t>(ASN1_STRING_length(s)));
  }
  return uris;
}

Handshake* handshakeOf(const SSL* ssl) { return static_cast<Handshake*>(SSL_get_ex_data(ssl, 0)); }

int verifyPeer(X509_STORE_CTX* store, void*) {
  auto* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(store);
  if (sent != nullptr && sk_X509_num(sent) > static_cast<int>(kChainMax)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    return 0;
  }
  if (X509_verify_cert(store) != 1) return 0;
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if ((X509_get_extension_flags(leaf) & EXFLAG_CA) != 0) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
    return 0;
  }
  if (handshakeOf(ssl)->checkPeer(uriNames(leaf))) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int selectAlpn(SSL*, const unsigned char** out, unsigned char* outBytes, const unsigned char* in,
               unsigned inBytes, void*) {
  for (unsigned i = 0; i + 1 <= inBytes && i + 1 + in[i] <= inBytes; i += 1u + in[i]) {
    if (in[i] != 2 || in[i + 1] != 'h' || in[i + 2] != '2') continue;
    *out = in + i + 1;
    *outBytes = 2;
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int onHello(SSL* ssl, int* alert, void*) {
  const unsigned char* extension = nullptr;
  size_t bytes = 0;
  constexpr unsigned kAlpnExtension = 16;
  if (SSL_client_hello_get0_ext(ssl, kAlpnExtension, &extension, &bytes) == 1) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  *alert = kAlertNoApplicationProtocol;
  return SSL_CLIENT_HELLO_ERROR;
}

SslContextPtr makeContext(bool server, const std::vector<X509Ptr>& chain, EVP_PKEY* key,
                          const std::vector<X509Ptr>& roots) {
  SslContextPtr c(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (!c) return nullptr;
  SSL_CTX_set_security_level(c.get(), 2);
  bool good = SSL_CTX_set_min_proto_version(c.get(), TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(c.get(), TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_ciphersuites(
                  c.get(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1;
  good = good && (SSL_CTX_set1_groups_list(c.get(), "*X25519MLKEM768:*X25519:P-256") == 1 ||
                  SSL_CTX_set1_groups_list(c.get(), "X25519:P-256") == 1);
  good = good && SSL_CTX_use_certificate(c.get(), chain[0].get()) == 1 &&
         SSL_CTX_use_PrivateKey(c.get(), key) == 1 && SSL_CTX_check_private_key(c.get()) == 1;
  for (size_t i = 1; good && i < chain.size(); ++i) {
    if (X509_self_signed(chain[i].get(), 0) == 1) continue;  // the peer has its own roots
    good = SSL_CTX_add1_chain_cert(c.get(), chain[i].get()) == 1;
  }
  X509_STORE* store = SSL_CTX_get_cert_store(c.get());
  for (const X509Ptr& root : roots) good = good && X509_STORE_add_cert(store, root.get()) == 1;
  if (!good) return nullptr;
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_mode(c.get(), SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_options(c.get(), SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_NO_RENEGOTIATION | kNoCertificateCompression);
  SSL_CTX_set_num_tickets(c.get(), 0);
  SSL_CTX_set_session_cache_mode(c.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(c.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(c.get(), kVerifyDepth);
  SSL_CTX_set_max_cert_list(c.get(), kChainBytesMax);
  SSL_CTX_set_cert_verify_callback(c.get(), verifyPeer, nullptr);
  SSL_CTX_set_keylog_callback(
      c.get(), [](const SSL* ssl, const char* line) { handshakeOf(ssl)->onSecret(line); });
  SSL_CTX_set_info_callback(c.get(), [](const SSL* ssl, int where, int value) {
    if (where & SSL_CB_ALERT) handshakeOf(ssl)->onAlert((where & SSL_CB_READ) != 0, value);
  });
  if (server) {
    SSL_CTX_set_alpn_select_cb(c.get(), selectAlpn, nullptr);
    SSL_CTX_set_client_hello_cb(c.get(), onHello, nullptr);
  } else if (SSL_CTX_set_alpn_protos(
                 c.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3) != 0) {
    return nullptr;
  }
  return c;
}

bool readCertificates(std::string_view pem, std::vector<X509Ptr>& out) {
  if (pem.empty() || pem.size() > kPemBytesMax) return false;
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* x = PEM_read_bio_X509(bio.get(), nullptr, noPassword, nullptr)) out.emplace_back(x);
  const bool atEnd = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return atEnd && !out.empty();
}

int64_t timeMs(const ASN1_TIME* time) {
  tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(timegm(&parts)) * 1000 : 0;
}

}  // namespace

Credentials::~Credentials() {
  SSL_CTX_free(server_);
  SSL_CTX_free(client_);
}

Result<std::shared_ptr<const Credentials>> Credentials::parse(std::string_view chainPem,
                                                              std::string_view keyPem,
                                                              std::string_view rootsPem) {
  ERR_clear_error();
  std::vector<X509Ptr> chain;
  std::vector<X509Ptr> roots;
  if (!readCertificates(chainPem, chain)) return bad("chain: not PEM certificates");
  if (chain.size() > kChainMax) return bad("chain: more than 8 certificates");
  if (keyPem.empty()) return bad("key: empty");
  if (keyPem.size() > kPemBytesMax) return bad("key: too large");
  BioPtr bio(BIO_new_mem_buf(keyPem.data(), static_cast<int>(keyPem.size())));
  PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, noPassword, nullptr));
  if (!key) return bad("key: not an unencrypted PEM private key");
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) return bad("key: not the leaf's");
  if (!readCertificates(rootsPem, roots)) return bad("roots: not PEM certificates");
  std::shared_ptr<Credentials> made(new Credentials);
  made->server_ = makeContext(true, chain, key.get(), roots).release();
  made->client_ = makeContext(false, chain, key.get(), roots).release();
  if (made->server_ == nullptr || made->client_ == nullptr) {
    return bad("credential refused: " + takeOpensslError());
  }
  for (std::string& uri : uriNames(chain[0].get())) {
    const auto id = SpiffeId::parse(uri);
    if (!id) continue;
    made->trustDomain_ = id->trustDomain;
    made->identity_ = std::move(uri);
    break;
  }
  BignumPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(chain[0].get()), nullptr));
  if (char* hex = serial ? BN_bn2hex(serial.get()) : nullptr) {
    for (const char* p = hex; *p != 0; ++p) {
      made->serial_ += static_cast<char>(*p >= 'A' && *p <= 'F' ? *p + 32 : *p);
    }
    OPENSSL_free(hex);
  }
  made->notBeforeMs_ = timeMs(X509_get0_notBefore(chain[0].get()));
  made->notAfterMs_ = timeMs(X509_get0_notAfter(chain[0].get()));
  ERR_clear_error();
  return std::shared_ptr<const Credentials>(std::move(made));
}

}  // namespace onehop::tls
