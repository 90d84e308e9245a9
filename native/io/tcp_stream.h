#pragma once

#include "base/address.h"
#include "io/event_loop.h"
#include "io/socket.h"
#include "io/stream.h"

namespace onehop::io {

// A connected TCP or unix socket. Registered once, edge-triggered; holds no buffer.
class TcpStream final : public ByteStream, private IoWatcher {
 public:
  // Fails when the loop cannot watch the descriptor. `watcher` is who watches it now, if anybody does,
  // and hears no more of it.
  static Result<std::unique_ptr<TcpStream>> adopt(EventLoop& loop, Fd fd,
                                                  IoWatcher* watcher = nullptr);
  ~TcpStream() override;

  IoResult readv(const iovec* parts, int count) override;
  IoResult writev(const iovec* parts, int count) override;
  void closeWrite() override;
  void reset(CloseReason reason) override;
  void setObserver(StreamObserver* observer) override { observer_ = observer; }
  // Not to be read any more once urgent data came: splice(2) does not go past its mark.
  int rawFd(RawUse use) const override {
    return urgent_ && use == RawUse::read ? -1 : fd_.get();
  }
  void noteKernelBlocked(bool reading) override;

  // Plain close(2), for a connection whose protocol has already ended in order.
  void closeInOrder();
  bool open() const { return static_cast<bool>(fd_); }
  EventLoop& loop() { return loop_; }

 private:
  TcpStream(EventLoop& loop, Fd fd) : loop_(loop), fd_(std::move(fd)) {}
  void onIo(uint32_t events) override;
  IoResult failure(int error, bool reading);
  void shut();

  EventLoop& loop_;
  StreamObserver* observer_ = nullptr;
  Fd fd_;
  bool readable_ = true;      // until a read says otherwise
  bool writable_ = true;
  bool wantsRead_ = false;    // told wouldBlock, owes onReadable
  bool wantsWrite_ = false;
  bool peerEnded_ = false;    // RDHUP seen: a short read may hide the end, so keep reading
  bool sawEnd_ = false;       // a read returned 0
  bool wroteEnd_ = false;
  bool urgent_ = false;       // a mark ends reads short of what waits
  bool failed_ = false;
};
static_assert(sizeof(TcpStream) <= 64);

}  // namespace onehop::io
