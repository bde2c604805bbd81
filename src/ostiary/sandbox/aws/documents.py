"""Policy documents as IAM accepts them: grammar, sizes and the principals of trust policies.

Sources: IAM User Guide, "Grammar of the IAM JSON policy language", "IAM and AWS STS quotas"; the words of
MalformedPolicyDocument are from memory (unverified).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ostiary.model.policy_condition import operator
from ostiary.sandbox.aws.iam_state import AwsError, Document, Role
from ostiary.sandbox.aws.state import AwsAccount, Cloud

MAX_TRUST = 2_048
MAX_INLINE = {"role": 10_240, "user": 2_048, "group": 5_120}
MAX_MANAGED = 6_144
VERSIONS = {"2012-10-17", "2008-10-17"}
_TOP = {"Version", "Id", "Statement"}
_ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_SID = re.compile(r"[A-Za-z0-9]*")
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")
_ACCOUNT = re.compile(r"\d{12}|arn:[\w-]+:iam::\d{12}:root")
_FEDERATED = re.compile(
    r"arn:[\w-]+:iam::\d{12}:(?:saml|oidc)-provider/.+|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:/\S*)?"
)
_SESSION = re.compile(r"arn:[\w-]+:sts::\d{12}:(?:assumed-role|federated-user)/.+")
_SERVICE_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")
_UNIQUE_ID = re.compile(r"A(?:ROA|IDA)[A-Z2-7]{12,}")
_TRUST_ACTIONS = {
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:TagSession",
    "sts:SetSourceIdentity",
    "sts:SetContext",
}


def malformed(why: str) -> AwsError:
    return AwsError("MalformedPolicyDocument", why)


def parsed(text: str) -> Document:
    """The JSON of a policy; duplicate keys are refused, as IAM does."""
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise malformed("This policy contains invalid Json") from error
    if not isinstance(document, dict):
        raise malformed("Syntax errors in policy.")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise malformed("This policy contains invalid Json")
    return found


def size(text: str) -> int:
    """Characters as IAM counts them: white space does not count."""
    return len("".join(text.split()))


def compact(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


def statements(document: Document) -> Iterator[Document]:
    held: Any = document.get("Statement")
    yield from held if isinstance(held, list) else [held]


def listed(element: Any) -> list[str]:
    return element if isinstance(element, list) else [element]


def identity_policy(text: str, limit: int, where: str) -> Document:
    """A policy for a role, user or group, or a managed one. Raises MalformedPolicyDocument or LimitExceeded."""
    document = parsed(text)
    _check_grammar(document)
    for statement in statements(document):
        if "Principal" in statement or "NotPrincipal" in statement:
            raise malformed("Policy document should not specify a principal.")
        if "Resource" not in statement and "NotResource" not in statement:
            raise malformed("Policy statement must contain resources.")
    if size(text) > limit:
        raise AwsError(
            "LimitExceeded", f"Maximum policy size of {limit} bytes exceeded for {where}", 409
        )
    return document


def trust_policy(cloud: Cloud, account: AwsAccount, text: str) -> tuple[Document, dict[str, str]]:
    """A role's trust policy and the unique ids of the principals that it names (``Role.pins``)."""
    document = parsed(text)
    _check_grammar(document)
    pins: dict[str, str] = {}
    for statement in statements(document):
        if "Resource" in statement or "NotResource" in statement:
            raise malformed("Has prohibited field Resource")
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise malformed("Missing required field Principal")
        for action in listed(statement.get("Action", statement.get("NotAction"))):
            _check_trust_action(action)
        pins.update(named_principals(cloud, account, statement))
    if (count := size(text)) > MAX_TRUST:
        raise AwsError(
            "LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {MAX_TRUST} ({count})", 409
        )
    return document, pins


def named_principals(cloud: Cloud, account: AwsAccount, statement: Document) -> Mapping[str, str]:
    """The unique ids of the principals that a statement names. Raises MalformedPolicyDocument for one that is not there."""
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    if principal == "*":
        return {}
    if not isinstance(principal, dict) or not principal:
        raise malformed("Invalid principal in policy")
    pins: dict[str, str] = {}
    for kind, named in principal.items():
        for name in listed(named):
            pins.update(_pin(cloud, account, kind, name))
    return pins


def _check_trust_action(action: str) -> None:
    vendor = action.partition(":")[0]
    if vendor != "sts" or (
        "*" not in action and "?" not in action and action.lower() not in _lower_trust_actions()
    ):
        raise malformed("AssumeRole policy may only specify STS AssumeRole actions.")


def _lower_trust_actions() -> set[str]:
    return {action.lower() for action in _TRUST_ACTIONS}


