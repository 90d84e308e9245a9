#pragma once

#include <cstdint>

namespace onehop {

// Why a flow, a tunnel or a connection ended: one enum from the wire to the access log. The names are
// what TypeScript, logs and metrics show; engine/contract.h exports the table across the seam.
#define ONEHOP_CLOSE_REASONS(X)                                                         \
  X(none, "none")                                                                       \
  X(complete, "complete")                       /* both directions ended with FIN */    \
  X(downstreamReset, "downstream-reset")        /* RST or RST_STREAM from downstream */ \
  X(upstreamReset, "upstream-reset")            /* RST or RST_STREAM from upstream */   \
  X(denied, "denied")                           /* verdict: policy */                   \
  X(policyChanged, "policy-changed")            /* live flow cut by a revalidation */   \
  X(recursion, "recursion")                     /* the destination is one of our own listeners */ \
  X(upcallTimeout, "upcall-timeout")            /* no verdict in time */                \
  X(overload, "overload")                       /* one of our bounds was hit */         \
  X(noEndpoint, "no-endpoint")                  /* no healthy endpoint */               \
  X(unknownDestination, "unknown-destination")  /* nothing known at this address */     \
  X(unknownLocal, "unknown-local")              /* the listener's workload is unknown */ \
  X(noCredential, "no-credential")              /* no certificate for this identity */  \
  X(dialTimeout, "dial-timeout")                                                        \
  X(dialRefused, "dial-refused")                                                        \
  X(dialUnreachable, "dial-unreachable")                                                \
  X(dialFailed, "dial-failed")                                                          \
  X(tlsTimeout, "tls-timeout")                                                          \
  X(tlsFailed, "tls-failed")                    /* handshake failed or alert */         \
  X(tlsIdentity, "tls-identity")                /* peer is not who was expected */      \
  X(tlsRecord, "tls-record")                    /* bad record after the handshake */    \
  X(tlsTruncated, "tls-truncated")              /* FIN without close_notify mid-tunnel */ \
  X(h2Timeout, "h2-timeout")                    /* no preface or SETTINGS in time */    \
  X(h2Protocol, "h2-protocol")                  /* peer broke RFC 9113 or 7541 */       \
  X(h2Flood, "h2-flood")                        /* a flood defence tripped */           \
  X(goaway, "goaway")                           /* peer refused the stream by GOAWAY */ \
  X(connectTimeout, "connect-timeout")          /* no CONNECT response in time */       \
  X(connectRefused, "connect-refused")          /* CONNECT answered other than 200 */   \
  X(badRequest, "bad-request")                  /* not CONNECT, or unusable authority */ \
  X(peerGone, "peer-gone")                      /* liveness: no progress, no PONG */    \
  X(idleTimeout, "idle-timeout")                                                        \
  X(drained, "drained")                         /* drain deadline passed */             \
  X(removed, "removed")                         /* workload, listener or identity went away */ \
  X(localClosed, "local-closed")                /* closed by the embedding program */   \
  X(internal, "internal")

enum class CloseReason : uint8_t {
#define X(name, text) name,
  ONEHOP_CLOSE_REASONS(X)
#undef X
};

inline constexpr const char* kCloseReasonNames[] = {
#define X(name, text) text,
    ONEHOP_CLOSE_REASONS(X)
#undef X
};
inline constexpr unsigned kCloseReasonCount = sizeof(kCloseReasonNames) / sizeof(char*);

inline const char* closeReasonName(CloseReason reason) {
  const auto index = static_cast<unsigned>(reason);
  return index < kCloseReasonCount ? kCloseReasonNames[index] : "invalid";
}

}  // namespace onehop
