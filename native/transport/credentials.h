#pragma once

#include "tls/credentials.h"

namespace onehop::transport {

using tls::Credentials;

}  // namespace onehop::transport
