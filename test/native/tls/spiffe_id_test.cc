#include "tls/spiffe_id.h"

#include <gtest/gtest.h>

#include <string>

namespace onehop::tls {
namespace {

TEST(SpiffeId, Parses) {
  const auto id = SpiffeId::parse("spiffe://td.example/ns/a.b/sa/c-d");
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(id->trustDomain, "td.example");
  EXPECT_EQ(id->space, "a.b");
  EXPECT_EQ(id->account, "c-d");
}

// The same cases as test/model/spiffe_id.test.ts.
TEST(SpiffeId, Refuses) {
  for (const char* text :
       {"", "spiffe://", "spiffe://td/ns/a/sa", "spiffe://td/ns/a/sa/", "spiffe:///ns/a/sa/b",
        "spiffe://td/ns//sa/b", "spiffe://td/sa/a/ns/b", "spiffe://td/ns/a/sa/b/c",
        "spiffe://td/ns/a/sa/b/", "SPIFFE://td/ns/a/sa/b", "https://td/ns/a/sa/b",
        "spiffe:/td/ns/a/sa/b", "spiffe://td/NS/a/sa/b", "spiffe://td/ns/a b/sa/c",
        "spiffe://td/ns/a/sa/b\n", " spiffe://td/ns/a/sa/b", "spiffe://td/ns/\xc3\xa9/sa/b",
        "spiffe://td/ns/a\x7f/sa/b"}) {
    EXPECT_FALSE(SpiffeId::parse(text).has_value()) << text;
  }
  EXPECT_FALSE(SpiffeId::parse(std::string_view("spiffe://td/ns/a\0/sa/b", 22)).has_value());
}

TEST(SpiffeId, Bounds) {
  const std::string front = "spiffe://td/ns/a/sa/";
  EXPECT_TRUE(SpiffeId::parse(front + std::string(2048 - front.size(), 'x')).has_value());
  EXPECT_FALSE(SpiffeId::parse(front + std::string(2049 - front.size(), 'x')).has_value());
}

}  // namespace
}  // namespace onehop::tls
