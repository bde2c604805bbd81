"""Who a request is from: a person or machine by the token of a session, a host by its key."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence

from ostiary.doors.servers.control import host_proof, inventory, second_library, sessions
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import HOST, PERSON, Call, Endpoint
from ostiary.doors.servers.control.host_proof import Proof
from ostiary.doors.servers.control.lately import Lately
from ostiary.doors.servers.control.secret import token_hash
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.wire.host import HEADER
from ostiary.doors.servers.wire.person import DEVICE_HEADER, DEVICE_NAMESPACE
from ostiary.errors import Denied, OstiaryError
from ostiary.pki import ssh_key

DEVICE_SKEW = 60.0  # seconds that a device's clock may be off


def authenticate(services: Services, endpoint: Endpoint, call: Call) -> None:
    """Note in the call who made it. Denied when they did not prove it."""
    if endpoint.who == PERSON:
        call.caller = person(services, call)
    elif endpoint.who == HOST:
        call.proof = host(services, call)


def person(services: Services, call: Call) -> Caller:
    found = people(services, [call])[0]
    if isinstance(found, Denied):
        raise found
    return found


def people(
    services: Services, calls: Sequence[Call], lately: Lately[Caller] | None = None
) -> Sequence[Caller | Denied]:
    """Who makes each call, looked up for all of them at once, unless it was ``lately``."""
    now = services.clock()
    hashes = [_session(call) for call in calls]
    known = _still_known(lately, hashes, now) if lately is not None else {}
    if wanted := {one: None for one in hashes if one and one not in known}:
        with translated("cannot look up the session"), services.database.reading() as connection:
            found = sessions.find_all(connection, list(wanted), now)
        known.update(found)
        if lately is not None:
            lately.keep(found)
    ended = "the session has ended, or there is none"
    none = "no session came with the request"
    return [known.get(one) or _not_signed_in(ended if one else none) for one in hashes]


def _still_known(lately: Lately[Caller], hashes: Sequence[str], now: float) -> dict[str, Caller]:
    found = ((one, lately.get(one)) for one in hashes)
    return {one: caller for one, caller in found if caller is not None and caller.expires > now}


def _session(call: Call) -> str:
    """The hash of the token that came with it, "" for none."""
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token_hash(token) if token and scheme.lower() == "bearer" else ""


def host(services: Services, call: Call) -> Proof:
    """The proof of the server that it names, with the key that was enrolled; its challenge is used up."""
    now = services.clock()
    asked = (call.method, call.target, call.body)
    proof = host_proof.check(services.challenges, call.headers.get(HEADER, ""), asked, now)
    if proof.server_id:
        with translated("cannot look up the server"), services.database.reading() as connection:
            server = inventory.known(connection, proof.server_id)
        if server is not None and server.state == inventory.RETIRED:  # whose key is kept no more
            raise host_proof.retired()
        if server is None or server.host_key != proof.key.text():
            raise host_proof.refused("no server of this id has the key that signed")
    services.writer.write(
        [], lambda connection, ledger: host_proof.use(connection, ledger, proof.challenge)
    )
    return proof


def device(caller: Caller, call: Call, now: float) -> None:
    """Denied unless the session's device signed this very request. A machine has none: whoever bears its token is it."""
    if caller.is_machine:
        return
    if not caller.device:
        raise _no_device("the sign-in named no key of a device (device_key)")
    time, _, signature = call.headers.get(DEVICE_HEADER, "").partition(" ")
    if not time.isascii() or not time.replace(".", "", 1).isdigit():
        raise _no_device("it is not: Ostiary-Device: TIME SIGNATURE")
    if abs(now - float(time)) > DEVICE_SKEW:
        raise _no_device(f"it was signed {now - float(time):+.0f} s from now")
    digest = hashlib.sha256(call.body).hexdigest()
    path = call.target.partition("?")[0]
    message = f"{DEVICE_NAMESPACE}\n{call.method}\n{path}\n{time}\n{digest}".encode()
    try:
        signed = base64.b64decode(signature, validate=True)
        second_library.verify_ed25519(_key(caller.device_key), signed, message)
    except (OstiaryError, ValueError) as error:
        raise _no_device("the device of the session did not sign it") from error


@functools.lru_cache(maxsize=4096)
def _key(text: str) -> ssh_key.PublicKey:
    key = ssh_key.parse(text)
    assert key.type == second_library.ED25519, "sessions.register takes no other"
    return key


def _not_signed_in(why: str) -> Denied:
    return Denied("cannot answer this", why=why, fix="run: ostiary login", code="no-session")


def _no_device(why: str) -> Denied:
    return Denied(
        "cannot take this for a request of the session's device",
        why=why,
        fix="run: ostiary login",
        code="bad-device-proof",
    )
