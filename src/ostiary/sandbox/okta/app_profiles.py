"""The profile of an assignment to ``amazon_aws``: ``role``, ``samlRoles``, ``email``.

Role names must be in the schema's enum, which stays empty until Okta has downloaded roles from AWS (the API
integration). That a real org then refuses every role is a belief: nobody has published the answer.
"""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.okta.errors import invalid
from ostiary.sandbox.okta.objects import App

EMPTY: dict[str, Any] = {"email": None, "role": None, "samlRoles": None}


def filled(app: App, profile: dict[str, Any]) -> dict[str, Any]:
    return {**EMPTY, **profile} if app.key == "amazon_aws" else profile


def checked(app: App, profile: Any) -> dict[str, Any]:
    """The profile if it fits the app's schema."""
    if not isinstance(profile, dict):
        raise invalid("profile", "profile: The field must be an object")
    if app.key != "amazon_aws":
        return dict(profile)
    unknown = sorted(profile.keys() - EMPTY.keys())
    if unknown:
        raise invalid("profile", f"profile.{unknown[0]}: The property is not in the app's schema.")
    many = profile.get("samlRoles")
    if many is not None and not (
        isinstance(many, list) and all(isinstance(item, str) for item in many)
    ):
        raise invalid("samlRoles", "samlRoles: must be an array of strings")
    one = profile.get("role")
    if one is not None and not isinstance(one, str):
        raise invalid("role", "role: must be a string")
    foreign = [
        role for role in [*(many or ()), *([one] if one else ())] if role not in app.role_enum
    ]
    if foreign:
        causes = [f"samlRoles: {role} is not in the list of allowed values" for role in foreign]
        raise invalid("samlRoles", *causes)
    return dict(profile)
