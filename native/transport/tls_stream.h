#pragma once

#include <memory>
#include <string>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/record_size.h"
#include "base/result.h"
#include "io/event_loop.h"
#include "io/stream.h"
#include "io/tcp_stream.h"

namespace onehop::tls {
class Session;
}

namespace onehop::transport {

// What a TlsStream tells its owner. Calls come from the event loop and from flush(), never from room()
// or commit(). The owner may close() in any of them but must retire, not destroy, the stream.
class TlsEvents {
 public:
  virtual void onEstablished() = 0;
  // Decrypted in place in the receive block: gone when the call returns.
  virtual void onPlaintext(MutableByteSpan bytes) = 0;
  // All that one burst of receives brought has been handed on: write gathered bytes out now, before the
  // receive block goes back.
  virtual void onBatchEnd() = 0;
  // The socket took what was waiting: records may be filled again.
  virtual void onRoom() = 0;
  // Last call. `complete` after close_notify, else why the connection is lost.
  virtual void onClosed(const Error& error) = 0;

 protected:
  ~TlsEvents() = default;
};

// One TLS 1.3 connection over a TcpStream: joins the socket and the sans-I/O session. Receives into a
// block of the shard's pool and keeps bytes only of an unfinished record; fills records in a send block,
// which it holds only while ciphertext waits. Idle: no buffer at all.
class TlsStream final : public io::Retirable, private io::StreamObserver, private io::Timer {
 public:
  TlsStream(std::unique_ptr<io::TcpStream> socket, std::unique_ptr<tls::Session> session,
            TlsEvents& events);
  ~TlsStream() override;

  // Begins the handshake; onClosed(tlsTimeout) when it is not over after `deadline`.
  void start(Nanos deadline);
  bool established() const { return established_; }
  bool closed() const { return closed_; }
  const std::string& peerIdentity() const;  // '' before onEstablished

  // Room in the record being filled, at least `least` (<= 4096) bytes; empty when the block is full.
  MutableByteSpan room(size_t least);
  void commit(size_t bytes);
  // Plaintext areas of up to `count` whole, empty records, each kRecordPlaintextMax bytes.
  size_t reserveRecords(MutableByteSpan* records, size_t count);
  // The first `full` are full; when lastBytes > 0 the next one carries that many bytes.
  void commitRecords(size_t full, size_t lastBytes);
  // Seals what was committed and sends it with one system call. False when bytes still wait: onRoom().
  bool flush();
  size_t unsentBytes() const { return sendEnd_ - sendStart_; }

  // close_notify after what was committed, then FIN.
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

  std::unique_ptr<io::TcpStream> socket_;
  std::unique_ptr<tls::Session> session_;
  TlsEvents& events_;
  PooledBlock receive_;  // held only between two receives that split a record
  PooledBlock send_;     // held only while committed or unsent bytes exist
  uint32_t receiveHave_ = 0;
  uint32_t sendStart_ = 0;   // first unsent ciphertext byte
  uint32_t sendEnd_ = 0;     // end of sealed ciphertext
  uint32_t fillStart_ = 0;   // the record being filled
  uint32_t fillBytes_ = 0;   // its plaintext so far
  uint64_t bytesReceived_ = 0;
  bool established_ = false;
  bool closing_ = false;
  bool closed_ = false;
};
static_assert(sizeof(TlsStream) <= 256);

}  // namespace onehop::transport
