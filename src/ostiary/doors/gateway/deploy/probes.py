"""Whether a deployed gateway answers: TLS on port 443, and the Access Gateway API where it is reachable.

A probe never fails a deployment by itself; it says what it saw. Source of the API: Okta, "Okta Access Gateway API" (from
2025.10.0 on, for callers in private address ranges) and "Enable or disable the Access Gateway API" (off at first).
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from dataclasses import dataclass

SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Probe:
    """``state`` is alive, off, refused, silent or broken; ``told`` what it said of itself.

    What is not ``needed`` may be off for good.
    """

    target: str
    state: str
    told: str = ""
    needed: bool = True


def probe_tls(host: str, port: int = 443, seconds: float = SECONDS) -> Probe:
    """Shakes hands and looks at the certificate, which is self-signed until a person installs another."""
    target = f"{host}:{port}"
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as plain,
            _unverified().wrap_socket(plain, server_hostname=host) as secure,
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


def probe_api(host: str, domain: str, port: int = 443, seconds: float = SECONDS) -> Probe:
    """Asks API v2 for the applications without a token: where it is on, it says 401 or 403."""
    target = f"{host}:{port}/api/v2"
    connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=_unverified())
    try:
        connection.request("GET", "/api/v2/apps", headers={"host": domain or host})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Probe(target, "off", f"no answer ({str(error)[:80]})", needed=False)
    finally:
        connection.close()
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return Probe(target, "alive", f"asks for a token ({status})", needed=False)
    return Probe(
        target, "off", f"HTTP {status}: not turned on, or not for this address", needed=False
    )


def _unverified() -> ssl.SSLContext:
    """Who it is, is told by the certificate's fingerprint, not believed: at first it is self-signed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
