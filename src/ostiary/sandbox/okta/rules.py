"""Group rules: ``/api/v1/groups/rules``. Source: Okta API, "Group Rules"; Okta support, "Group Rule Restrictions"."""

from __future__ import annotations

from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import rule_engine
from ostiary.sandbox.okta.call import Call, Route, done
from ostiary.sandbox.okta.errors import forbidden, invalid, missing, reconciling
from ostiary.sandbox.okta.expressions import parse
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.objects import Rule
from ostiary.sandbox.okta.paging import page

MAX_RULES = 2000
MAX_TARGETS = 100
MAX_EXCLUDED = 100
MAX_NAME = 50
EDITORS = ("SUPER_ADMIN", "ORG_ADMIN")
LANGUAGE = "urn:okta:expression:1.0"


def show(call: Call, rule: Rule) -> dict[str, Any]:
    path = f"/api/v1/groups/rules/{rule.id}"
    shown = {
        "type": "group_rule",
        "id": rule.id,
        "status": rule.status,
        "name": rule.name,
        "created": stamp(rule.created),
        "lastUpdated": stamp(rule.updated),
        "conditions": {
            "people": {"users": {"exclude": list(rule.excluded)}, "groups": {"exclude": []}},
            "expression": {"value": rule.expression, "type": LANGUAGE},
        },
        "actions": {"assignUserToGroups": {"groupIds": list(rule.targets)}},
        "allGroupsValid": all(known in call.org.groups for known in rule.targets),
        "_links": {
            "self": call.link(path, "GET"),
            "activate": call.link(f"{path}/lifecycle/activate", "POST"),
            "deactivate": call.link(f"{path}/lifecycle/deactivate", "POST"),
        },
    }
    if call.request.query.get("expand") == "groupIdToGroupNameMap":
        names = {
            known: call.org.groups[known].name for known in rule.targets if known in call.org.groups
        }
        shown["_embedded"] = {"groupIdToGroupNameMap": names}
    return shown


def list_rules(call: Call) -> Response:
    wanted = call.request.query.get("search", "").lower()
    found = [rule for rule in call.org.rules.values() if wanted in rule.name.lower()]
    return page(
        call,
        found,
        lambda rule: show(call, rule),
        identity=lambda rule: rule.id,
        default=50,
        maximum=200,
    )


def create(call: Call) -> Response:
    _editable(call)
    if len(call.org.rules) >= MAX_RULES:
        raise invalid("rules", f"An org can have at most {MAX_RULES} group rules.")
    name, expression, targets, excluded = _fields(call, call.body)
    _unique(call, name)
    now = call.now
    rule = Rule(call.org.mint("0pr"), name, expression, targets, excluded, now, now)
    call.org.rules[rule.id] = rule
    call.record("group.rule.create", (rule.id, "GroupRule", name))
    return Response.of_json(show(call, rule))


def get(call: Call) -> Response:
    return Response.of_json(show(call, _rule(call)))


def replace(call: Call) -> Response:
    rule = _rule(call)
    _editable(call)
    if rule.status != "INACTIVE":
        raise invalid("status", f"A rule can be updated only while INACTIVE; it is {rule.status}.")
    name, expression, targets, excluded = _fields(call, call.body)
    if set(targets) != set(rule.targets):
        raise invalid("actions", "The actions of a group rule cannot be updated.")
    if name != rule.name:
        _unique(call, name)
    rule.name, rule.expression, rule.excluded = name, expression, excluded
    rule.updated = call.now
    call.record("group.rule.update", (rule.id, "GroupRule", name))
    return Response.of_json(show(call, rule))


def activate(call: Call) -> Response:
    rule = _rule(call)
    _editable(call)
    if rule.status == "INVALID":
        raise invalid("status", "An INVALID rule can only be read or deleted.")
    if rule.status == "INACTIVE":
        rule.status, rule.updated = "ACTIVE", call.now
        call.org.dirty_rules[rule.id] = call.now + call.world.switches.rule_delay
        call.record("group.rule.activate", (rule.id, "GroupRule", rule.name))
    return done()


