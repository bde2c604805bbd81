"""What is said on stderr, as OpenSSH's ``log.c`` says it: control bytes and bytes beyond ASCII escaped, CR LF at the end.

So no key id, principal or file name can forge a line or speak to a terminal.
"""

from __future__ import annotations

import re

from ostiary import term
from ostiary.pki.ssh_wire import encoded

_UNSAFE = re.compile(rb"[^ -~\t\n\a\b\r]")


def say(text: str) -> None:
    data = encoded(text).replace(b"\\", b"\\\\")
    text = _UNSAFE.sub(lambda found: b"\\%03o" % found[0][0], data).decode("ascii")
    term.say(text + "\r", as_is=True)
