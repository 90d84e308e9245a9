#include "tls/handshake.h"

#include "tls/openssl.h"
#include "tls/spiffe_id.h"

namespace onehop::tls {
namespace {

constexpr size_t kHandshakeBytesMax = 96 * 1024;  // hello, a 32 KiB chain, and early data to skip

int hexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

Handshake::Handshake(std::shared_ptr<const Credentials> credentials, bool server,
                     std::vector<std::string> expectedPeers)
    : credentials_(std::move(credentials)), expected_(std::move(expectedPeers)), server_(server) {
  ERR_clear_error();
  ssl_ = SSL_new(server ? credentials_->serverContext() : credentials_->clientContext());
  CHECK(ssl_ != nullptr);
  CHECK(SSL_set_ex_data(ssl_, 0, this) == 1);
  SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  server ? SSL_set_accept_state(ssl_) : SSL_set_connect_state(ssl_);
}

Handshake::~Handshake() {
  SSL_free(ssl_);
  OPENSSL_cleanse(&secret_, sizeof(secret_));
}

Status Handshake::feed(ByteSpan record, std::vector<uint8_t>& output) {
  CHECK(!done_);
  if (failure_) return *failure_;
  ERR_clear_error();
  Status status = step(record, output);
  if (!status.ok()) failure_ = status.error();
  ERR_clear_error();
  return status;
}

Status Handshake::step(ByteSpan record, std::vector<uint8_t>& output) {
  bytesFed_ += record.size();
  if (bytesFed_ > kHandshakeBytesMax) {
    return refuse("handshake too large", kAlertDecodeError);
  }
  if (!record.empty()) {
    const int size = static_cast<int>(record.size());
    CHECK(BIO_write(SSL_get_rbio(ssl_), record.data(), size) == size);
  }
  const int result = SSL_do_handshake(ssl_);
  const int why = SSL_get_error(ssl_, result);
  char* bytes = nullptr;
  BIO* out = SSL_get_wbio(ssl_);
  const long pending = BIO_get_mem_data(out, &bytes);
  if (pending > 0) {
    output.insert(output.end(), bytes, bytes + pending);
    bytesOut_ += static_cast<size_t>(pending);
  }
  static_cast<void>(BIO_reset(out));
  if (result == 1) return finish();
  if (why == SSL_ERROR_WANT_READ) return {};
  return explain();
}

Error Handshake::refuse(const char* text, uint8_t alert) {
  alertDue_ = alert;
  return makeError(CloseReason::tlsFailed, text, alert);
}

Status Handshake::finish() {
  const unsigned char* alpn = nullptr;
  unsigned alpnBytes = 0;
  SSL_get0_alpn_selected(ssl_, &alpn, &alpnBytes);
  if (alpnBytes != 2 || alpn[0] != 'h' || alpn[1] != '2') {
    return refuse("peer did not agree on ALPN h2", kAlertNoApplicationProtocol);
  }
  if (!secretsKnown() || peerIdentity_.empty() || BIO_pending(SSL_get_rbio(ssl_)) != 0) {
    return refuse("handshake ended without secrets or identity", kAlertInternalError);
  }
  done_ = true;
  return {};
}

Error Handshake::explain() {
  std::string text = takeOpensslError();
  if (identityFailed_) return makeError(CloseReason::tlsIdentity, detail_, alert_);
  const long verify = SSL_get_verify_result(ssl_);
  if (verify != X509_V_OK) text = X509_verify_cert_error_string(verify);
  if (alertReceived_) text = std::string("peer alert: ") + SSL_alert_desc_string_long(alert_);
  return makeError(CloseReason::tlsFailed, std::move(text), alert_);
}

TrafficState Handshake::traffic(bool serverWrites) const {
  CHECK(secretsKnown());
  TrafficState state;
  state.suite = secretBytes_[0] == 48 ? Suite::aes256GcmSha384 : Suite::aes128GcmSha256;
  state.secret = secret_[serverWrites ? 1 : 0];
  return state;
}

void Handshake::onSecret(std::string_view line) {
  size_t which;
  if (line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
    which = 0;
  } else if (line.starts_with("SERVER_TRAFFIC_SECRET_0 ")) {
    which = 1;
  } else {
    return;
  }
  const std::string_view hex = line.substr(line.rfind(' ') + 1);
  CHECK(hex.size() == 64 || hex.size() == 96);
  for (size_t i = 0; i < hex.size() / 2; ++i) {
    const int high = hexDigit(hex[2 * i]);
    const int low = hexDigit(hex[2 * i + 1]);
    CHECK(high >= 0 && low >= 0);
    secret_[which][i] = static_cast<uint8_t>(high << 4 | low);
  }
  secretBytes_[which] = hex.size() / 2;
  secrets_ |= 1u << which;
}

void Handshake::onAlert(bool received, int code) {
  alertReceived_ = received;
  alert_ = code & 0xff;
}

bool Handshake::checkPeer(const std::vector<std::string>& uris) {
  std::string got;
  for (const std::string& uri : uris) {
    const auto id = SpiffeId::parse(uri);
    if (!id) continue;
    bool match = false;
    if (server_) {
      match = !credentials_->identity().empty() && id->trustDomain == credentials_->trustDomain();
    } else {
      for (const std::string& expected : expected_) match = match || expected == uri;
    }
    if (match) {
      peerIdentity_ = uri;
      return true;
    }
    if (got.size() < 512) got += (got.empty() ? "" : ", ") + uri;
  }
  identityFailed_ = true;
  std::string want;
  if (server_) want = "trust domain " + credentials_->trustDomain();
  for (const std::string& expected : expected_) want += (want.empty() ? "" : ", ") + expected;
  detail_ = "peer identity mismatch: expected " + (want.empty() ? "nobody" : want) + "; got " +
            (got.empty() ? "none" : got);
  return false;
}

}  // namespace onehop::tls
