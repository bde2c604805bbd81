"""Bringing the accounts of a host in line: 1,000 people at once, beside newusers with the same list in the same run.

The bar is newusers as the distribution has it: it gives each a password, and hashing those is nearly all of its time; we give
none. What it takes with a PAM service that takes the password and does nothing is told beside: it writes all accounts at once,
where we call useradd for each.
Each is measured on a host of its own: a mount namespace whose /etc, /var and /home are this machine's under an overlay, so
that nothing of this machine changes. Needs root. With libnss-extrausers unpacked or installed, both backends are measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measure import TOP, Bar

PYTHON = Path("/usr/bin/python3")  # the distribution's, as on a host
LIBRARY = "libnss_extrausers.so.2"
BAR_EXTRAUSERS = 1.0  # seconds for 1,000
OVERLAY = """
set -e
mount -t tmpfs t "$0"
for one in /etc /var /home /usr/local; do
  mkdir -p "$0$one/upper" "$0$one/work"
  mount -t overlay o -o "lowerdir=$one,upperdir=$0$one/upper,workdir=$0$one/work" "$one"
done
"""
EXTRAUSERS = """
cp "$1" /usr/local/lib/ && ldconfig
sed -i -E '/^(passwd|group|shadow):/s/$/ extrausers/' /etc/nsswitch.conf
"""
APPLY = """
import json, sys, time
from pathlib import Path
from ostiary.doors.servers.agent import accounts
from ostiary.doors.servers.wire.host import HostUser
many = [HostUser(f"u{n:05}", 65600 + n, 65600 + n, "someone") for n in range(int(sys.argv[1]))]
for round in range(2):
    began = time.monotonic()
    done = accounts.apply(many, (), Path("/var/lib/ostiary/owned.json"))
    assert len(done.entering) == len(many), done.problems[:3]
    print(json.dumps(time.monotonic() - began))
"""
NO_HASH = """
from pathlib import Path
Path("/etc/pam.d/newusers").write_text("password required pam_permit.so\\n")
"""
NEWUSERS = """
import json, subprocess, sys, time
lines = [f"u{n:05}:pass{n}:{65600 + n}:{65600 + n}:someone:/home/u{n:05}:/bin/bash" for n in range(int(sys.argv[1]))]
began = time.monotonic()
subprocess.run(["newusers"], input="\\n".join(lines) + "\\n", text=True, check=True)
print(json.dumps(time.monotonic() - began))
"""


def bars(people: int) -> Iterator[Bar]:
    name = f"{people} LocalUsers"
    if os.geteuid() != 0:
        yield Bar(name, "not run: needs root for namespaces")
        return
    (newusers,), (bare,) = _measured(NEWUSERS, people), _measured(NO_HASH + NEWUSERS, people)
    peer = f"newusers {newusers:.2f} s"
    first, again = _measured(APPLY, people)
    yield Bar(f"{name}, useradd", f"{first:.2f} s", peer, "<= newusers", first <= newusers)
    yield Bar(f"{name}, newusers that hashes no passwords", "", f"{bare:.2f} s")
    yield Bar(f"{name}, useradd, nothing to do", f"{again:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        library = _library(Path(folder))
        if library is None:
            yield Bar(f"{name}, extrausers", "not run: needs the package libnss-extrausers")
            return
        first, again = _measured(APPLY, people, library)
    bar = BAR_EXTRAUSERS * max(people, 1000) / 1000
    yield Bar(f"{name}, extrausers", f"{first:.2f} s", peer, f"<= {bar:.0f} s", first <= bar)
    yield Bar(f"{name}, extrausers, nothing to do", f"{again:.2f} s")


def _measured(script: str, people: int, library: Path | None = None) -> list[float]:
    """What the script printed, one number a line, run by the distribution's Python on a host of its own."""
    shell = OVERLAY + (EXTRAUSERS if library else "") + 'exec "$2" -c "$3" "$4"\n'
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as scratch:
        more = [scratch, library or "-", PYTHON, script, people]
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", shell, *map(str, more)],
            env={**os.environ, "PYTHONPATH": str(TOP / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"reconcile ended with {done.returncode}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _library(folder: Path) -> Path | None:
    for there in (Path("/usr/lib") / LIBRARY, Path("/usr/lib/x86_64-linux-gnu") / LIBRARY):
        if there.exists():
            return there
    command = ["apt-get", "download", "libnss-extrausers"]
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
        return folder / "usr/lib" / LIBRARY
    return None


if __name__ == "__main__":
    sizes = [int(one) for one in sys.argv[1:]] or [1000]
    started = time.monotonic()
    for size in sizes:
        for bar in bars(size):
            print(bar)
    print(f"{time.monotonic() - started:.0f} s")
