"""The whole simulated world as one value: clock, switches, Okta org, AWS partitions.

It is built by a seed (``sandbox/seeds.py``), mutated by the simulators and by tests, and never persisted.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ostiary.sandbox.clock import Clock

if TYPE_CHECKING:
    from ostiary.sandbox.aws.state import Cloud
    from ostiary.sandbox.okta.state import OktaOrg


@dataclass(slots=True)
class Switches:
    """What the world does wrong on purpose. Shares are 0..1, times are seconds.

    ``latency`` is added to every answer by the adapters (outside the world's lock).
    """

    latency: float = 0.0
    throttle_share: float = 0.0  # answered Throttling (AWS) or 429 (Okta) before any effect
    lost_answer_share: float = 0.0  # mutating calls that take effect, then the connection drops
    cut_page_share: float = 0.0  # list calls that lose their connection after the first page
    visible_after: float = (
        0.0  # IAM eventual consistency: writes seen by reads and by STS this much later
    )
    rule_delay: float = 0.0  # Okta group rules take effect this long after activation or a change
    denied: set[tuple[str, str]] = field(
        default_factory=set
    )  # (account id, IAM action), "*" for any


@dataclass(slots=True)
class World:
    """Everything that exists. Adapters hold ``lock`` around each call of a handler."""

    clock: Clock = field(default_factory=Clock)
    switches: Switches = field(default_factory=Switches)
    random: random.Random = field(default_factory=lambda: random.Random(60001))  # noqa: S311 - repeatable faults, no secret
    lock: threading.RLock = field(default_factory=threading.RLock)
    okta: OktaOrg = field(init=False)
    aws: Cloud = field(init=False)
    calls: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # (service, operation, account or org), in order

    def begin_again(self) -> None:
        """Forget everything that happened; a seed then fills the world as at its beginning."""
        self.clock = Clock()
        self.switches = Switches()
        self.random = random.Random(60001)  # noqa: S311 - repeatable, no secret
        self.calls = []
