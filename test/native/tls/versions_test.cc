#include "tls/versions.h"

#include <gtest/gtest.h>

namespace onehop::tls {
namespace {

TEST(Versions, OpensslFitsItsHeaders) {
  EXPECT_TRUE(opensslFits(0x30000160, 0x30000160));
  EXPECT_TRUE(opensslFits(0x30000160, 0x30000130)) << "an older patch has the same functions";
  EXPECT_TRUE(opensslFits(0x30000130, 0x30500010));
  EXPECT_FALSE(opensslFits(0x30500010, 0x30000160)) << "an older minor may lack some";
  EXPECT_FALSE(opensslFits(0x30000000, 0x1010117f));
  EXPECT_FALSE(opensslFits(0x1010117f, 0x30000000));
  EXPECT_FALSE(opensslFits(0x30000000, 0x40000000));
  EXPECT_FALSE(opensslFits(0x40000000, 0x40000000));
}

TEST(Versions, ThisProcessFits) {
  EXPECT_EQ(opensslMismatch(), "");
  EXPECT_EQ(versions().running.substr(0, 2), "3.");
  EXPECT_NE(versions().groups.find("X25519:P-256"), std::string::npos);
}

}  // namespace
}  // namespace onehop::tls
