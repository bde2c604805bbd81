"""The certificate of a project's X.509 authority: what Windows hosts and brokers are told to trust."""

from __future__ import annotations

import datetime as dt

from cryptography.hazmat.primitives.serialization import Encoding

from ostiary.doors.servers.control.secret import new_serial
from ostiary.pki.signer import Private
from ostiary.pki.x509_authority import new_authority

LIFE = dt.timedelta(days=5 * 365)
BEFORE = dt.timedelta(seconds=60)  # for clocks that are behind


def authority_text(name: str, key: Private, now: float) -> str:
    """The certificate (PEM) of a new authority over ``key``: what is to be trusted."""
    start = dt.datetime.fromtimestamp(int(now), dt.UTC) - BEFORE
    made = new_authority(name, key, serial=new_serial(), start=start, end=start + LIFE)
    return made.certificate.public_bytes(Encoding.PEM).decode()
