"""The proof of an estate, as it is told: a sentence, the pairs that are wrong, JSON."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.doors.federation.proof import ProofResult
from ostiary.term import counted


@dataclass(frozen=True, slots=True)
class Proof:
    """The mapping computed for everyone from what Okta and AWS hold, against the estate."""

    result: ProofResult
    accounts: int

    @property
    def holds(self) -> bool:
        return self.result.holds

    def as_json(self) -> dict[str, object]:
        return {**self.result.as_json(), "accounts": self.accounts}

    def lines(self) -> list[str]:
        return [
            f"{one.login} cannot enter {one.entitlement.role_arn}" for one in self.result.missing
        ] + [
            f"{one.login} can enter {one.entitlement.role_arn} and should not"
            for one in self.result.surplus
        ]

    def sentence(self) -> str:
        people = len({one.login for one in self.result.expected})
        if self.holds:
            return (
                f"proof: {people} people can enter exactly the {len(self.result.expected)} "
                f"(person, role) pairs of the estate in {counted(self.accounts, 'account')}"
            )
        return f"proof failed: {len(self.result.missing)} pairs missing, {len(self.result.surplus)} too many"