def deactivate(call: Call) -> Response:
    """Members stay where the rule put them until it is deleted."""
    rule = _rule(call)
    _editable(call)
    if rule.status == "INVALID":
        raise invalid("status", "An INVALID rule can only be read or deleted.")
    if rule.status == "ACTIVE":
        rule.status, rule.updated = "INACTIVE", call.now
        call.org.dirty_rules.pop(rule.id, None)
        call.record("group.rule.deactivate", (rule.id, "GroupRule", rule.name))
    return done()


def delete(call: Call) -> Response:
    rule = _rule(call)
    _editable(call)
    if rule.status == "ACTIVE":
        raise invalid("status", "A rule can be deleted only after it was deactivated.")
    rule_engine.release(call.org, rule, call.now, remove=call.flag("removeUsers", default=False))
    del call.org.rules[rule.id]
    call.record("group.rule.delete", (rule.id, "GroupRule", rule.name))
    return Response(202)


def _rule(call: Call) -> Rule:
    rule = call.org.rules.get(call.params["rule"])
    if rule is None:
        raise missing("GroupRule", call.params["rule"])
    return rule


def _editable(call: Call) -> None:
    """Only super and organization administrators edit rules; and a change may meet a re-evaluation."""
    if call.principal.roles.isdisjoint(EDITORS):
        raise forbidden()
    if call.world.random.random() < call.org.reconcile_share:
        raise reconciling()


def _unique(call: Call, name: str) -> None:
    if any(rule.name == name for rule in call.org.rules.values()):
        raise invalid(
            "name", "name: An object with this field already exists in the current organization"
        )


def _fields(call: Call, body: dict[str, Any]) -> tuple[str, str, list[str], list[str]]:
    """Name, expression, target ids and excluded user ids of a body, each checked."""
    name = body.get("name")
    if body.get("type") != "group_rule":
        raise invalid("type", "type: Only group_rule is allowed.")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise invalid("name", f"name: The field must be 1 to {MAX_NAME} characters long.")
    try:
        conditions = body["conditions"]
        expression = conditions["expression"]["value"]
        language = conditions["expression"]["type"]
        targets = list(body["actions"]["assignUserToGroups"]["groupIds"])
        people = (conditions.get("people") or {}).get("users") or {}
        excluded = list(people.get("exclude") or [])
    except (KeyError, TypeError, AttributeError) as error:
        raise invalid("conditions", "The conditions or actions of the rule are missing.") from error
    if language != LANGUAGE or not isinstance(expression, str):
        raise invalid("conditions.expression.type", f"Only {LANGUAGE} is supported.")
    _targets(call, targets)
    unknown = parse(expression).group_ids - call.org.groups.keys()
    if unknown:
        raise invalid("conditions.expression.value", f"Group {min(unknown)} does not exist.")
    if len(excluded) > MAX_EXCLUDED or any(user not in call.org.users for user in excluded):
        raise invalid(
            "conditions.people.users.exclude", "Too many users, or a user does not exist."
        )
    return name, expression, targets, excluded


def _targets(call: Call, targets: list[Any]) -> None:
    where = "actions.assignUserToGroups.groupIds"
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise invalid(where, f"{where}: 1 to {MAX_TARGETS} groups can be assigned.")
    for target in targets:
        group = call.org.groups.get(target) if isinstance(target, str) else None
        if group is None or group.kind == "BUILT_IN":
            raise invalid(where, f"Group {target} does not exist or cannot be assigned.")


READ, MANAGE = "okta.groups.read", "okta.groups.manage"
ROUTES = (
    Route("GET", "/api/v1/groups/rules", READ, list_rules),
    Route("POST", "/api/v1/groups/rules", MANAGE, create),
    Route("GET", "/api/v1/groups/rules/{rule}", READ, get),
    Route("PUT", "/api/v1/groups/rules/{rule}", MANAGE, replace),
    Route("DELETE", "/api/v1/groups/rules/{rule}", MANAGE, delete),
    Route("POST", "/api/v1/groups/rules/{rule}/lifecycle/activate", MANAGE, activate),
    Route("POST", "/api/v1/groups/rules/{rule}/lifecycle/deactivate", MANAGE, deactivate),
)
