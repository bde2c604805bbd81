"""``-V``: when a certificate is good, in every form that ssh-keygen takes; and the words for it."""

from __future__ import annotations

import calendar
import re
import time

from ostiary.errors import OstiaryError
from ostiary.pki.ssh_certificate import ALWAYS, FOREVER, Certificate

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"([0-9]+)([smhdw]?)", re.IGNORECASE | re.ASCII)
_ABSOLUTE = re.compile(r"([0-9]{8}|[0-9]{12}|[0-9]{14})(z|utc)?", re.IGNORECASE | re.ASCII)
_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE | re.ASCII)
_MOST_SECONDS = (1 << 31) - 1
_BACKDATE = 59  # seconds, then down to the whole minute: hosts' clocks differ


def parse(text: str, now: int) -> tuple[int, int]:
    """``valid_after`` and ``valid_before`` in seconds since the epoch. Raises OstiaryError in ssh-keygen's words."""
    if text.startswith("+") and ":" not in text:
        seconds = _span(text[1:])
        if seconds is None:
            raise OstiaryError(f"Invalid relative certificate life {text}")
        return (now - _BACKDATE) // 60 * 60, now + seconds
    start, _, end = text.partition(":")
    if not start or not end:
        raise OstiaryError(f"Invalid certificate life specification {text}")
    valid_after = ALWAYS if start == "always" else _moment(start, "from", now)
    valid_before = FOREVER if end == "forever" else _moment(end, "to", now)
    if valid_before <= valid_after:
        raise OstiaryError("Empty certificate validity interval")
    return valid_after, valid_before


def words(certificate: Certificate) -> str:
    """``from 2026-01-01T00:00:00 to …`` in local time, as ``-L`` prints it."""
    start, end = certificate.valid_after, certificate.valid_before
    if (start, end) == (ALWAYS, FOREVER):
        return "forever"
    if start == ALWAYS:
        return f"before {_local(end)}"
    if end == FOREVER:
        return f"after {_local(start)}"
    return f"from {_local(start)} to {_local(end)}"


def _moment(text: str, which: str, now: int) -> int:
    if text[0] in "+-":
        return _relative(text, now)
    if text.startswith("0x"):
        return _hex(text)
    moment = _absolute(text)
    if moment is None:
        raise OstiaryError(f'Invalid {which} time "{text}"')
    return moment


def _relative(text: str, now: int) -> int:
    seconds = _span(text[1:])
    if seconds is None:
        raise OstiaryError(f"Invalid relative certificate time {text}")
    if text[0] == "+":
        return now + seconds
    if seconds > now:
        raise OstiaryError(f"Certificate time {text} cannot be represented")
    return now - seconds


def _span(text: str) -> int | None:
    """Seconds of ``1w2d3h``; None for anything else, and for more than 31 bits."""
    parts = _SPAN.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        return None
    seconds = sum(int(number) * _UNITS[unit.lower()] for number, unit in parts)
    return seconds if seconds <= _MOST_SECONDS else None


def _hex(text: str) -> int:
    if not _HEX.fullmatch(text):
        raise OstiaryError("Invalid certificate time: not a number")
    number = int(text, 16)
    if number > FOREVER:
        raise OstiaryError(
            "parse_hex_u64: Invalid certificate time", why="Numerical result out of range"
        )
    return number


def _absolute(text: str) -> int | None:
    """``YYYYMMDD[HHMM[SS]]``, local unless Z or UTC follows. Days past a month's end run on, as in C."""
    found = _ABSOLUTE.fullmatch(text)
    if found is None:
        return None
    digits = found[1].ljust(14, "0")
    year, rest = int(digits[:4]), [int(digits[at : at + 2]) for at in range(4, 14, 2)]
    month, day, hour, minute, second = rest
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 62):  # noqa: PLR2004 - the calendar's own numbers
        return None
    fields = (year, month, day, hour, minute, second, 0, 0, 0)
    try:
        seconds = calendar.timegm(fields) if found[2] else int(time.mktime(fields))
    except (ValueError, OverflowError):
        return None
    return seconds & FOREVER


def _local(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(min(seconds, (1 << 63) - 1)))
    except (ValueError, OverflowError, OSError):
        return "UNKNOWN-TIME"
