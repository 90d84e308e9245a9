#pragma once

#include <memory>
#include <string>

#include "base/handle_map.h"
#include "base/intrusive_list.h"
#include "hbone/client.h"
#include "hbone/connection_carrier.h"

namespace onehop::hbone {

class ClientConnection;

// One acquire on its way to a tunnel. It stands in exactly one list: waiting for a connection, given to
// one, or sent and waiting for the answer.
struct Opening : ListLink<Opening> {
  Handle ticket;
  TunnelWaiter* waiter = nullptr;
  h2::HeaderList fields;  // of the CONNECT request
  // Of whoever waits, and good for as long as it does: where it is dialled, if it has to be.
  transport::NetContext context;
  ClientConnection* client = nullptr;
  void* entry = nullptr;           // the pool's, while it waits for a connection
  std::unique_ptr<Tunnel> tunnel;  // while the answer is awaited
  std::unique_ptr<Error> failure;  // to be told at the end of the pass
  Nanos deadline = 0;
  Nanos since = 0;  // asked for
  uint8_t attempts = 0;
  bool reused = false;
  bool early = false;  // DATA may go before the answer
};

// Told from the event loop. Openings given back are in no list.
class ClientEvents {
 public:
  // Streams may be opened, or more of them than before.
  virtual void onClientRoom(ClientConnection& client) = 0;
  // Answered with 2xx: take opening.tunnel.
  virtual void onOpened(ClientConnection& client, Opening& opening, const h2::HeaderList& fields) = 0;
  // `again`: the peer has not acted on the request, another connection may.
  virtual void onOpeningFailed(ClientConnection& client, Opening& opening, const Error& error,
                               bool again) = 0;
  // No stream is left and none will come. Its openings were given back before.
  virtual void onClientLost(ClientConnection& client, const Error& error) = 0;
  // Last call: retire it.
  virtual void onClientGone(ClientConnection& client) = 0;

 protected:
  ~ClientEvents() = default;
};

// One outbound connection: dial, TLS, HTTP/2, and the CONNECTs given to it.
class ClientConnection final : public ConnectionCarrier, private transport::DialEvents {
 public:
  ClientConnection(transport::EventLoop& loop, const DialParams& params, uint32_t streamsMax,
                   ClientEvents& events, h2::WindowLedger* ledger,
                   transport::TlsCounters* tlsCounters);
  ~ClientConnection() override;

  // Begins the dial. The socket options are those of `params`.
  void start(const DialParams& params);
  // How many more openings it takes now.
  uint32_t roomLeft() const;
  // Sent at the end of this pass.
  void give(Opening& opening);
  // Forgets the opening; a CONNECT already sent is reset.
  void cancel(Opening& opening);
  // Ends all now; openings are given back, no other call follows.
  void dispose(CloseReason reason);

  ClientState state() const;
  bool wasProven() const { return proven(); }
  bool endedByUs() const { return asked() != CloseReason::none; }
  uint32_t load() const { return static_cast<uint32_t>(streams() + given_.size()); }
  uint32_t streamsMax() const;
  uint64_t streamsServed() const { return streamsServed_; }
  Nanos startedAt() const { return startedAt_; }

  void* entry = nullptr;  // the pool's

 private:
  void onDialled(std::unique_ptr<transport::TcpStream> stream) override;
  void onDialFailed(const Error& error) override;
  void onReady() override;
  void onFields(h2::Stream& stream, const h2::HeaderList& fields, bool end) override;
  void onOpeningClosed(h2::Stream& stream, Tunnel& tunnel, const h2::StreamClose& close) override;
  void onTurn() override;
  Nanos openingDeadline() const override;
  void onOpeningDeadline(Nanos now) override;
  bool hasOpenings() const override { return !given_.empty(); }
  void onLost(const Error& error) override;
  void onGone() override;
  bool send(Opening& opening);
  void giveBack(Opening& opening, const Error& error, bool again);

  ClientEvents& events_;
  transport::TlsCounters* tlsCounters_;
  std::shared_ptr<const transport::Credentials> credentials_;
  std::vector<std::string> expectedPeers_;  // until the handshake begins
  std::unique_ptr<transport::Dial> dial_;
  IntrusiveList<Opening> given_;
  IntrusiveList<Opening> sent_;  // in the order of their deadlines
  const uint32_t streamsMax_;
  uint32_t limit_;  // lowered where the peer refused, raised again where it did not
  uint32_t roomTold_ = 0;
  uint64_t streamsServed_ = 0;
  Nanos startedAt_;
};

}  // namespace onehop::hbone
