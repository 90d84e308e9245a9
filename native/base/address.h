#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace onehop {

// IPv4 or IPv6. IPv4-mapped IPv6 is always held as IPv4, so equality means "same host".
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(const uint8_t* bytes4);
  static IpAddress v6(const uint8_t* bytes16);
  static std::optional<IpAddress> parse(std::string_view text);

  bool isV6() const { return family_ == 6; }
  bool isLoopback() const;
  bool isUnspecified() const;
  const uint8_t* bytes() const { return bytes_.data(); }
  size_t length() const { return isV6() ? 16 : 4; }
  std::string format() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_{};
  uint8_t family_ = 4;
};

struct SocketAddress {
  IpAddress ip;
  uint16_t port = 0;

  // "1.2.3.4:80" or "[::1]:80"; the port is mandatory, decimal, 0..65535.
  static std::optional<SocketAddress> parse(std::string_view text);
  std::string format() const;
  auto operator<=>(const SocketAddress&) const = default;
};

size_t hashValue(const IpAddress& address);
size_t hashValue(const SocketAddress& address);

}  // namespace onehop

template <>
struct std::hash<onehop::IpAddress> {
  size_t operator()(const onehop::IpAddress& a) const { return onehop::hashValue(a); }
};
template <>
struct std::hash<onehop::SocketAddress> {
  size_t operator()(const onehop::SocketAddress& a) const { return onehop::hashValue(a); }
};
