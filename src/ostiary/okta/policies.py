"""Authentication policies: which one an app has, and whether it asks for a second factor.

Source: Okta API, "Policies" (type ACCESS_POLICY) and "Authentication policy rules" (``verificationMethod``). Orgs
of the classic engine have none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ostiary.errors import NotFound
from ostiary.okta.app_shape import NATIVE
from ostiary.okta.client import Object, OktaClient, segment


@dataclass(frozen=True, slots=True)
class AppPolicy:
    """The policy of one app. ``mfa`` is None where that cannot be told."""

    label: str
    app_id: str
    policy: str | None
    mfa: bool | None


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """``warnings`` are whole sentences for ``plan`` and ``doctor``."""

    apps: tuple[AppPolicy, ...]
    warnings: tuple[str, ...]


class Policies:
    """Names and ids of the org's authentication policies, listed once and again when one is not known."""

    def __init__(self, client: OktaClient) -> None:
        self._client = client
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def _refresh(self) -> None:
        listed = self._client.paginate(
            "/policies", {"type": "ACCESS_POLICY"}, what="cannot list authentication policies"
        )
        self._names = {policy["id"]: policy["name"] for policy in listed}

    def name_of(self, policy_id: str | None) -> str | None:
        """The name of a policy; None for an app without one. An id that is not listed stands for itself."""
        if policy_id is None:
            return None
        with self._lock:
            if policy_id not in self._names:
                self._refresh()
            return self._names.get(policy_id, policy_id)

    def id_of(self, name: str) -> str:
        """The id of the policy of exactly this name, else NotFound with the names that there are."""
        with self._lock:
            found = self._of(name)
            if not found:
                self._refresh()
                found = self._of(name)
            names = sorted(self._names.values())
        if len(found) == 1:
            return found[0]
        raise NotFound(
            f"cannot find authentication policy {name}",
            why=f"{len(found)} have that name; there are: {', '.join(names) or 'none'}",
            fix="name one of them as policy of the org in the estate",
        )

    def _of(self, name: str) -> list[str]:
        return [known for known, called in self._names.items() if called == name]

    def asks_for_two(self, policy_id: str) -> bool | None:
        """Whether every rule that lets somebody in asks for two factors; None when a rule says it in another way."""
        path = f"/policies/{segment(policy_id)}/rules"
        rules = self._client.paginate(path, what=f"cannot read the rules of policy {policy_id}")
        answers = [_asks_for_two(rule) for rule in rules if _admits(rule)]
        if False in answers:
            return False
        return None if None in answers else True


def _sign_on(rule: Object) -> dict[str, Any]:
    found: dict[str, Any] = (rule.get("actions") or {}).get("appSignOn") or {}
    return found


def _admits(rule: Object) -> bool:
    return rule.get("status") == "ACTIVE" and _sign_on(rule).get("access") != "DENY"


def _asks_for_two(rule: Object) -> bool | None:
    method = _sign_on(rule).get("verificationMethod") or {}
    return {"2FA": True, "1FA": False}.get(method.get("factorMode", ""))


def policy_id_of(app: Object) -> str | None:
    link = ((app.get("_links") or {}).get("accessPolicy") or {}).get("href")
    return str(link).rpartition("/")[2] if link else None


def report(policies: Policies, apps: Iterable[Object]) -> PolicyReport:
    """The policies of some apps, with a warning for each that lacks MFA or differs from its native app's."""
    apps = list(apps)
    second = {
        policy: policies.asks_for_two(policy)
        for policy in sorted({policy_id_of(app) or "" for app in apps} - {""})
    }
    found = tuple(
        AppPolicy(
            app["label"],
            app["id"],
            policies.name_of(policy_id_of(app)),
            second.get(policy_id_of(app) or ""),
        )
        for app in apps
    )
    warnings = [
        f"app {app.label}: authentication policy {app.policy} lets people in without a second factor"
        for app in found
        if app.mfa is False
    ]
    return PolicyReport(found, (*warnings, *_pairs(policies, apps)))


def _pairs(policies: Policies, apps: list[Object]) -> list[str]:
    natives = {app["id"]: app for app in apps if app["name"] == NATIVE}
    warnings = []
    for app in apps:
        native = natives.get((app["settings"].get("app") or {}).get("webSSOAllowedClient") or "")
        if native is not None and policy_id_of(native) != policy_id_of(app):
            names = [policies.name_of(policy_id_of(one)) for one in (app, native)]
            warnings.append(
                f"apps {app['label']} and {native['label']} have different authentication policies "
                f"({names[0]}, {names[1]}): the device flow will end in 400 Bad Request"
            )
    return warnings
