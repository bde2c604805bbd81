"""All that programs write, as strace saw it: what went into files, by path, and what went elsewhere.

A file counts by whatever path it had when it was written to, so one that is moved or deleted afterwards counts as well.
Source: strace(1), of which ``-y`` says the path behind each descriptor.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections import defaultdict
from pathlib import Path

SENDING = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg")
UNSEEN = (
    "mmap",
    "sendfile",
    "splice",
    "copy_file_range",
    "vmsplice",
)  # whose bytes strace shows not
OPENING = "%file"
_CALL = re.compile(r"\b(?P<name>[a-z]\w+)\((?P<rest>.*)", re.DOTALL)
_PATH = re.compile(r"(?<![\w\"])\d+<(?P<path>/[^>]*)>")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_OPENED = re.compile(
    r'(?:openat|open|creat|mknod|mknodat)\(.*?"([^"]*)".*(?:O_WRONLY|O_RDWR|O_CREAT)'
)
_NO_FILES = ("/dev/null", "/dev/tty", "/dev/pts/", "/dev/ptmx")


def strace(trace: Path) -> list[str]:
    """What a command is started by, to be seen with all of its children until this is terminated. A file each: TRACE.PID."""
    calls = ",".join((OPENING, *SENDING, *UNSEEN))
    options = ["-I", "1", "-ff", "-qq", "-y", "-s", "1000000", "-e", f"trace={calls}"]
    return ["strace", *options, "-o", str(trace)]


class Written:
    """``files``: path -> all bytes; ``elsewhere``: those into sockets, pipes and terminals; ``opened`` to be written."""

    def __init__(self, trace: Path) -> None:
        self.files: dict[str, bytes] = defaultdict(bytes)
        self.elsewhere = b""
        self.opened: set[str] = set()
        for one in sorted(trace.parent.glob(f"{trace.name}.*")):
            for line in one.read_text("latin-1").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        if found := _OPENED.search(line):
            self.opened.add(found[1])
        call = _CALL.search(line)
        if call is None or call["name"] not in SENDING + UNSEEN:
            return
        name, rest = call["name"], call["rest"]
        if name in UNSEEN:
            by_map = name == "mmap" and not ("MAP_SHARED" in rest and "PROT_WRITE" in rest)
            assert by_map or not any(map(_is_file, _PATH.findall(rest))), f"not seen: {line}"
            return
        texts = _TEXT.findall(rest)
        assert not any(cut for _, cut in texts), f"cut by strace: {line[:200]}"
        data = b"".join(codecs.escape_decode(text.encode("latin-1"))[0] for text, _ in texts)
        first = _PATH.match(rest)
        if first and _is_file(first["path"]):
            self.files[first["path"]] += data
        else:
            self.elsewhere += data


def _is_file(path: str) -> bool:
    return not path.startswith(_NO_FILES)


def forms(secret: bytes) -> list[bytes]:
    """As it is, in hex, and in base64 wherever it begins there."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret)
        found.append(text[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6])
    return found
