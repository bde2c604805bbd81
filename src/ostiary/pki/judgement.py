"""Judging a certificate before it is signed: the request, the objection, and who may object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ostiary.pki.ssh_certificate import Certificate

LONGEST_TEXT = 1024  # characters of a key id or of a value


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate not signed yet, for one server, judged at ``now`` (seconds since the epoch)."""

    certificate: Certificate
    server_id: str
    now: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code`` names the judge (``principals``, ``validity``…), ``why`` what was wrong."""

    code: str
    why: str


class Validator(Protocol):
    def check(self, request: Request) -> Refusal | None: ...


def first_refusal(validators: Iterable[Validator], request: Request) -> Refusal | None:
    """The first objection; None when nobody has one."""
    return next(filter(None, (each.check(request) for each in validators)), None)
