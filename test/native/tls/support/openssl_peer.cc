#include "tls/support/openssl_peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/check.h"

namespace onehop::tls {
namespace {

int selectAlpn(SSL*, const unsigned char** out, unsigned char* outBytes, const unsigned char*,
               unsigned, void* options) {
  const std::string& alpn = static_cast<PeerOptions*>(options)->alpn;
  if (alpn.empty()) return SSL_TLSEXT_ERR_NOACK;
  // Its own choice, offered or not.
  *out = reinterpret_cast<const unsigned char*>(alpn.data()) + 1;
  *outBytes = static_cast<unsigned char>(alpn[0]);
  return SSL_TLSEXT_ERR_OK;
}

void useIdentity(SSL_CTX* context, const test::Issued& identity) {
  BIO* chain = BIO_new_mem_buf(identity.chainPem.data(), static_cast<int>(identity.chainPem.size()));
  bool leaf = true;
  while (X509* x = PEM_read_bio_X509(chain, nullptr, nullptr, nullptr)) {
    CHECK((leaf ? SSL_CTX_use_certificate(context, x) : SSL_CTX_add1_chain_cert(context, x)) == 1);
    X509_free(x);
    leaf = false;
  }
  BIO_free(chain);
  BIO* bio = BIO_new_mem_buf(identity.keyPem.data(), static_cast<int>(identity.keyPem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  CHECK(SSL_CTX_use_PrivateKey(context, key) == 1);
  EVP_PKEY_free(key);
  BIO_free(bio);
  ERR_clear_error();
}

}  // namespace

OpensslPeer::OpensslPeer(bool server, const test::Issued& identity, PeerOptions options)
    : server_(server), options_(std::move(options)), context_(SSL_CTX_new(TLS_method())) {
  CHECK(SSL_CTX_set_max_proto_version(context_, options_.versionMax) == 1);
  CHECK(SSL_CTX_set_ciphersuites(context_, options_.suites.c_str()) == 1);
  CHECK(SSL_CTX_set1_groups_list(context_, options_.groups.c_str()) == 1);
  SSL_CTX_set_num_tickets(context_, options_.tickets);
  SSL_CTX_set_mode(context_, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  SSL_CTX_set_session_id_context(context_, reinterpret_cast<const unsigned char*>("t"), 1);
  if (options_.certificate) useIdentity(context_, identity);
  if (server) {
    SSL_CTX_set_alpn_select_cb(context_, selectAlpn, &options_);
  } else if (!options_.alpn.empty()) {
    SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(options_.alpn.data()),
                            static_cast<unsigned>(options_.alpn.size()));
  }
  ssl_ = SSL_new(context_);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  server ? SSL_set_accept_state(ssl_) : SSL_set_connect_state(ssl_);
  SSL_set_ex_data(ssl_, 0, this);
  SSL_set_info_callback(ssl_, [](const SSL* ssl, int where, int value) {
    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
    static_cast<OpensslPeer*>(SSL_get_ex_data(ssl, 0))->alert_ = value & 0xff;
  });
}

OpensslPeer::~OpensslPeer() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

void OpensslPeer::take(ByteSpan bytes) {
  ERR_clear_error();
  if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl_), bytes.data(), static_cast<int>(bytes.size()));
  char room[4096];
  while (!failed_) {
    const int n = SSL_read(ssl_, room, sizeof(room));  // does the handshake too
    if (n > 0) {
      received_.append(room, static_cast<size_t>(n));
      continue;
    }
    const int why = SSL_get_error(ssl_, n);
    failed_ = why != SSL_ERROR_WANT_READ && why != SSL_ERROR_ZERO_RETURN;
    break;
  }
  ERR_clear_error();
}

void OpensslPeer::give(Endpoint& session) {
  char* bytes = nullptr;
  const long pending = BIO_get_mem_data(SSL_get_wbio(ssl_), &bytes);
  if (pending <= 0) return;
  std::vector<uint8_t> out(bytes, bytes + pending);
  static_cast<void>(BIO_reset(SSL_get_wbio(ssl_)));
  session.feed(out);
}

bool OpensslPeer::pump(Endpoint& session) {
  do {
    session.drain();
    take(std::exchange(session.wire, {}));
    if (session.error) break;
    give(session);
  } while (session.session->hasOutput() || !session.wire.empty() ||
           (!session.error && BIO_pending(SSL_get_wbio(ssl_)) > 0));
  return !failed_ && !session.error;
}

bool OpensslPeer::established() const { return SSL_is_init_finished(ssl_) == 1; }

void OpensslPeer::write(std::string_view text) {
  CHECK(SSL_write(ssl_, text.data(), static_cast<int>(text.size())) ==
        static_cast<int>(text.size()));
}

void OpensslPeer::keyUpdate(bool requestBack) {
  CHECK(SSL_key_update(ssl_, requestBack ? SSL_KEY_UPDATE_REQUESTED
                                         : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
  SSL_do_handshake(ssl_);
}

void OpensslPeer::closeNotify() { SSL_shutdown(ssl_); }

bool OpensslPeer::sawCloseNotify() const {
  return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

std::string OpensslPeer::suite() const { return SSL_get_cipher_name(ssl_); }

std::string OpensslPeer::group() const {
  const char* name = SSL_group_to_name(ssl_, static_cast<int>(SSL_get_negotiated_group(ssl_)));
  return name != nullptr ? name : "";
}

int OpensslPeer::peerCertificates() const {
  const STACK_OF(X509)* sent = SSL_get_peer_cert_chain(ssl_);
  return sent == nullptr ? 0 : sk_X509_num(sent) + (server_ ? 1 : 0);
}

}  // namespace onehop::tls
