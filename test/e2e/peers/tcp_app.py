"""A plain TCP application for the namespace tests: knows nothing of any mesh."""

import hashlib
import json
import os
import socket
import sys
import threading


def host_port(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def serve_one(connection, peer):
    """Answers `ask` with what it saw; echoes anything that starts with a NUL."""
    with connection:
        first = connection.recv(65536)
        if first[:1] == b"\0":
            while first:
                connection.sendall(first)
                first = connection.recv(1 << 20)
            return
        text = first
        while True:
            more = connection.recv(65536)
            if not more:
                break
            text += more
        connection.sendall(json.dumps({"reply": text.decode(), "sourceSeen": peer[0]}).encode())


def serve(address):
    listener = socket.create_server(host_port(address), backlog=1024)
    print("listening", flush=True)
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=serve_one, args=(connection, peer), daemon=True).start()


def ask(address, text):
    with socket.create_connection(host_port(address), timeout=5) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    facts = json.loads(answer) if answer else {"reply": ""}
    facts["complete"] = bool(answer)
    print(json.dumps(facts))


def bulk(address, size):
    size = int(size)
    sent, received, count = hashlib.sha1(), hashlib.sha1(), 0
    with socket.create_connection(host_port(address), timeout=30) as connection:
        def send():
            left = size
            block = b"\0" + os.urandom((1 << 20) - 1)
            while left:
                part = block[:left]
                sent.update(part)
                connection.sendall(part)
                left -= len(part)
            connection.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=send)
        thread.start()
        while True:
            part = connection.recv(1 << 20)
            if not part:
                break
            received.update(part)
            count += len(part)
        thread.join()
    print(json.dumps({"same": sent.digest() == received.digest(), "bytes": count}))


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "bulk": bulk}[sys.argv[1]](*sys.argv[2:])
