"""What became of each change of a plan."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ostiary.errors import Interrupted, OstiaryError, Partial, StalePlan
from ostiary.plan.change import Change, Unread
from ostiary.plan.resource import Owner

RESULTS = ("done", "failed", "stale", "blocked", "unknown", "left")
_NAMED = 20  # lines of an error text; --json has them all


@dataclass(frozen=True, slots=True)
class Result:
    """``result``: done · failed · stale (the object changed after the plan) · blocked (what it needs did not
    succeed) · unknown (sent, no answer, and no way to look) · left (not begun)."""

    change: Change
    result: str
    why: str = ""
    error: OstiaryError | None = None

    def __str__(self) -> str:
        return f"{self.change.key}: {self.result}{': ' if self.why else ''}{self.why}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``halted`` ended the run early: lease lost, journal not writable, too many failures, a failed canary."""

    run_id: str
    results: tuple[Result, ...]
    not_written: tuple[Change, ...] = ()  # unread and foreign
    unread: tuple[Unread, ...] = ()
    halted: OstiaryError | None = None
    interrupted: bool = False

    @property
    def done(self) -> tuple[Result, ...]:
        return self._with("done")

    @property
    def failed(self) -> tuple[Result, ...]:
        return self._with("failed")

    @property
    def stale(self) -> tuple[Result, ...]:
        return self._with("stale")

    @property
    def blocked(self) -> tuple[Result, ...]:
        return self._with("blocked")

    @property
    def unknown(self) -> tuple[Result, ...]:
        return self._with("unknown")

    @property
    def left(self) -> tuple[Result, ...]:
        return self._with("left")

    @property
    def converged(self) -> bool:
        """Every write is done; what could not be read or is foreign stays out of account."""
        return all(result.result == "done" for result in self.results)

    def counts(self) -> dict[str, int]:
        counts = Counter(result.result for result in self.results)
        return {name: counts[name] for name in RESULTS}

    def as_json(self) -> Mapping[str, object]:
        """For ``apply --json``."""
        rows = [
            {
                "key": str(one.change.key),
                "account": one.change.account,
                "action": one.change.action,
                "result": one.result,
                "why": one.why,
                "code": one.error.code if one.error else "",
                "fix": one.error.fix if one.error else "",
            }
            for one in self.results
        ]
        return {
            "run": self.run_id,
            "summary": self.counts(),
            "results": rows,
            "not_written": [
                {"key": str(change.key), "action": change.action, "why": change.reason}
                for change in self.not_written
            ],
            "unread": [{"scope": one.scope, "why": one.why} for one in self.unread],
            "halted": self.halted.as_json() if self.halted else None,
        }

    def raise_for_result(self) -> None:
        """Raise what the exit code should say: Interrupted, the halt's own error, StalePlan, or Partial."""
        counts = ", ".join(f"{number} {name}" for name, number in self.counts().items() if number)
        if self.interrupted:
            raise Interrupted("interrupted", why=counts, fix=_AGAIN)
        if self.halted is not None:
            raise self.halted
        rest = [one for one in self.results if one.result != "done"]
        lines = [str(one) for one in rest]
        lines += [f"{change.key}: {change.action}: {change.reason}" for change in self.not_written]
        lines += [f"{one.scope}: unread: {one.why}" for one in self.unread]
        if not lines:
            return
        if len(lines) > _NAMED:
            lines[_NAMED:] = [f"and {len(lines) - _NAMED} more"]
        why = "\n".join([counts or "nothing to write", *lines])
        if self.stale and all(one.result in ("stale", "blocked") for one in rest):
            raise StalePlan("not all of the plan still fits the world", why=why, fix=_AGAIN)
        in_the_way = [str(one.key) for one in self.not_written if one.owner is Owner.FOREIGN]
        adopt = f"run: ostiary adopt {shlex.join(in_the_way[:_NAMED])}"
        causes = (one.error.fix for one in rest if one.error and one.error.fix)
        fix = adopt if in_the_way else next(causes, _AGAIN)
        raise Partial("not all of the plan was applied", why=why, fix=fix)

    def _with(self, result: str) -> tuple[Result, ...]:
        return tuple(one for one in self.results if one.result == result)


_AGAIN = "run: ostiary apply (what is done stays done)"
