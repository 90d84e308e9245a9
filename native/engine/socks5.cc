#include "engine/socks5.h"

#include "base/check.h"

namespace onehop::engine {

namespace {

constexpr uint8_t kVersion = 5;
constexpr uint8_t kNoAuthentication = 0;
constexpr uint8_t kNoMethod = 0xff;
constexpr uint8_t kConnect = 1;
constexpr uint8_t kAddressV4 = 1;
constexpr uint8_t kAddressDomain = 3;
constexpr uint8_t kAddressV6 = 4;
constexpr size_t kRequestHead = 4;

enum ReplyCode : uint8_t {
  succeeded = 0,
  generalFailure = 1,
  notAllowed = 2,
  networkUnreachable = 3,
  hostUnreachable = 4,
  connectionRefused = 5,
  ttlExpired = 6,
  commandNotSupported = 7,
  addressNotSupported = 8,
};

std::string encodeReply(uint8_t code) {
  const char bytes[10] = {kVersion, static_cast<char>(code), 0, kAddressV4, 0, 0, 0, 0, 0, 0};
  return std::string(bytes, sizeof bytes);
}

uint8_t replyCode(CloseReason reason) {
  switch (reason) {
    case CloseReason::none:
      return succeeded;
    case CloseReason::denied:
    case CloseReason::policyChanged:
    case CloseReason::recursion:
      return notAllowed;
    case CloseReason::dialUnreachable:
    case CloseReason::unknownDestination:
      return networkUnreachable;
    case CloseReason::noEndpoint:
      return hostUnreachable;
    case CloseReason::dialRefused:
    case CloseReason::connectRefused:
      return connectionRefused;
    case CloseReason::dialTimeout:
    case CloseReason::tlsTimeout:
    case CloseReason::h2Timeout:
    case CloseReason::connectTimeout:
    case CloseReason::upcallTimeout:
      return ttlExpired;
    default:
      return generalFailure;
  }
}

// Visible ASCII without what would make an authority ambiguous.
bool isDomainByte(uint8_t byte) {
  return byte > 0x20 && byte < 0x7f && byte != ':' && byte != '/' && byte != '@' && byte != '[' &&
         byte != ']' && byte != '"' && byte != '\\' && byte != ',' && byte != ';';
}

}  // namespace

void Socks5::feed(ByteSpan bytes, std::string& output) {
  CHECK(bytes.size() <= wants());
  for (const uint8_t byte : bytes) bytes_[have_++] = byte;
  if (state_ == State::methods && have_ == need_) feedMethods(output);
  if (state_ == State::request && have_ == need_) feedRequest(output);
}

void Socks5::feedMethods(std::string& output) {
  if (bytes_[0] != kVersion) {
    state_ = State::failed;  // not SOCKS 5: there is no reply it would understand
    return;
  }
  need_ = static_cast<uint16_t>(2 + bytes_[1]);
  if (have_ < need_) return;
  uint8_t chosen = kNoMethod;
  for (size_t i = 2; i < need_; ++i) {
    if (bytes_[i] == kNoAuthentication) chosen = kNoAuthentication;
  }
  output.push_back(static_cast<char>(kVersion));
  output.push_back(static_cast<char>(chosen));
  if (chosen == kNoMethod) {
    state_ = State::failed;
    return;
  }
  state_ = State::request;
  have_ = 0;
  need_ = kRequestHead;
}

void Socks5::fail(std::string& output, uint8_t code) {
  output += encodeReply(code);
  state_ = State::failed;
}

void Socks5::feedRequest(std::string& output) {
  if (need_ == kRequestHead) {
    if (bytes_[0] != kVersion) return fail(output, generalFailure);
    if (bytes_[1] != kConnect) return fail(output, commandNotSupported);
    switch (bytes_[3]) {
      case kAddressV4:
        need_ = kRequestHead + 4 + 2;
        return;
      case kAddressV6:
        need_ = kRequestHead + 16 + 2;
        return;
      case kAddressDomain:
        need_ = kRequestHead + 1;
        return;
      default:
        return fail(output, addressNotSupported);
    }
  }
  if (bytes_[3] == kAddressDomain && need_ == kRequestHead + 1) {
    domainBytes_ = bytes_[4];
    if (domainBytes_ == 0) return fail(output, generalFailure);
    need_ = static_cast<uint16_t>(kRequestHead + 1 + domainBytes_ + 2);
    return;
  }
  for (size_t i = 0; i < domainBytes_; ++i) {
    if (!isDomainByte(bytes_[5 + i])) return fail(output, generalFailure);
  }
  state_ = State::ready;
}

uint16_t Socks5::port() const {
  CHECK(state_ == State::ready);
  return load16(&bytes_[have_ - 2u]);
}

SocketAddress Socks5::destination() const {
  CHECK(state_ == State::ready && !isDomain());
  const uint8_t* address = &bytes_[kRequestHead];
  return {bytes_[3] == kAddressV6 ? IpAddress::v6(address) : IpAddress::v4(address), port()};
}

std::string Socks5::domain() const {
  CHECK(state_ == State::ready && isDomain());
  std::string name;
  for (size_t i = 0; i < domainBytes_; ++i) {
    const uint8_t byte = bytes_[5 + i];
    name.push_back(static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte));
  }
  return name;
}

std::string Socks5::reply(CloseReason reason) { return encodeReply(replyCode(reason)); }

}  // namespace onehop::engine
