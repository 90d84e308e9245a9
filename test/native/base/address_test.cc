#include "base/address.h"

#include <gtest/gtest.h>

namespace onehop {

TEST(Address, ParsesAndFormats) {
  EXPECT_EQ(SocketAddress::parse("1.2.3.4:80")->format(), "1.2.3.4:80");
  EXPECT_EQ(SocketAddress::parse("[::1]:443")->format(), "[::1]:443");
  for (const char* text : {"0.0.0.0", "255.255.255.255", "10.0.200.9", "127.0.0.1", "1.22.133.4"}) {
    EXPECT_EQ(IpAddress::parse(text)->format(), text);
  }
}

TEST(Address, RefusesMalformed) {
  for (const char* text : {"", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "::1:80", "[::1]", "a:1"}) {
    EXPECT_FALSE(SocketAddress::parse(text).has_value()) << text;
  }
}

TEST(Address, HoldsMappedIpv4AsIpv4) {
  EXPECT_EQ(*IpAddress::parse("::ffff:10.0.0.1"), *IpAddress::parse("10.0.0.1"));
}

}  // namespace onehop
