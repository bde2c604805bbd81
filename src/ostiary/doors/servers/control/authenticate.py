"""Who a request is from: a person or machine by the token of a session, a host by its key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from sqlalchemy import Connection

from ostiary.doors.servers.control import host_proof, inventory, sessions, used_once
from ostiary.doors.servers.control.database import translated
from ostiary.doors.servers.control.endpoint import HOST, PERSON, Call, Endpoint
from ostiary.doors.servers.control.host_proof import Proof
from ostiary.doors.servers.control.lately import Lately
from ostiary.doors.servers.control.secret import token_hash
from ostiary.doors.servers.control.services import Services
from ostiary.doors.servers.control.sessions import Caller
from ostiary.doors.servers.wire.host import HEADER
from ostiary.doors.servers.wire.session_proof import HEADER as PROOF_HEADER
from ostiary.doors.servers.wire.session_proof import mac
from ostiary.errors import Denied

SKEW = 60.0  # seconds that the clock of who asks may be off
LONGEST_TIME = 12  # digits
SHORTEST_NONCE, LONGEST_NONCE = 16, 64
NO_PROOF = "its proof is not of the form: Ostiary-Proof: TIME NONCE DIGEST MAC"
ALONE = "run: unset OSTIARY_CONTROL_TOKEN_FILE (it is for the session of a machine: ostiary login --machine NAME)"
SIGN_IN = "run: ostiary login (in a pipeline: ostiary login --machine NAME)"


def authenticate(services: Services, endpoint: Endpoint, call: Call) -> None:
    """Note in the call who made it. Denied when they did not prove it."""
    if endpoint.who == PERSON:
        caller = person(services, call)
        proven(caller, call, services.clock())
        call.caller = caller
    elif endpoint.who == HOST:
        call.proof = host(services, call)


def use_up(services: Services, endpoint: Endpoint, call: Call) -> None:
    """Denied where a person's proof was taken already: what it makes is made once."""
    if call.caller is not None and not call.caller.is_machine and not endpoint.repeatable:
        services.writer.write([], lambda connection, _: _use(connection, call))


def person(services: Services, call: Call) -> Caller:
    """Whose session it is; ``proven`` says whether they ask."""
    found = people(services, [call])[0]
    if isinstance(found, Denied):
        raise found
    return found


def may_send(services: Services, call: Call) -> None:
    """Denied unless who sends a large body is in a session, by the head of the request."""
    caller = person(services, call)
    if not caller.is_machine:
        proven_head(caller, call, services.clock())


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


def proven(caller: Caller, call: Call, now: float) -> None:
    """Denied unless this very request was made where the session began. A machine is whoever bears its token."""
    if caller.is_machine:
        return
    digest = proven_head(caller, call, now)
    if hashlib.sha256(call.body).hexdigest() != digest:
        raise _unproven("its proof is of another body")


def proven_head(caller: Caller, call: Call, now: float) -> str:
    """Denied unless the head of this request was made there, a person's; the digest that its body must have."""
    header = call.headers.get(PROOF_HEADER)
    if header is None:
        why = "it is a person's, and comes with a token alone, as one from a file does"
        raise _unproven(why, fix=ALONE)
    stamp, _, told = header.rpartition(" ")
    at, digest = _time_and_digest(stamp)
    if abs(now - int(at)) > SKEW:
        why = f"it was made {int(at) - now:+.0f} s from now, by the clock of who asks"
        raise _unproven(why, fix="set the clock of this machine: timedatectl set-ntp true")
    wanted = mac(caller.proof_key, call.method, call.target, stamp)
    is_good = hmac.compare_digest(wanted.encode(), told.encode())
    if not is_good or not caller.proof_key:  # anybody could prove by a key that is empty
        raise _unproven("its proof is not by the key of this session, or of another request")
    return digest


def _time_and_digest(stamp: str) -> tuple[str, str]:
    parts = stamp.split(" ")
    if len(parts) == 3:  # noqa: PLR2004 - the nonce, too
        at, nonce, digest = parts
        is_time = at.isascii() and at.isdigit() and len(at) <= LONGEST_TIME
        if is_time and SHORTEST_NONCE <= len(nonce) <= LONGEST_NONCE:
            return at, digest
    raise _unproven(NO_PROOF)


def _use(connection: Connection, call: Call) -> None:
    """Take the one use of a proof that is good."""
    proof = call.headers[PROOF_HEADER]
    until = int(proof.partition(" ")[0]) + SKEW + 1
    if not used_once.use(connection, token_hash(proof), until):
        raise _unproven("this very request was made already", fix="run the same command again")


def _not_signed_in(why: str) -> Denied:
    return Denied("cannot answer this", why=why, fix="run: ostiary login", code="no-session")


def _unproven(why: str, fix: str = SIGN_IN) -> Denied:
    what = "cannot take this for a request of the session"
    return Denied(what, why=why, fix=fix, code="unproven")
