#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/record_size.h"
#include "base/result.h"
#include "io/stream.h"
#include "tls/session.h"
#include "transport/credentials.h"
#include "transport/loop.h"
#include "transport/tls_counters.h"

namespace onehop::transport {

// What a TlsStream tells its owner. Calls come from the event loop and from flush(), never from start(),
// room(), commit() or closeInOrder(). The owner may call any method in them but must retire, not
// destroy, the stream.
class TlsEvents {
 public:
  virtual void onEstablished() = 0;
  // Decrypted in place in the receive block: gone when the call returns.
  virtual void onPlaintext(MutableByteSpan bytes) = 0;
  // All that one receive brought has been handed on: write gathered bytes out now, before the receive
  // block goes back.
  virtual void onBatchEnd() = 0;
  // The socket took what was waiting: records may be filled again.
  virtual void onRoom() = 0;
  // The peer ended the connection or it is lost: no plaintext comes or goes any more. `complete` after
  // close_notify. Not called after closeInOrder().
  virtual void onClosed(const Error& error) = 0;
  // After onClosed or closeInOrder(), at most kLinger later: the last bytes (alert, close_notify) have
  // reached the peer or never will, and the socket is closed. Last call.
  virtual void onReleased() = 0;

 protected:
  ~TlsEvents() = default;
};

// One TLS 1.3 connection over a TcpStream: joins the socket and the sans-I/O session. Receives into a
// block of the shard's pool and keeps bytes only of an unfinished record; fills records in a send block,
// which it holds only while bytes wait in it. Idle: no buffer at all.
class TlsStream final : public io::Retirable,
                        private io::StreamObserver,
                        private io::Timer,
                        private io::PassHook,
                        private tls::PlaintextSink {
 public:
  static constexpr Nanos kLinger = kSecond;

  // `counters` may be shared by all streams of a loop and outlives them; null counts nowhere.
  static std::unique_ptr<TlsStream> server(std::unique_ptr<io::TcpStream> socket,
                                           std::shared_ptr<const tls::Credentials> credentials,
                                           TlsEvents& events, TlsCounters* counters = nullptr);
  // The peer must present exactly one of `expectedPeers`.
  static std::unique_ptr<TlsStream> client(std::unique_ptr<io::TcpStream> socket,
                                           std::shared_ptr<const tls::Credentials> credentials,
                                           std::vector<std::string> expectedPeers,
                                           TlsEvents& events, TlsCounters* counters = nullptr);
  TlsStream(std::unique_ptr<io::TcpStream> socket, std::unique_ptr<tls::Session> session,
            TlsEvents& events, TlsCounters* counters = nullptr);
  ~TlsStream() override;

  // Begins the handshake; onClosed(tlsTimeout) when it is not over after `deadline`.
  void start(Nanos deadline);
  bool established() const { return established_; }
  bool closed() const { return closed_ || closing_; }
  const std::string& peerIdentity() const;  // '' until established

  // Room in the record being filled, at least `least` (<= 4096) bytes; empty when the block is full.
  MutableByteSpan room(size_t least);
  void commit(size_t bytes);
  // Plaintext areas of up to `count` whole, empty records, each kRecordPlaintextMax bytes.
  size_t reserveRecords(MutableByteSpan* records, size_t count);
  // The first `full` are full; when lastBytes > 0 the next one carries that many bytes.
  void commitRecords(size_t full, size_t lastBytes);
  // Seals what was committed and sends it with one system call. False when bytes still wait: onRoom().
  bool flush();
  // The kernel takes no more for now: onRoom() comes.
  bool blocked() const { return blocked_; }
  // Sealed, and not yet taken by the kernel.
  size_t unsentBytes() const { return sendEnd_ - sendStart_; }

  // close_notify after what was committed, then FIN; what still arrives is dropped. onReleased follows.
  void closeInOrder();
  // RST; no events afterwards.
  void abort();
  uint64_t bytesReceived() const { return bytesReceived_; }
  io::EventLoop& loop() { return socket_->loop(); }

 private:
  void onReadable() override;
  void onWritable() override;
  void onStreamFailed(CloseReason reason, int code) override;
  void onTimer() override;
  void onPassEnd() override;
  bool onPlaintext(MutableByteSpan bytes) override;

  // A receive block with the bytes [begin, end) not yet handed on.
  struct Received {
    PooledBlock block;
    size_t begin;
    size_t end;
  };
  class Step;
  void receive();
  void dropStep();
  void onStepDone(std::unique_ptr<tls::Session> session, const Status& status, size_t consumed);
  bool handOn(Received& got, const Status& fed, size_t used);
  bool takeBytes(Received& got);
  Received resume();
  void makeRoom(Received& got);
  void keep(Received got);
  void forgetPartial();
  void discard();
  void announce();
  void leaveHandshake(uint64_t TlsCounters::*outcome);
  void countKeyUpdates();
  void drainOutput();
  bool prepareBlock();
  void sealFill();
  bool writeOut();
  void close(const Error& error);
  void fail(CloseReason reason, int code);
  void beginLinger();
  bool lingerOver() const { return finSent_ && peerEnded_; }
  void release();

  std::unique_ptr<io::TcpStream> socket_;
  std::unique_ptr<tls::Session> session_;  // null while a step of the handshake is elsewhere
  Step* step_ = nullptr;                   // that one; the loop's
  TlsEvents& events_;
  TlsCounters* counters_;
  PooledBlock partial_;           // an unfinished record, or what a turn left; empty when idle
  PooledBlock send_;              // held only while committed or unsent bytes exist
  uint32_t partialBegin_ = 0;     // of a receive block
  uint32_t partialBytes_ = 0;
  uint32_t sendStart_ = 0;        // first unsent ciphertext byte
  uint32_t sendEnd_ = 0;          // end of sealed ciphertext; the record being filled begins here
  uint32_t fillBytes_ = 0;        // its plaintext so far
  uint64_t bytesReceived_ = 0;
  uint64_t keyUpdatesCounted_ = 0;
  Nanos turnUntil_ = 0;
  uint32_t turnRecords_ = 0;
  bool handshaking_ = false;
  bool established_ = false;
  bool closing_ = false;    // our end is on its way: nothing is filled or handed on any more
  bool closed_ = false;     // onClosed was called
  bool finSent_ = false;
  bool peerEnded_ = false;  // the peer's FIN was read
  bool broken_ = false;     // the socket is of no use any more
  bool blocked_ = false;
  bool turnOver_ = false;   // whole records may be left in partial_
  bool readAgain_ = false;  // more may wait in the socket than one turn may take
  bool released_ = false;
};
static_assert(sizeof(TlsStream) <= 264);

}  // namespace onehop::transport
