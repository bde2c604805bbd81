"""A passphrase, asked for as ssh-keygen does: by the program of SSH_ASKPASS, on the terminal, or from standard input.

Source: OpenSSH ssh-keygen(1), "ENVIRONMENT"; readpass.c: without a terminal at standard input a helper is asked if there is a
display; SSH_ASKPASS_REQUIRE is ``force``, ``prefer`` or ``never``. A helper that fails gives an empty passphrase.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys

HELPER = "/usr/bin/ssh-askpass"  # where Debian has one


def asked(prompt: str) -> bytes:
    if _wants_helper():
        return _by_helper(os.environ.get("SSH_ASKPASS") or HELPER, prompt)
    if _has_terminal():
        return os.fsencode(getpass.getpass(prompt))
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.buffer.readline().rstrip(b"\r\n")


def _wants_helper() -> bool:
    display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    required = os.environ.get("SSH_ASKPASS_REQUIRE", "").lower()
    if required == "force":
        return True
    if required == "never":
        return False
    return display and (required == "prefer" or not sys.stdin.isatty())


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _by_helper(program: str, prompt: str) -> bytes:
    try:
        done = subprocess.run([program, prompt], stdout=subprocess.PIPE, check=False)  # noqa: S603 - the program that the user named
    except OSError:
        return b""
    return b"" if done.returncode else done.stdout.partition(b"\n")[0].partition(b"\r")[0]
