#include "base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace onehop {

IpAddress IpAddress::v4(const uint8_t* bytes4) {
  IpAddress address;
  std::memcpy(address.bytes_.data(), bytes4, 4);
  return address;
}

IpAddress IpAddress::v6(const uint8_t* bytes16) {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::memcmp(bytes16, kMapped, sizeof kMapped) == 0) return v4(bytes16 + 12);
  IpAddress address;
  std::memcpy(address.bytes_.data(), bytes16, 16);
  address.family_ = 6;
  return address;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = 0;
  if (std::strlen(copy) != text.size()) return std::nullopt;
  uint8_t bytes[16];
  if (inet_pton(AF_INET, copy, bytes) == 1) return v4(bytes);
  if (inet_pton(AF_INET6, copy, bytes) == 1) return v6(bytes);
  return std::nullopt;
}

bool IpAddress::isLoopback() const {
  if (!isV6()) return bytes_[0] == 127;
  for (int i = 0; i < 15; ++i) {
    if (bytes_[i] != 0) return false;
  }
  return bytes_[15] == 1;
}

bool IpAddress::isUnspecified() const {
  for (uint8_t byte : bytes_) {
    if (byte != 0) return false;
  }
  return true;
}

std::string IpAddress::format() const {
  char text[INET6_ADDRSTRLEN];
  if (isV6()) {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
    return text;
  }
  // The C library's way goes through printf, and every flow has several addresses to tell.
  char* end = text;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) *end++ = '.';
    end = std::to_chars(end, text + sizeof text, bytes_[i]).ptr;
  }
  return {text, end};
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (digits.empty() || digits.size() > 5) return std::nullopt;
  uint32_t port = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port > 65535) return std::nullopt;
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Brackets are for IPv6 and only for IPv6 (RFC 3986 3.2.2).
  if (bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  const auto ip = IpAddress::parse(host);
  if (!ip) return std::nullopt;
  return SocketAddress{*ip, static_cast<uint16_t>(port)};
}

std::string SocketAddress::format() const {
  std::string text = ip.format();
  if (ip.isV6()) {
    text.insert(text.begin(), '[');
    text.push_back(']');
  }
  text.push_back(':');
  return text.append(std::to_string(port));
}

size_t hashValue(const IpAddress& address) {
  uint64_t high;
  uint64_t low;
  std::memcpy(&high, address.bytes(), 8);
  std::memcpy(&low, address.bytes() + 8, 8);
  uint64_t h = high * 0x9e3779b97f4a7c15ull ^ (low + (address.isV6() ? 1 : 0));
  h ^= h >> 29;
  h *= 0xbf58476d1ce4e5b9ull;
  return static_cast<size_t>(h ^ (h >> 32));
}

size_t hashValue(const SocketAddress& address) {
  const uint64_t h = (hashValue(address.ip) + address.port) * 0x94d049bb133111ebull;
  return static_cast<size_t>(h ^ (h >> 31));
}

}  // namespace onehop
