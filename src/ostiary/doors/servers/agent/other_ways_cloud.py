"""What cloud-init lets in: keys, default users and passwords that its settings put on an instance at its first boot.

Settings are YAML, for which the standard library has nothing: lines are read, in the forms that cloud-init's own pages
write and in JSON. What cannot be read as lines is told as such, not passed over.
Source: cloud-init's documentation of users and groups, ssh and set-passwords (``-`` is an older spelling of ``_`` in names
of settings), and of what it keeps in /var/lib/cloud/instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ostiary.doors.servers.agent.files import read_of_others

MOST = 256 * 1024  # bytes of one file that are read; EC2 gives an instance at most 16 KB
AROUND = 200  # lines above and below a setting that are looked at for whose it is
_SETTINGS = ("etc/cloud/cloud.cfg", "etc/cloud/cloud.cfg.d/*.cfg")
_GIVEN = "var/lib/cloud/instance"  # a link to what the instance of now was given
_FILES = (
    "user-data.txt",
    "user-data.txt.i",
    "vendor-data.txt",
    "vendor-data.txt.i",
    "cloud-config.txt",
)
_AT_FIRST = "at the first boot of an instance"
_GZIP = b"\x1f\x8b"

_PASSWORDS = re.compile(
    r"^(?:ssh_pwauth|[^#\n]*\"ssh_pwauth\")[ \t]*:[ \t]*['\"]?(?:true|yes|on|1)\b",
    re.MULTILINE | re.IGNORECASE,
)
_ENCODED = re.compile(r"^Content-Transfer-Encoding:[ \t]*base64", re.MULTILINE | re.IGNORECASE)
_LINE = re.compile(r"([ \t]*)((?:-[ \t]+)*)(.*)")
_KEYS = re.compile(
    r"(?:|(?P<flow>[^#]*[{,][ \t]*))['\"]?(?P<name>ssh[_-](?:authorized[_-]keys|import[_-]id))['\"]?"
    r"[ \t]*:(?:[ \t]*(?P<value>[^ \t].*))?"
)
_NOTHING = re.compile(r"(?:\[[ \t]*\]|null|~|''|\"\")[ \t]*(?:[,}\]#].*)?", re.IGNORECASE)
_DEFAULT_USER = re.compile(r"['\"]?default_user['\"]?[ \t]*:[ \t]*(?:\{?|#.*)")
_OWNER = re.compile(r"['\"]?name['\"]?[ \t]*:[ \t]*['\"]?([A-Za-z0-9_.-]+)")


class Found(NamedTuple):
    """``account`` is "" where it is not for one, or the line does not say for which."""

    account: str
    where: str
    detail: str


class _Line(NamedTuple):
    indent: int
    column: int  # of what stands behind the dashes of a list
    text: str


def find(root: Path) -> Iterator[Found]:
    """Each once, with the first file that says it."""
    told = set()
    for file in _files(root):
        for account, detail in _of(file):
            if (account, detail) not in told:
                told.add((account, detail))
                yield Found(account, f"/{file.relative_to(root)}", detail)


def _files(root: Path) -> Iterator[Path]:
    named = [file for one in _SETTINGS for file in sorted(root.glob(one))]
    named += [root / _GIVEN / one for one in _FILES]
    return (one for one in named if one.is_file())


def _of(file: Path) -> Iterator[tuple[str, str]]:
    """(account, detail) of all that one file says."""
    try:
        data = read_of_others(file, MOST + 1)
    except OSError:
        yield "", f"{file.name} cannot be read: not looked into"
        return
    if data is None:
        return
    if data.startswith(_GZIP):
        yield "", f"{file.name} is compressed: not looked into"
        return
    if len(data) > MOST:
        yield "", f"{file.name} has more than {MOST >> 10} KB: the rest is not looked into"
    text = data[:MOST].decode("utf-8", "replace")
    if _ENCODED.search(text):
        yield "", f"{file.name} has parts in base64: not looked into"
    lines = [_line(one) for one in text.splitlines()]
    for account in _default_users(lines):
        yield account, "default user: gets the instance's key at its first boot"
    yield from _keys(lines)
    if _PASSWORDS.search(text):
        yield "", f"ssh_pwauth: turns passwords on {_AT_FIRST}"


def _line(text: str) -> _Line:
    match = _LINE.match(text)
    if match is None or match[3].startswith("#"):
        return _Line(0, 0, "")
    return _Line(len(match[1]), len(match[1]) + len(match[2]), match[3].rstrip())


def _default_users(lines: Sequence[_Line]) -> Iterator[str]:
    for at, line in enumerate(lines):
        if not _DEFAULT_USER.fullmatch(line.text):
            continue
        for below in lines[at + 1 : at + AROUND]:
            if below.text and below.column <= line.column:
                break
            if match := _OWNER.match(below.text):
                yield match[1]
                break


def _keys(lines: Sequence[_Line]) -> Iterator[tuple[str, str]]:
    for at, line in enumerate(lines):
        match = _KEYS.match(line.text)
        if match is None:
            continue
        value = match["value"] or "#"
        if not (_goes_on(lines, at) if value[0] == "#" else not _NOTHING.fullmatch(value)):
            continue
        account = "" if match["flow"] else _owner(lines, at)
        yield account, f"{match['name'].replace('-', '_')}: written {_AT_FIRST}"


def _goes_on(lines: Sequence[_Line], at: int) -> bool:
    """Whether the value of a name is in the lines below it."""
    below = next((one for one in lines[at + 1 : at + AROUND] if one.text), None)
    if below is None:
        return False
    column = lines[at].column
    return below.indent > column or (below.indent == column and below.column > column)


def _owner(lines: Sequence[_Line], at: int) -> str:
    """The ``name`` beside it, in the same item of a list or the same mapping."""
    column = lines[at].column
    if column == 0:
        return ""
    beside = []
    for line in reversed(lines[max(0, at - AROUND) : at + 1]):
        if line.text and line.column < column:
            break
        beside.append(line)
        if line.text and line.indent < column:
            break
    for line in lines[at + 1 : at + AROUND]:
        if line.text and line.indent < column:
            break
        beside.append(line)
    names = (_OWNER.match(one.text) for one in beside if one.text and one.column == column)
    return next((one[1] for one in names if one), "")
