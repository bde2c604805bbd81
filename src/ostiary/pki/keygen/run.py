"""The whole of one call, and its exit code: 0, 1 for wrong arguments, 255 for what failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ostiary import term
from ostiary.errors import OstiaryError, UsageError
from ostiary.pki.keygen import show, sign, talk
from ostiary.pki.keygen.arguments import Asked, parse

USAGE = """\
usage: python -m ostiary.pki -s ca_key -I certificate_identity [-hqU] [-n principals]
                             [-O option] [-P passphrase] [-t algorithm]
                             [-V validity_interval] [-z serial_number] file ...
       python -m ostiary.pki -L [-E fingerprint_hash] -f input_keyfile"""
FAILED = 255
_HANDED_ON = "OSTIARY_PKI_HANDED_ON"


def main(arguments: Sequence[str]) -> int:
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr] # ids need not be UTF-8
    sys.stderr.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        asked = parse(arguments)
        return _run(asked, arguments)
    except UsageError as error:
        talk.say(str(error))
        term.say(USAGE)
        return 1
    except OstiaryError as error:
        talk.say(str(error))
        return FAILED


def _run(asked: Asked, arguments: Sequence[str]) -> int:
    if asked.authority and not set(asked.others) & set("kQY"):
        if "D" in asked.others:
            raise OstiaryError("cannot sign with a PKCS#11 token", why="-D is not served here")
        sign.sign_files(asked)
        return 0
    if asked.show and not asked.others:
        if asked.files:
            raise UsageError("Too many arguments.")
        if not asked.shown:
            raise UsageError("Too few arguments.")
        return 0 if show.show(asked.shown, asked.hash) else 1
    return _hand_on(arguments)


def _hand_on(arguments: Sequence[str]) -> int:
    """Calls that are not about certificates are OpenSSH's own: its ssh-keygen takes this process over."""
    if os.environ.get(_HANDED_ON):
        raise OstiaryError("cannot do this", why="the ssh-keygen in PATH is this program itself")
    try:
        os.execvpe("ssh-keygen", ["ssh-keygen", *arguments], {**os.environ, _HANDED_ON: "1"})  # noqa: S606, S607 - the same words, no shell
    except OSError as error:
        raise OstiaryError("cannot run ssh-keygen", why=str(error.strerror)) from error
