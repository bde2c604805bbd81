"""The one gate for everything dangerous. Read this file to know what Ostiary refuses to do.

Every change of a plan that takes something away or says who may enter is judged before the first write:

    incomplete   nothing is deleted in a scope that could not be read completely
    not ours     an object without our mark is not changed unless it is adopted, and never deleted
    protected    what a pattern names, or its kind says, is not written at all
    cap          per kind at most max(10, 5 %) and never above 20 % of what we own is taken away; one always may
    admin path   where accounts are touched so, a way in that depends on nothing of this plan must remain

All refusals are raised together. The cap and the admin path can be overridden, each by typing the exact kind and
number or account; overrides are written to the journal. The other rules cannot.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

from ostiary.errors import GuardTripped, UsageError
from ostiary.plan.change import Change, Plan
from ostiary.plan.resource import Key, Owner, Risk

CAP_FLOOR = 10
CAP_SHARE = 0.05
CAP_CEILING = 0.20

# Roles of AWS itself and of the ways in that must survive us. Patterns are globs over ``kind:name``.
PROTECTED = tuple(
    pattern
    for role in ("AWSReservedSSO_*", "AWSServiceRoleFor*", "AWSControlTower*", "stacksets-exec-*")
    for pattern in (f"iam-role:{role}", f"trust-statement:{role}/*")
)

ASK_AT_ONCE = 16  # accounts whose admin path is looked for side by side
_NO_OVERRIDE = "take what is named out of the estate, or our mark off it, then run: ostiary plan"
_ACCOUNT = re.compile(r"[0-9]{12}")


def protect_roles(names: Iterable[str]) -> tuple[str, ...]:
    """Patterns for ``protect: {roles: […]}`` of an estate: the role and its trust."""
    return tuple(
        pattern for name in names for pattern in (f"iam-role:{name}", f"trust-statement:{name}/*")
    )


class PathVerdict(Protocol):
    """``path`` names the way in that remains, ``why`` what is missing."""

    @property
    def ok(self) -> bool: ...

    @property
    def path(self) -> str: ...

    @property
    def why(self) -> str: ...


class AdminPath(Protocol):
    def check(self, account_id: str, touched: Collection[Key]) -> PathVerdict:
        """Does an admin principal remain whose credential depends on nothing touched? Unknown counts as no.

        Asked by several threads at once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the operator typed: ``--allow-deletions KIND=N``, ``--without-admin-path ACCOUNT_ID``, ``--cutover KEY``."""

    allow_deletions: Mapping[str, int] = field(default_factory=dict)
    without_admin_path: frozenset[str] = frozenset()
    cutover: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls,
        allow_deletions: Iterable[str],
        without_admin_path: Iterable[str],
        cutover: Iterable[str] = (),
    ) -> Overrides:
        allowed = {}
        for text in allow_deletions:
            kind, _, number = text.partition("=")
            if not (kind and number.isascii() and number.isdigit()):
                raise UsageError(
                    f"cannot use --allow-deletions {text}",
                    why="it is not KIND=N",
                    fix="write it as --allow-deletions okta-group=12",
                )
            allowed[kind] = int(number)
        return cls(allowed, frozenset(without_admin_path), frozenset(cutover))

    def as_json(self) -> dict[str, object]:
        return {
            "allow_deletions": dict(self.allow_deletions),
            "without_admin_path": sorted(self.without_admin_path),
            "cutover": sorted(self.cutover),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says. ``subject`` is a key, a kind or an account; ``fix`` an override where there is one."""

    rule: str
    subject: str
    ok: bool
    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """``protected`` are globs over ``kind:name``, added to the built-in ones."""

    admin_path: AdminPath
    protected: Sequence[str] = ()
    overrides: Overrides = field(default_factory=Overrides)

    def judge(self, plan: Plan, owned: Mapping[str, int] | None = None) -> tuple[Verdict, ...]:
        """Every refusal, and every admin path that was found or overridden."""
        changes = plan.writes
        return (
            *self._incomplete(plan),
            *(verdict for change in changes for verdict in self._object(change)),
            *self._caps(changes, plan.owned if owned is None else owned),
            *self._admin_paths(changes),
            *self._cutovers(changes),
        )

    def require(self, plan: Plan, owned: Mapping[str, int] | None = None) -> tuple[Verdict, ...]:
        """The verdicts; GuardTripped with all refusals if there is one."""
        verdicts = self.judge(plan, owned)
        refused = [verdict for verdict in verdicts if not verdict.ok]
        if refused:
            lines = [f"{one.rule}: {one.subject}: {one.why}" for one in refused]
            flags = sorted({one.fix for one in refused if one.fix})
            raise GuardTripped(
                f"refused to apply the plan of estate {plan.estate}",
                why="\n".join(lines),
                fix=" ".join(("look at each, then add:", *flags)) if flags else _NO_OVERRIDE,
            )
        return verdicts

    def _incomplete(self, plan: Plan) -> Iterable[Verdict]:
        unread = {(one.scope, kind) for one in plan.unread for kind in one.kinds}
        for change in plan.writes:
            if change.action == "delete" and (change.key.scope, change.key.kind) in unread:
                why = f"{change.key.scope} was not read completely"
                yield Verdict("incomplete", str(change.key), ok=False, why=why)

    def _object(self, change: Change) -> Iterable[Verdict]:
        key, taking = str(change.key), change.action in ("delete", "replace")
        adopted = change.adopts and change.owner is Owner.FOREIGN and not taking
        if change.action != "create" and change.owner is not Owner.OURS and not adopted:
            why = f"it is {change.owner.value if change.owner else 'unknown'}"
            yield Verdict("not ours", key, ok=False, why=why)
        if change.protected and (taking or change.risk is not Risk.NONE):
            yield Verdict("protected", key, ok=False, why="its kind protects it")
        name = f"{change.key.kind}:{change.key.name}"
        for pattern in (*PROTECTED, *self.protected):
            if fnmatchcase(name, pattern):
                yield Verdict("protected", key, ok=False, why=f"the pattern {pattern} names it")

    def _caps(self, changes: Sequence[Change], owned: Mapping[str, int]) -> Iterable[Verdict]:
        taken: dict[str, int] = defaultdict(int)
        for change in changes:
            least = 1 if change.action == "delete" and change.risk is not Risk.NONE else 0
            taken[change.key.kind] += max(least, change.detaches)
        for kind, number in sorted(taken.items()):
            have = owned.get(kind, 0)
            if number > cap(have) and self.overrides.allow_deletions.get(kind) != number:
                why = f"would take away {number} of {have}, the cap is {cap(have)}"
                yield Verdict(
                    "cap", kind, ok=False, why=why, fix=f"--allow-deletions {kind}={number}"
                )

    def _cutovers(self, changes: Sequence[Change]) -> Iterable[Verdict]:
        """A change that turns everybody's way in at once: the new one may not work until all of the plan is done."""
        for change in changes:
            key = str(change.key)
            if change.risk is Risk.CUTOVER and key not in self.overrides.cutover:
                why = f"changes {', '.join(change.differing)}: the way in of everybody, or of all who administer"
                yield Verdict(
                    "cutover", key, ok=False, why=why, fix=f"--cutover {shlex.quote(key)}"
                )

    def _admin_paths(self, changes: Sequence[Change]) -> Iterable[Verdict]:
        risky = {
            change.account
            for change in changes
            if change.risk is not Risk.NONE and _ACCOUNT.fullmatch(change.account)
        }
        if not risky:
            return
        touched = frozenset(change.key for change in changes)
        accounts = sorted(risky)
        with ThreadPoolExecutor(ASK_AT_ONCE, thread_name_prefix="guard") as pool:
            verdicts = list(pool.map(lambda one: self.admin_path.check(one, touched), accounts))
        for account, verdict in zip(accounts, verdicts, strict=True):
            if verdict.ok:
                yield Verdict("admin path", account, ok=True, why=verdict.path)
            elif account in self.overrides.without_admin_path:
                yield Verdict("admin path", account, ok=True, why=f"overridden: {verdict.why}")
            else:
                fix = f"--without-admin-path {account}"
                yield Verdict("admin path", account, ok=False, why=verdict.why, fix=fix)


def cap(owned: int) -> int:
    """How many of ``owned`` may be taken away in one run."""
    return max(1, int(min(max(CAP_FLOOR, owned * CAP_SHARE), owned * CAP_CEILING)))
