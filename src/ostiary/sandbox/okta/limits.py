"""Rate limits per bucket and minute, as Okta last published them (facts of 2025; see docs fidelity).

An API token or OAuth client may use half of a bucket, Okta's default share per principal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

WINDOW = 60.0
SHARE = 0.5

_BUCKETS: tuple[tuple[str, str, tuple[int, int, int]], ...] = (
    ("/api/v1/apps/{id}", r"/api/v1/apps/[^/]+", (100, 600, 500)),
    ("/api/v1/apps", r"/api/v1/apps(/.*)?", (20, 100, 100)),
    ("/api/v1/groups", r"/api/v1/groups", (100, 600, 500)),
    ("/api/v1/groups/{id}", r"/api/v1/groups/(?!rules)[^/]+(/.*)?", (100, 600, 1000)),
    ("/api/v1/users", r"/api/v1/users", (100, 600, 600)),
    ("/api/v1/users/{id}", r"/api/v1/users/[^/]+", (100, 1000, 2000)),
    ("/api/v1/logs", r"/api/v1/logs", (20, 50, 120)),
    ("/api/v1", r"/api/v1/.*", (100, 600, 1200)),
    ("/app/{app}/{key}/sso/saml", r"/app/[^/]+/[^/]+/sso/saml", (100, 600, 750)),
    ("/oauth2/v1/token", r"/oauth2/v1/token", (300, 1200, 2000)),
)
PROFILES = {"integrator": 0, "enterprise": 1, "workforce": 2}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the headers say after a call: ``limit`` per window, ``remaining``, ``reset`` (epoch seconds)."""

    limit: int
    remaining: int
    reset: int
    refused: bool = False

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("x-rate-limit-limit", str(self.limit)),
            ("x-rate-limit-remaining", str(self.remaining)),
            ("x-rate-limit-reset", str(self.reset)),
        )


def bucket(path: str) -> tuple[str, tuple[int, int, int]] | None:
    """The bucket of a path: its name and its limit in each profile."""
    return next(
        ((name, limits) for name, pattern, limits in _BUCKETS if re.fullmatch(pattern, path)),
        None,
    )


@dataclass(slots=True)
class Meter:
    """Counts calls in windows of 60 s that begin with the first call after the last window."""

    windows: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    def take(
        self, path: str, principal: str, now: float, profile: str, scale: float
    ) -> Allowance | None:
        """Count one call; ``principal`` is empty for calls that nobody's share limits. None: no bucket."""
        found = bucket(path)
        if found is None:
            return None
        name, limits = found
        limit = int(limits[PROFILES[profile]] * scale)
        if not principal:
            return self._count((name, ""), limit, now)
        own = self._count((name, principal), max(1, int(limit * SHARE)), now)
        if own.refused:
            return own
        whole = self._count((name, ""), limit, now)
        return whole if whole.refused else own

    def _count(self, key: tuple[str, str], limit: int, now: float) -> Allowance:
        start, used = self.windows.get(key, (now, 0))
        if now >= start + WINDOW:
            start, used = now, 0
        reset = int(start + WINDOW) + 1
        if used >= limit:
            return Allowance(limit, 0, reset, refused=True)
        self.windows[key] = (start, used + 1)
        return Allowance(limit, limit - used - 1, reset)
