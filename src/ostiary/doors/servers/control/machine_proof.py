"""How a machine proves who it is: a JWT by a key of its own, a token of its pipeline's issuer, or its role at AWS.

Every proof is good once and for a short time. Sources: RFC 7523, 3; GitHub, "About security hardening with OpenID
Connect"; GitLab, "ID token authentication"; RFC 8725 (algorithms are pinned, keys come from our own side only).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from joserfc import jws, jwt
from joserfc.errors import JoseError

from ostiary.doors.servers.control.aws_caller import MOST_AGE as AWS_AGE
from ostiary.doors.servers.control.aws_caller import AwsCallers
from ostiary.doors.servers.control.identity import mark_of
from ostiary.doors.servers.control.issuer_keys import IssuerKeys
from ostiary.doors.servers.control.machine_faults import (
    OIDC,
    PRIVATE_KEY_JWT,
    ROLE,
    ROLE_ID,
    key_set,
)
from ostiary.doors.servers.wire.admin import Machine
from ostiary.errors import Denied

ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
SKEW = 60.0
OWN_SECONDS = 300.0  # longest life of a JWT by a machine's own key
MOST_LIFE = 24 * 3600.0  # of a pipeline's token: GitLab's live as long as the job
MOST_BYTES = 16 * 1024
# Headers by which a token would bring its own key, or rules of its own.
STRANGE = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})


@dataclass(frozen=True, slots=True)
class Proven:
    """``mark`` stands for the proof until ``until``: nobody uses it twice. ``role_id`` is of an AWS role, "" otherwise.

    ``told`` is what the audit keeps of it.
    """

    mark: str = field(repr=False)
    until: float
    told: Mapping[str, str]
    role_id: str = ""


class MachineProofs:
    """Judges proofs. ``control`` is this control plane's URL, the audience of JWTs by machines' own keys."""

    def __init__(
        self, control: str, keys: IssuerKeys, callers: AwsCallers, clock: Callable[[], float]
    ) -> None:
        self._control = control
        self._keys = keys
        self._callers = callers
        self._clock = clock

    def check(self, machine: Machine, proof: str) -> Proven:
        """Denied with the reason; Unreachable when who could confirm it does not answer."""
        if not proof.isascii() or len(proof) > MOST_BYTES:
            raise refused(machine, "the proof is too long, or no text of ASCII")
        if machine.kind == OIDC:
            return self._by_issuer(machine, proof)
        if machine.kind == PRIVATE_KEY_JWT:
            return self._by_own_key(machine, proof)
        return self._by_role(machine, proof)

    def _by_own_key(self, machine: Machine, proof: str) -> Proven:
        kid = _kid(machine, proof)
        key = key_set(machine.public_keys).get(kid)
        claims = _claims(machine, proof, key)
        me = f"machine:{machine.name}"
        if claims.get("iss") != me or claims.get("sub") != me:
            raise refused(machine, f"iss and sub are not {me}")
        if claims.get("aud") not in (self._control, [self._control]):
            raise refused(machine, f"aud is not {self._control}")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise refused(machine, "it has no jti")
        until = self._times(machine, claims, OWN_SECONDS)
        return Proven(_mark(f"{me}\n{jti}"), until, {"kid": kid})

    def _by_issuer(self, machine: Machine, proof: str) -> Proven:
        kid = _kid(machine, proof)
        claims = _claims(machine, proof, self._keys.key(machine.issuer, kid))
        if claims.get("iss") != machine.issuer:
            raise refused(machine, "another issuer made it")
        if claims.get("aud") not in (machine.audience, [machine.audience]):
            raise refused(machine, "it is for another audience")
        for wanted in machine.claims:
            if not _is(claims.get(wanted.key), wanted.value):
                raise refused(machine, f"its claim {wanted.key} is not the one that is asked for")
        until = self._times(machine, claims, MOST_LIFE)
        told = {"issuer": machine.issuer, "sub": str(claims["sub"])[:500]}
        return Proven(mark_of(proof), until, told)

    def _by_role(self, machine: Machine, proof: str) -> Proven:
        presigned = self._callers.checked(proof, self._clock())
        caller = self._callers.ask(presigned)
        role = ROLE.fullmatch(machine.arn)
        if role is None or (caller.account, caller.role) != (role[1], role[2]):
            raise refused(machine, f"it is role {caller.role} of account {caller.account}")
        fixed = {one.value for one in machine.claims if one.key == ROLE_ID}
        if fixed and caller.role_id not in fixed:
            raise refused(machine, f"it is another role of that name, {caller.role_id}")
        told = {
            "role": caller.role,
            "account": caller.account,
            "role_id": caller.role_id,
            "session": caller.session,
        }
        until = presigned.signed + 2 * AWS_AGE
        return Proven(_mark(presigned.signature), until, told, caller.role_id)

    def _times(self, machine: Machine, claims: Mapping[str, Any], most: float) -> float:
        """When the proof ends. Refused unless it is of now and short-lived."""
        now = self._clock()
        expires, issued = claims.get("exp"), claims.get("iat")
        begins = claims.get("nbf", issued)
        if not _number(expires) or not _number(issued) or not _number(begins):
            raise refused(machine, "it does not say from when and until when it is good")
        if expires <= now:
            raise refused(machine, "it has expired")
        if issued > now + SKEW or begins > now + SKEW:
            raise refused(machine, "it is from the future")
        if expires - issued > most or expires > now + most + SKEW:
            raise refused(machine, f"it is good for more than {most:.0f} s")
        return float(expires)


def refused(machine: Machine, why: str) -> Denied:
    return Denied(
        f"cannot sign in machine {machine.name}",
        why=why,
        fix="see how it is set, and whose it is: ostiary servers project show PROJECT",
        code="bad-machine-proof",
    )


def _kid(machine: Machine, proof: str) -> str:
    try:
        header: Mapping[str, Any] = jws.extract_compact(proof.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise refused(machine, "it is no JWT") from error
    if strange := sorted(STRANGE & header.keys()):
        raise refused(machine, f"its header has {', '.join(strange)}")
    return str(header.get("kid", ""))


def _claims(machine: Machine, proof: str, key: Any | None) -> Mapping[str, Any]:
    if key is None:
        raise refused(machine, "its key is none that is known")
    try:
        claims: Mapping[str, Any] = jwt.decode(proof, key, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, TypeError) as error:
        raise refused(machine, "its signature is not by that key") from error
    return claims


def _is(said: object, wanted: str) -> bool:
    """Exactly equal; a boolean or number as JSON writes it."""
    if isinstance(said, bool):
        return wanted == str(said).lower()
    return wanted == str(said) if isinstance(said, str | int) else False


def _number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
