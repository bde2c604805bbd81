"""The proof that cannot be argued with: sign in as every person and enter every role that is offered.

Possible where passwords are known, which is the sandbox. How an app is opened and a role entered is passed
in; this file decides who signs in where, and judges what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ostiary.doors.federation.seen import Desired
from ostiary.errors import Denied, NotFound, OstiaryError
from ostiary.model.access import Entitlement
from ostiary.model.account import AccountId
from ostiary.model.estate import Console, Estate
from ostiary.saml.roles import RolePair, parse_pairs
from ostiary.saml.verify import claimed_role_values, decode


@dataclass(frozen=True, slots=True)
class Secret:
    """How a person signs in. Never shown."""

    password: str = field(repr=False)
    totp: str | None = field(default=None, repr=False)  # base32


@dataclass(frozen=True, slots=True)
class SignIn:
    """One person at one console, and the roles that must be offered there, no more and no less."""

    login: str
    console: Console
    expected: frozenset[Entitlement]


OpenApp = Callable[[SignIn, Secret], str]
"""Sign in to Okta and open the console's app: the SAMLResponse in base64. Denied or NotFound: no such app for them."""
Enter = Callable[[SignIn, RolePair, str], str]
"""Exchange the assertion for credentials of the role and ask who they belong to: the caller's ARN."""


@dataclass(frozen=True, slots=True)
class SignInResult:
    """``offered`` by the assertion, ``entered`` for certain; ``refusals`` say why a role was not entered."""

    sign_in: SignIn
    offered: frozenset[Entitlement] = frozenset()
    entered: frozenset[Entitlement] = frozenset()
    refusals: tuple[str, ...] = ()
    error: str = ""

    @property
    def holds(self) -> bool:
        return not self.error and self.sign_in.expected == self.offered == self.entered

    @property
    def trouble(self) -> str:
        """Why it does not hold; "" when it does."""
        if self.holds:
            return ""
        missing = self.sign_in.expected - self.entered
        surplus = self.offered - self.sign_in.expected
        said = [self.error, *self.refusals]
        said += [f"{one.role_arn} was not entered" for one in sorted(missing)]
        said += [f"{one.role_arn} was offered and should not be" for one in sorted(surplus)]
        return "; ".join(filter(None, said))

    def as_json(self) -> dict[str, object]:
        return {
            "login": self.sign_in.login,
            "console": self.sign_in.console.name,
            "holds": self.holds,
            "expected": _arns(self.sign_in.expected),
            "offered": _arns(self.offered),
            "entered": _arns(self.entered),
            "refusals": list(self.refusals),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class SignInReport:
    results: tuple[SignInResult, ...]

    @property
    def expected(self) -> int:
        """How many (person, role) pairs the estate says."""
        return sum(len(one.sign_in.expected) for one in self.results)

    @property
    def succeeded(self) -> int:
        return sum(len(one.sign_in.expected & one.entered) for one in self.results)

    @property
    def holds(self) -> bool:
        return all(one.holds for one in self.results)

    def lines(self) -> list[str]:
        """What did not come out as the estate says, a line for each person and console."""
        return [
            f"{one.sign_in.login} at console {one.sign_in.console.name}: {one.trouble}"
            for one in self.results
            if not one.holds
        ]

    def as_json(self) -> dict[str, object]:
        return {
            "holds": self.holds,
            "expected": self.expected,
            "succeeded": self.succeeded,
            "people": [one.as_json() for one in self.results],
        }


def plan_sign_ins(estate: Estate, desired: Desired, logins: Iterable[str]) -> tuple[SignIn, ...]:
    """Every person at every console, those too who must be offered nothing there."""
    people = sorted(logins)
    planned = []
    for console in estate.consoles.values():
        reach = desired.by_console.get(console.name, frozenset())
        for login in people:
            mine = frozenset(one.entitlement for one in reach if one.login == login)
            planned.append(SignIn(login, console, mine))
    return tuple(planned)


def perform(
    planned: Iterable[SignIn], secrets: Mapping[str, Secret], open_app: OpenApp, enter: Enter
) -> SignInReport:
    """Sign everybody in and enter all that is offered. Failures are results, never exceptions."""
    return SignInReport(
        tuple(_perform(one, secrets[one.login], open_app, enter) for one in planned)
    )


def _perform(sign_in: SignIn, secret: Secret, open_app: OpenApp, enter: Enter) -> SignInResult:
    try:
        assertion = open_app(sign_in, secret)
    except (Denied, NotFound) as error:
        # Being let into no app at all is what is meant for people without any role there.
        return SignInResult(sign_in, error=str(error) if sign_in.expected else "")
    except OstiaryError as error:
        return SignInResult(sign_in, error=str(error))
    try:
        pairs = parse_pairs(claimed_role_values(decode(assertion)))
    except OstiaryError as error:
        return SignInResult(sign_in, error=str(error))
    entered: set[Entitlement] = set()
    refusals: list[str] = []
    for pair in pairs:
        try:
            caller = enter(sign_in, pair, assertion)
        except OstiaryError as error:
            refusals.append(f"{pair.role_arn}: {error}")
            continue
        if caller.startswith(_session_prefix(pair)):
            entered.add(_entitlement(pair))
        else:
            refusals.append(f"{pair.role_arn}: entered as {caller}")
    offered = frozenset(map(_entitlement, pairs))
    return SignInResult(sign_in, offered, frozenset(entered), tuple(refusals))


def _entitlement(pair: RolePair) -> Entitlement:
    return Entitlement(pair.partition, AccountId(pair.account_id), pair.role_name)


def _session_prefix(pair: RolePair) -> str:
    """How ``GetCallerIdentity`` names any session of the role."""
    return f"arn:{pair.partition}:sts::{pair.account_id}:assumed-role/{pair.role_name}/"


def _arns(entitlements: Iterable[Entitlement]) -> list[str]:
    return sorted(one.role_arn for one in entitlements)
