"""What shows that a request is made where its session was begun: header ``Ostiary-Proof: TIME NONCE MAC``.

TIME is in whole seconds since the epoch, within 60 s of the control plane's clock; NONCE is 16 to 64 characters that no other
request of that time has; MAC is the hex of HMAC-SHA-256 under ``Session.proof_key`` (its ASCII) over
``ostiary-request@v1 LF METHOD LF path-with-query LF TIME NONCE LF sha256-hex-of-body``. One proof makes one change.
The key crosses the wire once, when the session begins, like the secret key of temporary credentials of AWS; the token,
which crosses it each time, is of no use without. Sources: RFC 2104; AWS, "Signature Version 4".
"""

from __future__ import annotations

import hmac

HEADER = "ostiary-proof"
NAMESPACE = "ostiary-request@v1"


def mac(key: str, method: str, target: str, stamp: str, digest: str) -> str:
    """For a request with this ``TIME NONCE`` whose body has this SHA-256, both as they are in the message."""
    message = f"{NAMESPACE}\n{method}\n{target}\n{stamp}\n{digest}"
    return hmac.digest(key.encode(), message.encode(), "sha256").hex()
