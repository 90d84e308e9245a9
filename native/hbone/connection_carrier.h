#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "h2/connection.h"
#include "hbone/deadlines.h"
#include "hbone/tunnel.h"
#include "transport/tls_stream.h"

namespace onehop::hbone {

// One HBONE connection, either side: joins the TLS stream to the HTTP/2 machine and both to the tunnels.
// Everything a loop pass brought is answered in one produce() and one send at the end of the pass. The
// client and the server add how streams begin.
//
// The life of it: startTls -> onReady -> onLost -> onGone, and then its owner retires it. onLost and
// onGone come exactly once, from the event loop, unless dispose() ended it before.
class ConnectionCarrier : public TunnelCarrier,
                          public transport::Retirable,
                          private h2::ConnectionEvents,
                          private h2::Output,
                          private transport::TlsEvents,
                          private transport::PassHook,
                          private transport::Timer {
 public:
  size_t streams() const { return h2_.streamsActive(); }
  const std::string& peerIdentity() const;
  // GOAWAY(NO_ERROR): no new streams, the open ones go on; then the connection ends. At the pass's end.
  void drain(CloseReason reason = CloseReason::drained);
  // Ends streams and connection at the pass's end. A second call does not wait for the peer to take the
  // goodbye.
  void close(CloseReason reason);

  // TunnelCarrier.
  void sourceReady(h2::Stream& stream) override;
  void consumed(h2::Stream& stream, size_t bytes) override;
  void resetTunnel(h2::Stream& stream, h2::ErrorCode code) override;
  ReceiveGather& gather() override;
  void tunnelGone(h2::Stream& stream) override { resetTunnel(stream, h2::ErrorCode::cancel); }

 protected:
  ConnectionCarrier(transport::EventLoop& loop, h2::Role role, const h2::Limits& limits,
                    const HboneDeadlines& deadlines, h2::WindowLedger* ledger);
  ~ConnectionCarrier() override;

  transport::TlsEvents& tlsEvents() { return *this; }
  void startTls(std::unique_ptr<transport::TlsStream> stream, Nanos deadline);
  // Runs onTurn and the output side at the end of this pass.
  void schedule() { PassHook::schedule(loop_); }
  // Ends all now, streams with events; neither onLost nor onGone follow.
  void dispose(CloseReason reason);
  bool open() const { return phase_ == Phase::open && !h2_.dead() && asked_ == CloseReason::none; }
  bool draining() const { return drainAsked_ != CloseReason::none || h2_.draining(); }
  bool starting() const { return phase_ == Phase::starting; }
  CloseReason asked() const { return asked_; }
  // The transport is gone, for this reason; true before the streams hear of it.
  bool lost() const { return lost_; }
  const Error& lossError() const { return error_; }
  // The peer spoke HTTP/2 to us: it is there, and it took our certificate.
  bool proven() const { return h2_.settingsReceived(); }

  // The peer is known; streams may be opened from now on.
  virtual void onReady() = 0;
  // Fields of a new stream (user is null) or of one whose tunnel has a tag.
  virtual void onFields(h2::Stream& stream, const h2::HeaderList& fields, bool end) = 0;
  // A stream whose tunnel has a tag is over.
  virtual void onOpeningClosed(h2::Stream& stream, Tunnel& tunnel, const h2::StreamClose& close) = 0;
  // Once per pass with work, before output is produced; outside of any call into h2.
  virtual void onTurn() = 0;
  // Streams that wait for their CONNECT to be answered: their next deadline, 0 for none.
  virtual Nanos openingDeadline() const { return 0; }
  virtual void onOpeningDeadline(Nanos now) { static_cast<void>(now); }
  // Has work that keeps a draining or idle connection alive though it has no stream.
  virtual bool hasOpenings() const { return false; }
  // No stream is left and none will come.
  virtual void onLost(const Error& error) = 0;
  // The socket is closed: retire this.
  virtual void onGone() = 0;

  transport::EventLoop& loop_;
  HboneDeadlines deadlines_;
  h2::Limits limits_;
  h2::Connection h2_;
  std::unique_ptr<transport::TlsStream> tls_;

 private:
  enum class Phase : uint8_t { starting, open, ending, gone };

  // h2::ConnectionEvents.
  void onHeaders(h2::Stream& stream, const h2::HeaderList& fields, bool end) override;
  void onData(h2::Stream& stream, ByteSpan payload, bool end) override;
  void onStreamClosed(h2::Stream& stream, const h2::StreamClose& close) override;
  void onSettings(const h2::PeerSettings&) override { schedule(); }
  void onGoaway(h2::ErrorCode, uint32_t) override { schedule(); }
  void onPingAck(Nanos) override {}
  void onConnectionError(const Error& error) override;
  // h2::Output.
  MutableByteSpan room(size_t least) override { return tls_->room(least); }
  void commit(size_t bytes) override { tls_->commit(bytes); }
  size_t reserveUnits(h2::OutputUnit* units, size_t count) override;
  void commitUnits(size_t full, size_t lastBytes) override { tls_->commitRecords(full, lastBytes); }
  // transport::TlsEvents.
  void onEstablished() override;
  void onPlaintext(MutableByteSpan bytes) override;
  void onBatchEnd() override;
  void onRoom() override { schedule(); }
  void onClosed(const Error& error) override;
  void onReleased() override;
  // Loop.
  void onPassEnd() override;
  void onTimer() override;

  void cut();
  void write();
  void settle();
  void finish(const Error& error);
  void lose(const Error& error);
  bool busy() const { return streams() > 0 || hasOpenings() || tls_->unsentBytes() > 0; }
  void checkLiveness(Nanos now);
  Nanos nextDeadline() const;
  void armTimer();

  ReceiveGather gather_;  // empty but during a batch
  Error error_;
  Nanos armedFor_ = 0;
  Nanos heardAt_ = 0;   // the peer's last sign of life, or when we began to listen for one
  Nanos pingedAt_ = 0;  // 0: no PING of ours waits
  Nanos takenAt_ = 0;   // when the socket was last seen to take bytes, while some wait
  size_t unsentSeen_ = 0;
  Nanos idleSince_ = 0;
  uint32_t burst_;      // bytes to produce at most before the socket has taken them
  Phase phase_ = Phase::starting;
  CloseReason asked_ = CloseReason::none;       // close()
  CloseReason drainAsked_ = CloseReason::none;  // drain()
  bool lost_ = false;
  bool hurry_ = false;  // close() came twice
};

}  // namespace onehop::hbone
