#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "tls/credentials.h"
#include "tls/record.h"

namespace onehop::tls {

class Handshake;

class PlaintextSink {
 public:
  // Decrypted in place, valid during the call. False stops feed() after this record.
  virtual bool onPlaintext(MutableByteSpan bytes) = 0;

 protected:
  ~PlaintextSink() = default;
};

enum class Role : uint8_t { server, client };

// What remains of a connection after the handshake; enough to move it to another process.
struct EstablishedState {
  Role role = Role::server;
  TrafficState read;
  TrafficState write;
  std::string peerIdentity;
};

// One TLS 1.3 connection, bytes in, bytes out. Whoever owns it must, before sealing a batch of records,
// write out everything takeOutput() gives (handshake, KeyUpdate and alert records keep their order so).
class Session {
 public:
  static std::unique_ptr<Session> server(std::shared_ptr<const Credentials> credentials);
  // The peer must present exactly one of `expectedPeers`; empty means nobody will do.
  static std::unique_ptr<Session> client(std::shared_ptr<const Credentials> credentials,
                                         std::vector<std::string> expectedPeers);
  static std::unique_ptr<Session> resume(const EstablishedState& state);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // Consumes whole records only; keep the rest and offer it again with more. After an error the session
  // is dead and returns it again: send what takeOutput() gives (the alert), then close. A client whose
  // first step failed says so at the first feed(), which may bring no bytes.
  Status feed(MutableByteSpan bytes, size_t* consumed, PlaintextSink& sink);
  // The same for a handshake, which may take a millisecond, and stops where it is over: the rest is for
  // feed(). No other thread may use the session meanwhile.
  Status advance(MutableByteSpan bytes, size_t* consumed);
  // Whether the first record in `bytes` is whole.
  static bool startsWithRecord(ByteSpan bytes);
  // The transport met FIN: an error unless close_notify came before.
  Status feedEnd();
  bool hasOutput() const;
  // Copies or seals pending records into `room` (at least 64 bytes); call until hasOutput() is false.
  size_t takeOutput(MutableByteSpan room);
  // See RecordSealer::seal. Only when established, not closed, and hasOutput() is false.
  size_t seal(uint8_t* record, size_t plaintextBytes);
  // Queues close_notify; nothing may be sealed afterwards.
  void close();

  bool established() const { return opener_ != nullptr; }
  bool peerClosed() const { return peerClosed_; }
  const std::string& peerIdentity() const { return peerIdentity_; }
  // Between messages, with nothing to send: nothing but exportState() is needed to go on elsewhere.
  bool movable() const;
  EstablishedState exportState() const;  // only when movable
  uint64_t keyUpdates() const { return keyUpdates_; }

 private:
  explicit Session(Role role);
  Status feedRecords(MutableByteSpan bytes, size_t* consumed, PlaintextSink* sink);
  Status checkHeader(const uint8_t* header);
  Status feedHandshake(MutableByteSpan record);
  Status feedRecord(MutableByteSpan record, PlaintextSink& sink, bool* stop);
  Status feedPostHandshake(MutableByteSpan content);
  Status feedAlert(MutableByteSpan content);
  Status onKeyUpdate(uint8_t request);
  Error fail(uint8_t alert, const char* detail);
  void queueAlert(uint8_t alert);
  void refillBudget();

  Role role_;
  bool failed_ = false;
  bool peerClosed_ = false;
  bool closing_ = false;
  bool sendKeyUpdate_ = false;
  bool sendAlert_ = false;
  uint8_t alert_ = 0;
  uint8_t emptyRecords_ = 0;
  uint8_t keyUpdateBudget_ = 32;
  uint8_t messageHave_ = 0;       // bytes of the post-handshake message's header and KeyUpdate body
  uint8_t message_[5] = {};
  uint8_t warnings_ = 0;
  uint16_t records_ = 0;          // since the KeyUpdate budget last grew
  uint32_t skip_ = 0;             // bytes of a NewSessionTicket still to skip
  uint32_t ticketBytes_ = 0;
  uint64_t keyUpdates_ = 0;
  std::unique_ptr<Handshake> handshake_;
  std::unique_ptr<RecordOpener> opener_;
  std::unique_ptr<RecordSealer> sealer_;
  std::vector<uint8_t> output_;
  size_t outputTaken_ = 0;
  std::string peerIdentity_;
};
static_assert(sizeof(Session) <= 152);

}  // namespace onehop::tls
