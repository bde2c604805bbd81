"""Customer managed policies (and the read side of AWS's own).

Source: IAM API Reference, CreatePolicy … DeletePolicy; at most five versions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostiary.sandbox.aws.call import Call, shown_tags, tags_of
from ostiary.sandbox.aws.documents import MAX_MANAGED, identity_policy
from ostiary.sandbox.aws.iam_attach import quoted
from ostiary.sandbox.aws.iam_state import AwsError, IamUser, ManagedPolicy, Role
from ostiary.sandbox.aws.managed_policies import AwsPolicy, aws_policies, aws_policy

MAX_VERSIONS = 5
AWS_PUBLISHED = 1_423_000_000.0  # one date for all of AWS's own policies
Answer = dict[str, Any]


def _missing(arn: str) -> AwsError:
    return AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)


def _own(call: Call, *, truth: bool) -> ManagedPolicy:
    arn = call.params["PolicyArn"]
    shelf, name = call.account.policies, arn.rsplit("/", 1)[-1]
    policy = shelf.get(name) if truth else shelf.seen(name, call.now)
    if policy is None or policy.arn != arn:
        if truth and aws_policy(arn, call.account.partition):
            raise AwsError("AccessDenied", "Cannot change a policy of AWS", 403)
        raise _missing(arn)
    return policy


def attachments(call: Call, arn: str) -> tuple[int, int]:
    """How many entities have the policy attached, and how many have it as their boundary."""
    account, now = call.account, call.now
    holders: list[Role | IamUser] = [*account.roles.all_seen(now), *account.users.all_seen(now)]
    groups = account.groups.all_seen(now)
    attached = sum(arn in one.managed for one in holders) + sum(
        arn in one.managed for one in groups
    )
    return attached, sum(one.boundary == arn for one in holders)


def shown_policy(call: Call, policy: ManagedPolicy | AwsPolicy) -> Answer:
    if isinstance(policy, AwsPolicy):
        arn, created, version = policy.arn(call.account.partition), AWS_PUBLISHED, policy.version
        unique = f"ANPA{policy.name.upper()[:16]}"
    else:
        arn, created, version = policy.arn, policy.created, policy.default
        unique = policy.id
    attached, bounding = attachments(call, arn)
    return {
        "PolicyName": policy.name,
        "PolicyId": unique,
        "Arn": arn,
        "Path": policy.path,
        "DefaultVersionId": version,
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": bounding,
        "IsAttachable": True,
        "CreateDate": created,
        "UpdateDate": created,
    }


def create_policy(call: Call) -> Answer:
    account, name = call.account, call.params["PolicyName"]
    if name in account.policies:
        raise AwsError(
            "EntityAlreadyExists",
            f"A policy called {name} already exists. Duplicate names are not allowed.",
            409,
        )
    document = identity_policy(call.params["PolicyDocument"], MAX_MANAGED, f"policy {name}")
    path = call.params.get("Path", "/")
    policy = ManagedPolicy(
        name,
        account.arn(f"policy{path}{name}"),
        call.cloud.new_id("ANPA"),
        {"v1": (document, call.now)},
        path=path,
        description=call.params.get("Description", ""),
        tags=tags_of(call.params),
        created=call.now,
    )
    account.policies.put(policy, call.seen_from)
    return {"Policy": shown_policy(call, policy) | {"Tags": shown_tags(policy.tags)}}


def get_policy(call: Call) -> Answer:
    if known := aws_policy(call.params["PolicyArn"], call.account.partition):
        return {"Policy": shown_policy(call, known)}
    policy = _own(call, truth=False)
    return {
        "Policy": shown_policy(call, policy)
        | {"Description": policy.description, "Tags": shown_tags(policy.tags)}
    }


def get_policy_version(call: Call) -> Answer:
    arn, wanted = call.params["PolicyArn"], call.params["VersionId"]
    if known := aws_policy(arn, call.account.partition):
        versions, default = {known.version: (known.document, AWS_PUBLISHED)}, known.version
    else:
        policy = _own(call, truth=False)
        versions, default = dict(policy.versions), policy.default
    if wanted not in versions:
        raise AwsError(
            "NoSuchEntity",
            f"Policy {arn} version {wanted} does not exist or is not attachable.",
            404,
        )
    return {"PolicyVersion": _shown_version(wanted, versions[wanted], default)}


def _shown_version(name: str, version: tuple[Any, float], default: str) -> Answer:
    return {
        "VersionId": name,
        "IsDefaultVersion": name == default,
        "CreateDate": version[1],
        "Document": quoted(version[0]),
    }


def list_policy_versions(call: Call) -> Answer:
    policy = _own(call, truth=False)
    page = call.page("Versions", list(policy.versions.items()), lambda item: item[0])
    page["Versions"] = [
        {key: value for key, value in shown.items() if key != "Document"}
        for name, version in page["Versions"]
        if (shown := _shown_version(name, version, policy.default))
    ]
    return page


def create_policy_version(call: Call) -> Answer:
    policy = _own(call, truth=True)
    if len(policy.versions) >= MAX_VERSIONS:
        raise AwsError(
            "LimitExceeded",
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete"
            " an existing version.",
            409,
        )
    document = identity_policy(call.params["PolicyDocument"], MAX_MANAGED, f"policy {policy.name}")
    name = f"v{policy.last_version + 1}"
    default = name if call.params.get("SetAsDefault") else policy.default
    changed = replace(
        policy,
        versions={**policy.versions, name: (document, call.now)},
        last_version=policy.last_version + 1,
        default=default,
    )
    call.account.policies.put(changed, call.seen_from)
    return {"PolicyVersion": _shown_version(name, changed.versions[name], default)}


def set_default_policy_version(call: Call) -> Answer:
    policy, name = _own(call, truth=True), call.params["VersionId"]
    if name not in policy.versions:
        raise _missing(f"{policy.arn} version {name}")
    call.account.policies.put(replace(policy, default=name), call.seen_from)
    return {}


def delete_policy_version(call: Call) -> Answer:
    policy, name = _own(call, truth=True), call.params["VersionId"]
    if name not in policy.versions:
        raise _missing(f"{policy.arn} version {name}")
    if name == policy.default:
        raise AwsError("DeleteConflict", "Cannot delete the default version of a policy.", 409)
    left = {one: version for one, version in policy.versions.items() if one != name}
    call.account.policies.put(replace(policy, versions=left), call.seen_from)
    return {}


def delete_policy(call: Call) -> Answer:
    policy = _own(call, truth=True)
    if any(attachments(call, policy.arn)):
        raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
    if len(policy.versions) > 1:
        raise AwsError(
            "DeleteConflict",
            "This policy has more than one version. Before you delete a policy, you must delete the policy's"
            " versions. The default version is deleted with the policy.",
            409,
        )
    call.account.policies.remove(policy.name, call.seen_from)
    return {}


def list_policies(call: Call) -> Answer:
    scope = call.params.get("Scope", "All")
    found: list[ManagedPolicy | AwsPolicy] = []
    if scope in {"All", "Local"}:
        found += call.account.policies.all_seen(call.now)
    if scope in {"All", "AWS"}:
        found += aws_policies()
    prefix = call.params.get("PathPrefix", "/")
    page = call.page(
        "Policies",
        [policy for policy in found if policy.path.startswith(prefix)],
        lambda policy: policy.name,
    )
    page["Policies"] = [shown_policy(call, policy) for policy in page["Policies"]]
    if call.params.get("OnlyAttached"):
        page["Policies"] = [shown for shown in page["Policies"] if shown["AttachmentCount"]]
    return page
