"""Asks an HTTP server as fast as it answers: a process of its own, one thread and one kept connection for each client.

python bench/load.py < JOB.json

JOB: ``clients`` (a list: ``address`` to come from, ``port``, ``requests`` as base64, asked in turn), ``seconds``, or ``each``
(requests of each client). Tells JSON: ``latencies`` of the answers 200, in seconds; ``refused`` by status; ``seconds``.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

END = b"\r\n\r\n"


def main() -> None:
    job = json.load(sys.stdin)
    seconds, each = job.get("seconds", 3600.0), job.get("each", sys.maxsize)
    begin = threading.Barrier(len(job["clients"]) + 1)
    asked = [Asked(one, seconds, each, begin) for one in job["clients"]]
    for one in asked:
        one.start()
    begin.wait()
    started = time.perf_counter()
    for one in asked:
        one.join()
    took = time.perf_counter() - started
    refused = sum((one.refused for one in asked), Counter())
    said = next((one.said for one in asked if one.said), "")
    print(
        json.dumps(
            {
                "latencies": [round(value, 7) for one in asked for value in one.latencies],
                "refused": refused,
                "said": said,
                "seconds": took,
            }
        )
    )


class Asked(threading.Thread):
    """One client. ``latencies`` are of the answers 200; ``said`` is the first other answer's body."""

    def __init__(
        self, client: Mapping[str, Any], seconds: float, each: int, begin: threading.Barrier
    ) -> None:
        super().__init__()
        self.latencies: list[float] = []
        self.refused: Counter[str] = Counter()
        self.said = ""
        self._client = client
        self._seconds = seconds
        self._each = each
        self._begin = begin

    def run(self) -> None:
        requests = [base64.b64decode(one) for one in self._client["requests"]]
        source = (self._client["address"], 0)
        place = ("127.0.0.1", self._client["port"])
        with socket.create_connection(place, timeout=60, source_address=source) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin.wait()
            until = time.perf_counter() + self._seconds
            for number in range(self._each):
                started = time.perf_counter()
                if started > until:
                    return
                connection.sendall(requests[number % len(requests)])
                status, body = _answer(connection)
                if status == 200:
                    self.latencies.append(time.perf_counter() - started)
                else:
                    self.refused[str(status)] += 1
                    self.said = self.said or body.decode(errors="replace")[:500]


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    data = b""
    while END not in data:
        data += _more(connection)
    head, _, body = data.partition(END)
    lines = head.split(b"\r\n")
    size = next(int(one[15:]) for one in lines if one.lower().startswith(b"content-length:"))
    while len(body) < size:
        body += _more(connection)
    return int(lines[0].split()[1]), body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server hung up")
    return data


if __name__ == "__main__":
    main()