def _pin(cloud: Cloud, account: AwsAccount, kind: str, name: str) -> dict[str, str]:
    """The unique id of a principal that must exist; services and federated issuers have none."""
    if isinstance(name, str):
        if kind == "Federated" and _FEDERATED.fullmatch(name):
            return {}  # only the form is checked: the provider may come later (unverified)
        if kind == "Federated":
            raise malformed("Federated principals must be valid domain names or SAML metadata ARNs")
        if kind == "Service" and name.endswith(_SERVICE_SUFFIXES):
            return {}
        if kind == "AWS":
            return _pin_aws(cloud, account, name)
    raise malformed(f'Invalid principal in policy: "{kind.upper()}":"{name}"')


def _pin_aws(cloud: Cloud, account: AwsAccount, name: str) -> dict[str, str]:
    if name == "*" or _UNIQUE_ID.fullmatch(name) or _SESSION.fullmatch(name):
        return {}
    if _ACCOUNT.fullmatch(name):
        known = cloud.accounts.get(name if name.isdigit() else name.split(":")[4])
        if known is not None and known.partition == account.partition:
            return {}
    elif name.startswith(f"arn:{account.partition}:"):
        found = cloud.role(name) or cloud.user(name)
        if found is not None:
            return {name: found.id}
    raise malformed(f'Invalid principal in policy: "AWS":"{name}"')


def shown_trust(cloud: Cloud, role: Role) -> Document:
    """The trust policy as IAM shows and evaluates it: a principal that is gone appears as its unique id."""
    gone = {}
    for arn, unique_id in role.pins.items():
        found = cloud.role(arn) or cloud.user(arn)
        if found is None or found.id != unique_id:
            gone[arn] = unique_id
    if not gone:
        return role.trust
    document = json.loads(json.dumps(role.trust))
    for statement in statements(document):
        for element in ("Principal", "NotPrincipal"):
            named = statement.get(element)
            if isinstance(named, dict) and "AWS" in named:
                names = [gone.get(name, name) for name in listed(named["AWS"])]
                named["AWS"] = names if isinstance(named["AWS"], list) else names[0]
    return dict(document)


def _check_grammar(document: Document) -> None:
    if set(document) - _TOP or document.get("Version", "2012-10-17") not in VERSIONS:
        raise malformed("Syntax errors in policy.")
    held = list(statements(document))
    if "Statement" not in document or not held:
        raise malformed("Syntax errors in policy.")
    sids: set[str] = set()
    for statement in held:
        if not isinstance(statement, dict):
            raise malformed("Syntax errors in policy.")
        _check_statement(statement)
        sid = statement.get("Sid", "")
        if sid and sid in sids:
            raise malformed("Statement IDs (SID) in a single policy must be unique.")
        sids.add(sid)


def _check_statement(statement: Document) -> None:
    if unknown := set(statement) - _ELEMENTS:
        raise malformed(f"Has prohibited field {min(unknown)}")
    if statement.get("Effect") not in {"Allow", "Deny"}:
        raise malformed("Syntax errors in policy.")
    sid = statement.get("Sid", "")
    if not isinstance(sid, str) or not _SID.fullmatch(sid):
        raise malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular"
            " expression [0-9A-Za-z]*"
        )
    for one in ("Action", "Resource", "Principal"):
        if one in statement and f"Not{one}" in statement:
            raise malformed("Syntax errors in policy.")
    for action in listed(statement.get("Action", statement.get("NotAction"))):
        _check_action(action)
    for resource in listed(statement.get("Resource", statement.get("NotResource", "*"))):
        if not isinstance(resource, str):
            raise malformed("Syntax errors in policy.")
        if not resource.startswith(("arn:", "${", "*", "?")):
            raise malformed(f'Resource {resource} must be in ARN format or "*".')
    _check_condition(statement.get("Condition", {}))


def _check_action(action: Any) -> None:
    if action is None:
        raise malformed("Policy statement must contain actions.")
    if not isinstance(action, str):
        raise malformed("Syntax errors in policy.")
    if ":" not in action and action != "*":
        raise malformed(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        )
    if not _ACTION.fullmatch(action):
        raise malformed(f"Vendor {action.partition(':')[0]} is not valid")


def _check_condition(condition: Any) -> None:
    if not isinstance(condition, dict):
        raise malformed("Syntax errors in policy.")
    for name, keys in condition.items():
        if operator(name) is None:
            raise malformed(f"Invalid Condition type : {name}.")
        if not isinstance(keys, dict) or not keys:
            raise malformed("Syntax errors in policy.")
        for key, values in keys.items():
            if ":" not in key:
                raise malformed(f"Condition key {key} is not valid.")
            if any(isinstance(value, dict | list) for value in listed(values)):
                raise malformed("Syntax errors in policy.")
