"""Sends a disk into a snapshot and kills itself, as ``kill -9`` does, at the moment it is told.

python killable_send.py DISK RUNS TOKEN POINT    POINT 0: at none; prints what became of it

A moment passes before and after each block's answer, around each append to the log, and around the completion.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from ostiary.aws.ebs_direct import EbsDirect
from ostiary.aws.session import Aws
from ostiary.aws.signed_calls import network
from ostiary.doors.gateway.image.formats import open_disk
from ostiary.doors.gateway.importing import direct
from ostiary.plan.runs import FolderStore

CONNECTIONS = 4


class Moments:
    def __init__(self, point: int) -> None:
        self.number, self.point, self.lock = 0, point, threading.Lock()

    def pass_by(self) -> None:
        with self.lock:
            self.number += 1
            if self.number == self.point:
                os.kill(os.getpid(), signal.SIGKILL)


def main(disk: Path, runs: Path, token: str, point: int) -> None:
    moments, real = Moments(point), os.fdatasync
    aws = Aws(region="us-east-1")
    over = network(os.environ["AWS_ENDPOINT_URL"], aws.clients.ca_bundle(), CONNECTIONS)

    def fdatasync(file: int) -> None:
        moments.pass_by()
        real(file)
        moments.pass_by()

    def send(*call):
        moments.pass_by()
        answer = over(*call)
        moments.pass_by()
        return answer

    os.fdatasync = fdatasync
    ebs = EbsDirect(aws, "us-east-1", connections=CONNECTIONS, send=send)
    complete = ebs.complete

    def completed(*said):
        moments.pass_by()
        complete(*said)
        moments.pass_by()

    ebs.complete = completed
    with disk.open("rb") as file:
        sent = direct.send(
            open_disk(file.fileno(), 0, disk.stat().st_size),
            ebs,
            FolderStore(runs).log(f"gateway/imports/{token}"),
            token=token,
            description="killed",
            tags={},
            connections=CONNECTIONS,
        )
    told = {"snapshot": sent.snapshot_id, "sent": sent.sent, "again": sent.again}
    sys.stdout.write(json.dumps({**told, "moments": moments.number}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
