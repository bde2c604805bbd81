"""Every error a user can meet, in one tree. The number is the exit code.

    OstiaryError (1)
    ├── UsageError (2)        the command line is wrong
    ├── EstateError (3)       the estate file is wrong; carries every problem found
    ├── Denied (4)            Okta or AWS answered that this caller may not
    │   └── AssertionRefused      a SAML response was not accepted; code is AWS's own
    ├── NotFound (5)
    ├── Conflict (6)          the world is not as expected
    │   ├── StalePlan             what the plan was made from has changed
    │   ├── TamperedPlan          the plan file is not the one that was saved
    │   └── LeaseHeld             another run is working on this estate
    ├── Throttled (7)         still refused after every retry
    ├── Unreachable (8)       no answer, or no way in
    ├── GuardTripped (9)      refused because it could lock somebody out
    ├── Partial (10)          some of it was done; run again for the rest
    ├── ProofFailed (11)      somebody can enter what they should not, or the reverse
    ├── DriftFound (12)       the world differs from the estate
    └── Interrupted (130)     Ctrl-C or SIGTERM

Adapters translate foreign exceptions at their seam (``raise … from``); nothing else leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class OstiaryError(Exception):
    """Something failed: ``what`` on which object, ``why`` in the service's own words, one runnable ``fix``.

    ``code`` is the service's own error code where there is one (``AccessDenied``, ``E0000007``).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.code = code

    def as_json(self) -> Mapping[str, object]:
        """The same three lines for ``--json``."""
        return {"error": self.what, "why": self.why, "fix": self.fix, "code": self.code}

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what


class UsageError(OstiaryError):
    exit_code = 2


class EstateError(OstiaryError):
    """The estate is wrong. ``problems`` are lines of ``file:line: message``, all of them at once."""

    exit_code = 3

    def __init__(
        self, what: str, *, problems: Sequence[str] = (), why: str = "", fix: str = ""
    ) -> None:
        super().__init__(what, why=why or "; ".join(problems[:1]), fix=fix)
        self.problems = tuple(problems)

    def as_json(self) -> Mapping[str, object]:
        return {**super().as_json(), "problems": list(self.problems)}


class Denied(OstiaryError):
    exit_code = 4


class AssertionRefused(Denied):
    pass


class NotFound(OstiaryError):
    exit_code = 5


class Conflict(OstiaryError):
    exit_code = 6


class StalePlan(Conflict):
    pass


class TamperedPlan(Conflict):
    pass


class LeaseHeld(Conflict):
    pass


class Throttled(OstiaryError):
    exit_code = 7


class Unreachable(OstiaryError):
    """No answer. ``maybe_done`` says that a mutation was sent and its outcome is unknown."""

    exit_code = 8

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", code: str = "", maybe_done: bool = False
    ) -> None:
        super().__init__(what, why=why, fix=fix, code=code)
        self.maybe_done = maybe_done


class GuardTripped(OstiaryError):
    exit_code = 9


class Partial(OstiaryError):
    exit_code = 10


class ProofFailed(OstiaryError):
    exit_code = 11


class DriftFound(OstiaryError):
    exit_code = 12


class Interrupted(OstiaryError):
    exit_code = 130
