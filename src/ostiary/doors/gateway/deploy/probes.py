"""Whether a deployed gateway answers: TLS on port 443, and the Access Gateway API where it is reachable.

A probe never fails a deployment by itself; it says what it saw. Source of the API: Okta, "Access Gateway API v2".
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass

SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Probe:
    """``state`` is alive, refused, silent or broken; ``told`` what it said of itself."""

    target: str
    state: str
    told: str = ""


def probe_tls(host: str, port: int = 443, seconds: float = SECONDS) -> Probe:
    """Shakes hands and looks at the certificate, which is self-signed until a person installs another."""
    target = f"{host}:{port}"
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is, is told by the fingerprint, not believed
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert(binary_form=True) or b""
            version = secure.version() or ""
    except ConnectionRefusedError:
        return Probe(target, "refused", "nothing listens there yet")
    except TimeoutError:
        return Probe(target, "silent", f"no answer in {seconds:.0f} s")
    except (OSError, ssl.SSLError) as error:
        return Probe(target, "broken", str(error.strerror or error)[:120])
    digest = hashlib.sha256(certificate).hexdigest()
    return Probe(target, "alive", f"{version}, certificate SHA-256 {digest[:16]}…")
