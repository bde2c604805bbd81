"""What ``make test`` and ``make chaos`` run: checks, the fast layers, then the system layer.

As root it first installs the Debian packages of ``requirements/debian.txt`` with service start denied.
With CI=true, or as root, a missing piece fails; without root, tests that need it are counted as not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
SERVED = "tests/contract/servers"  # over HTTP, on SQLite and PostgreSQL
ROOM = 4 * 1024**3  # bytes; a layer of tests leaves about a tenth of it behind
FAST = ("tests/unit", "tests/contract", "tests/scripts")
# One after the other: each layer has a conftest.py of its own, and a name can be of one of them only.
CROWD = "tests/system/test_control_many.py"  # by the clock, and both cores are too few for it and others
CHAOS = {
    "in process": ("-n", "2", "tests/unit", "tests/property"),
    "system": ("-n", "2", "--ignore", CROWD, "tests/system"),
    "crowd": (CROWD,),
}
POLICY = Path("/usr/sbin/policy-rc.d")


def say(text: str) -> None:
    sys.stderr.write(f"== {text}\n")
    sys.stderr.flush()


def run(*command: str | Path, env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(part) for part in command], cwd=TOP, env=env, check=False).returncode


@contextmanager
def service_start_denied():
    """Debian's own way to install without starting: a policy-rc.d that answers 101."""
    before = POLICY.read_bytes() if POLICY.exists() else None
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(before)


def debian_packages() -> int:
    """Install what is missing; only root may, and only where dpkg exists."""
    if os.geteuid() != 0 or not shutil.which("dpkg-query"):
        return 0
    lines = (TOP / "requirements/debian.txt").read_text().splitlines()
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    missing = [name for name in wanted if name not in there]
    if not missing:
        return 0
    say(f"installing {' '.join(missing)} (no service is started)")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with service_start_denied():
        return run("apt-get", "-qq", "update", env=env) or run(
            "apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing, env=env
        )


def client_environments() -> int:
    """One environment for each foreign client, from its own lock, made again when the lock changes."""
    for lock in sorted((TOP / "requirements/clients").glob("*.lock.txt")):
        folder = TOP / ".envs" / lock.name.removesuffix(".lock.txt")
        stamp = folder / "lock.txt"
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            continue
        say(f"installing {folder.name} into an environment of its own")
        shutil.rmtree(folder, ignore_errors=True)
        pip = folder / "bin/pip"
        failed = run(sys.executable, "-m", "venv", folder) or run(
            pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock
        )
        if failed:
            return failed
        stamp.write_bytes(lock.read_bytes())
    return 0


def bytecode_kept() -> dict[str, str]:
    """This environment, but that bytecode is kept: each worker would compile everything again."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def pytest(*arguments: str, folder: str | None = None) -> int:
    """What was not run is listed at the end, with the reason. ``folder`` is where temporary files go."""
    env = bytecode_kept()
    if folder:
        env["TMPDIR"] = folder
    return run(sys.executable, "-m", "pytest", "-rs", *arguments, env=env)


@contextmanager
def in_memory():
    """A folder that no disk is behind, None without room for one: these layers judge nothing that a power cut would undo."""
    shared = Path("/dev/shm")
    try:
        room = os.statvfs(shared)
    except OSError:
        room = None
    if room is None or room.f_flag & os.ST_NOEXEC or room.f_bavail * room.f_frsize < ROOM:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ostiary-test-", dir=shared) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as nobody there
        yield folder


def timed(name: str, step) -> None:
    """Run one step; end with its exit code when it fails."""
    say(name)
    started = time.monotonic()
    code = step()
    say(
        f"{name}: {'ok' if code == 0 else f'failed ({code})'} in {time.monotonic() - started:.1f} s"
    )
    if code:
        sys.exit(code)


@contextmanager
def collected_meanwhile():
    """One process compiles the tests, with what pytest makes of their assertions, beside checks that leave a core idle: else
    each worker of the next layer would do it. What is wrong with them is told there.
    """
    env = bytecode_kept()
    command = [sys.executable, "-m", "pytest", "--collect-only", *FAST]
    process = subprocess.Popen(
        command, cwd=TOP, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.wait()


def main() -> None:
    timed("packages", debian_packages)
    timed("clients", client_environments)
    if "--chaos" in sys.argv:
        os.environ["OSTIARY_CHAOS"] = "full"
        for name, what in CHAOS.items():
            how = ("-m", "chaos", "--dist", "loadfile", "--durations=20")
            timed(f"chaos, {name}", partial(pytest, *how, *what))
        return
    with collected_meanwhile():
        timed(
            "ruff",
            lambda: run(BIN / "ruff", "check", ".") or run(BIN / "ruff", "format", "--check", "."),
        )
        timed("mypy", lambda: run(BIN / "mypy"))
        timed("import contracts", lambda: run(BIN / "lint-imports", "--no-cache"))
    with in_memory() as folder:
        # Some of these, and half of the served, wait for something: more of them than there are cores end sooner.
        fast = ("-n", "3", "--dist", "worksteal", "--ignore", SERVED)
        timed("unit, contract, scripts", lambda: pytest(*fast, *FAST, folder=folder))
        served = ("-n", "4", "--dist", "worksteal", SERVED)
        timed("control plane, as served", lambda: pytest(*served, folder=folder))
        timed("property", lambda: pytest("-n", "2", "tests/property", folder=folder))
    # They wait for hosts, browsers and seconds that have to pass: by two on two cores half of the time.
    timed(
        "system",
        lambda: pytest("-n", "3", "--dist", "loadfile", "tests/system", "tests/images"),
    )


if __name__ == "__main__":
    main()
