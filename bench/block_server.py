"""A block server for the bench: takes PutSnapshotBlock and counts. It checks the checksum of one block in fifty.

    python bench/block_server.py FILE    prints its port

Threads, plain HTTP on loopback, nothing kept. Not a simulator: what the service refuses is the sandbox's to refuse.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections import Counter

put: Counter[int] = Counter()
_lock = threading.Lock()


def serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb", buffering=1 << 20)
    while line := stream.readline():
        method, target, _ = line.split(b" ", 2)
        headers = {}
        while field := stream.readline().strip():
            name, _, value = field.partition(b":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get(b"content-length", 0)))
        answer = b""
        if method == b"GET" and target == b"/counts":
            with _lock:
                answer = json.dumps({"put": sum(put.values()), "distinct": len(put)}).encode()
        elif method == b"POST" and target == b"/snapshots":
            answer = b'{"SnapshotId":"snap-1","BlockSize":524288,"Status":"pending"}'
        elif method == b"PUT":
            index = int(target.rpartition(b"/")[2])
            with _lock:
                put[index] += 1
            digest = base64.b64encode(hashlib.sha256(body).digest()) if index % 50 == 0 else b""
            if len(body) != 524288 or (digest and digest != headers[b"x-amz-checksum"]):
                connection.sendall(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")
                continue
        else:
            answer = b'{"Status":"pending"}'
        head = f"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
        connection.sendall(head.encode() + answer)


def until_gone(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:  # a client that is killed resets its connections
        serve(connection)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=until_gone, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
