"""An independent HBONE peer: Python's ssl for TLS 1.3 and h2 for HTTP/2. Client and server."""

import argparse
import json
import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.events


def tls_context(args, server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(args.root)
    context.load_cert_chain(args.cert, args.key)
    context.set_alpn_protocols(["h2"])
    return context


def uris(connection):
    names = connection.getpeercert().get("subjectAltName", ())
    return [value for kind, value in names if kind == "URI"]


def host_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def report(**facts):
    print(json.dumps(facts), flush=True)


def client(args):
    """One CONNECT: sends stdin in full, then END_STREAM; reports what came back."""
    payload = sys.stdin.buffer.read()
    raw = socket.create_connection(host_port(args.address), timeout=args.timeout,
                                   source_address=(args.bind, 0) if args.bind else None)
    tls = tls_context(args, server=False).wrap_socket(raw)
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    conn.initiate_connection()
    headers = [(":method", args.method), (":authority", args.authority)]
    if args.method != "CONNECT":
        headers += [(":scheme", "https"), (":path", "/")]
    conn.send_headers(1, headers)
    tls.sendall(conn.data_to_send())
    sent, ended, status, received, reset, goaway = 0, False, None, b"", None, None
    response_headers = {}
    while True:
        if status == "200" and not ended:
            while sent < len(payload):
                size = min(conn.local_flow_control_window(1), conn.max_outbound_frame_size,
                           len(payload) - sent)
                if size == 0:
                    break
                conn.send_data(1, payload[sent:sent + size])
                sent += size
            if sent == len(payload):
                conn.end_stream(1)
                ended = True
        out = conn.data_to_send()
        if out:
            tls.sendall(out)
        bytes_in = tls.recv(65536)
        if not bytes_in:
            break
        done = False
        for event in conn.receive_data(bytes_in):
            if isinstance(event, h2.events.ResponseReceived):
                response_headers = {k.decode(): v.decode() for k, v in event.headers}
                status = response_headers[":status"]
                done = done or event.stream_ended is not None
            elif isinstance(event, h2.events.DataReceived):
                received += event.data
                conn.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                done = True
            elif isinstance(event, h2.events.StreamReset):
                reset, done = event.error_code, True
            elif isinstance(event, h2.events.ConnectionTerminated):
                goaway = event.error_code
        if done:
            break
    report(status=status, headers=response_headers, reset=reset, goaway=goaway, alpn=tls.selected_alpn_protocol(),
           peer=uris(tls), sent=sent, received=len(received), same=received == payload,
           body=received[:200].decode("latin1"))
    tls.close()


def serve_one(tls, args):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    conn.initiate_connection()
    tls.sendall(conn.data_to_send())
    pending = {}
    while True:
        bytes_in = tls.recv(65536)
        if not bytes_in:
            return
        for event in conn.receive_data(bytes_in):
            if isinstance(event, h2.events.RequestReceived):
                headers = {k.decode(): v.decode() for k, v in event.headers}
                report(event="connect", headers=headers, peer=uris(tls), alpn=tls.selected_alpn_protocol())
                if args.refuse:
                    conn.send_headers(event.stream_id, [(":status", str(args.refuse))], end_stream=True)
                else:
                    conn.send_headers(event.stream_id, [(":status", "200")])
                    pending[event.stream_id] = [b"", False]
            elif isinstance(event, h2.events.DataReceived):
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                pending[event.stream_id][0] += event.data
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in pending:
                pending[event.stream_id][1] = True
            elif isinstance(event, h2.events.StreamReset):
                report(event="reset", code=event.error_code)
                pending.pop(event.stream_id, None)
        for stream_id, state in list(pending.items()):
            while state[0]:
                size = min(conn.local_flow_control_window(stream_id), conn.max_outbound_frame_size,
                           len(state[0]))
                if size == 0:
                    break
                conn.send_data(stream_id, state[0][:size])
                state[0] = state[0][size:]
            if state[1] and not state[0]:
                conn.end_stream(stream_id)
                del pending[stream_id]
        tls.sendall(conn.data_to_send())


def serve_thread(raw, context, args):
    try:
        with context.wrap_socket(raw, server_side=True) as tls:
            serve_one(tls, args)
    except (OSError, ssl.SSLError) as error:
        report(event="failed", error=str(error))


def server(args):
    context = tls_context(args, server=True)
    listener = socket.create_server(host_port(args.address))
    report(event="listening", port=listener.getsockname()[1])
    while True:
        raw, _ = listener.accept()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve_thread, args=(raw, context, args), daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "server"])
    parser.add_argument("--address", required=True)
    parser.add_argument("--authority", default="")
    parser.add_argument("--method", default="CONNECT")
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--bind", default="")
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=10)
    args = parser.parse_args()
    (client if args.role == "client" else server)(args)


if __name__ == "__main__":
    main()
