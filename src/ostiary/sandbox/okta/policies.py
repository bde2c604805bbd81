"""Authentication policies, read only: ``/api/v1/policies?type=ACCESS_POLICY``. Source: Okta API, "Policies"."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps
from ostiary.sandbox.okta.call import Call, Route
from ostiary.sandbox.okta.errors import invalid, missing
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import Policy
from ostiary.sandbox.okta.paging import page, whole

TYPES = (
    "ACCESS_POLICY",
    "OKTA_SIGN_ON",
    "PASSWORD",
    "MFA_ENROLL",
    "IDP_DISCOVERY",
    "PROFILE_ENROLLMENT",
)


def show(call: Call, policy: Policy) -> dict[str, Any]:
    path = f"/api/v1/policies/{policy.id}"
    shown: dict[str, Any] = {
        "id": policy.id,
        "status": "ACTIVE",
        "name": policy.name,
        "description": None,
        "priority": 1,
        "system": policy.system,
        "conditions": None,
        "created": stamp(policy.created),
        "lastUpdated": stamp(policy.created),
        "type": "ACCESS_POLICY",
        "_links": {
            "self": call.link(path, "GET"),
            "rules": call.link(f"{path}/rules", "GET"),
            "mappings": call.link(f"{path}/mappings", "GET"),
        },
    }
    if call.request.query.get("expand") == "rules":
        shown["_embedded"] = {"rules": [_rule(call, policy)]}
    return shown


def _rule(call: Call, policy: Policy) -> dict[str, Any]:
    method: dict[str, Any] = {
        "factorMode": "2FA" if policy.mfa else "1FA",
        "type": "ASSURANCE",
        "reauthenticateIn": "PT2H",
        "constraints": [{"knowledge": {"types": ["password"], "required": True}}],
    }
    return {
        "id": policy.rule_id,
        "status": "ACTIVE",
        "name": "Catch-all Rule",
        "priority": 99,
        "system": True,
        "conditions": None,
        "created": stamp(policy.created),
        "lastUpdated": stamp(policy.created),
        "actions": {"appSignOn": {"access": "ALLOW", "verificationMethod": method}},
        "type": "ACCESS_POLICY",
        "_links": {
            "self": call.link(f"/api/v1/policies/{policy.id}/rules/{policy.rule_id}", "GET")
        },
    }


def list_policies(call: Call) -> Response:
    kind = call.request.query.get("type")
    if kind not in TYPES:
        raise invalid("type", "type: The field is required and must be a policy type.")
    wanted = call.request.query.get("q", "")
    found = [
        policy
        for policy in call.org.policies.values()
        if kind == "ACCESS_POLICY" and policy.name.startswith(wanted)
    ]
    return page(
        call,
        found,
        lambda policy: show(call, policy),
        identity=lambda policy: policy.id,
        default=20,
        maximum=200,
    )


def get(call: Call) -> Response:
    return Response.of_json(show(call, _policy(call)))


def list_rules(call: Call) -> Response:
    return whole(call, [_rule(call, _policy(call))])


def list_mappings(call: Call) -> Response:
    policy = _policy(call)
    mapped = [app for app in call.org.apps.values() if app.policy_id == policy.id]
    return whole(
        call,
        [
            {
                "id": f"map{app.id[3:]}",
                "_links": {
                    "application": call.link(f"/api/v1/apps/{app.id}", "GET"),
                    "policy": call.link(f"/api/v1/policies/{policy.id}", "GET"),
                },
            }
            for app in mapped
        ],
    )


def list_apps(call: Call) -> Response:
    policy = _policy(call)
    mapped = [app for app in call.org.apps.values() if app.policy_id == policy.id]
    return whole(call, [apps.show(call, app) for app in mapped])


def _policy(call: Call) -> Policy:
    policy = call.org.policies.get(call.params["policy"])
    if policy is None:
        raise missing("Policy", call.params["policy"])
    return policy


READ = "okta.policies.read"
ROUTES = (
    Route("GET", "/api/v1/policies", READ, list_policies),
    Route("GET", "/api/v1/policies/{policy}", READ, get),
    Route("GET", "/api/v1/policies/{policy}/rules", READ, list_rules),
    Route("GET", "/api/v1/policies/{policy}/mappings", READ, list_mappings),
    Route("GET", "/api/v1/policies/{policy}/app", READ, list_apps),
)
