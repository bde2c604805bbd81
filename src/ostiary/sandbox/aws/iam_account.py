"""IAM's questions about a whole account: alias, summary, authorization details, simulation.

Source: IAM API Reference, GetAccountAuthorizationDetails (RoleDetail has neither Description nor
MaxSessionDuration), GetAccountSummary, CreateAccountAlias, SimulatePrincipalPolicy.
"""

from __future__ import annotations

import re
from typing import Any

from ostiary.model.policy import AuthRequest, decide
from ostiary.sandbox.aws.authorize import policies_of
from ostiary.sandbox.aws.call import Call, Principal, shown_tags
from ostiary.sandbox.aws.documents import shown_trust
from ostiary.sandbox.aws.iam_attach import quoted, shown_attached, shown_boundary
from ostiary.sandbox.aws.iam_policies import shown_policy
from ostiary.sandbox.aws.iam_roles import MAX_ROLES
from ostiary.sandbox.aws.iam_state import AwsError, IamGroup, IamUser, ManagedPolicy, Role
from ostiary.sandbox.aws.iam_users import shown_group, shown_user
from ostiary.sandbox.aws.managed_policies import AwsPolicy, aws_policy

_ALIAS = re.compile(r"[a-z0-9](?:(?!--)[a-z0-9-])*[a-z0-9]")
Answer = dict[str, Any]
Detail = Role | IamUser | IamGroup | ManagedPolicy | AwsPolicy


def create_account_alias(call: Call) -> Answer:
    alias, account = call.params["AccountAlias"], call.account
    if not _ALIAS.fullmatch(alias) or re.fullmatch(r"\d{12}", alias):
        raise AwsError("InvalidInput", f"The account alias {alias} is not valid.")
    taken = any(
        other.alias == alias and other is not account and other.partition == account.partition
        for other in call.cloud.accounts.values()
    )
    if taken:
        raise AwsError("EntityAlreadyExists", f"The account alias {alias} already exists.", 409)
    account.rename(alias, call.seen_from)
    return {}


def delete_account_alias(call: Call) -> Answer:
    if call.account.alias != call.params["AccountAlias"]:
        raise AwsError(
            "NoSuchEntity",
            f"The account alias {call.params['AccountAlias']} cannot be found.",
            404,
        )
    call.account.rename("", call.seen_from)
    return {}


def list_account_aliases(call: Call) -> Answer:
    alias = call.account.alias_seen(call.now)
    return call.page("AccountAliases", [alias] if alias else [], str)


def get_account_summary(call: Call) -> Answer:
    account = call.account
    return {
        "SummaryMap": {
            "Users": len(account.users),
            "Groups": len(account.groups),
            "Roles": len(account.roles),
            "RolesQuota": MAX_ROLES,
            "Policies": len(account.policies),
            "Providers": len(account.saml_providers),
            "AssumeRolePolicySizeQuota": 2048,
            "AttachedPoliciesPerRoleQuota": 10,
            "AccessKeysPerUserQuota": 2,
            "PolicySizeQuota": 6144,
            "VersionsPerPolicyQuota": 5,
            "AccountMFAEnabled": 1,
            "AccountAccessKeysPresent": 0,
        }
    }


def get_account_password_policy(call: Call) -> Answer:
    if not call.account.password_policy:
        raise AwsError(
            "NoSuchEntity",
            f"The Password Policy with domain name {call.account.id} cannot be found.",
            404,
        )
    return {"PasswordPolicy": call.account.password_policy}


# GetAccountAuthorizationDetails

_LISTS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


def get_account_authorization_details(call: Call) -> Answer:
    """Users, groups, roles and policies in one sequence of pages, as AWS mixes them."""
    kinds = call.params.get("Filter") or list(_LISTS)
    everything = [(kind, item) for kind in _LISTS if kind in kinds for item in _of_kind(call, kind)]
    page = call.page("items", everything, lambda entry: f"{entry[0]}/{entry[1].name}")
    answer: Answer = {name: [] for name in _LISTS.values()}
    for kind, item in page.pop("items"):
        answer[_LISTS[kind]].append(_detail(call, item))
    return answer | page


def _of_kind(call: Call, kind: str) -> list[Any]:
    account, now = call.account, call.now
    match kind:
        case "User":
            return account.users.all_seen(now)
        case "Group":
            return account.groups.all_seen(now)
        case "Role":
            return account.roles.all_seen(now)
        case "LocalManagedPolicy":
            return account.policies.all_seen(now)
        case _:
            return _aws_policies_in_use(call)


def _aws_policies_in_use(call: Call) -> list[AwsPolicy]:
    holders = [*call.account.roles, *call.account.users, *call.account.groups]
    arns = sorted({arn for one in holders for arn in one.managed})
    found = (aws_policy(arn, call.account.partition) for arn in arns)
    return [policy for policy in found if policy is not None]


def _detail(call: Call, item: Detail) -> Answer:
    if isinstance(item, Role):
        return _role_detail(call, item)
    if isinstance(item, IamUser):
        return shown_user(item) | {"GroupList": list(item.groups)} | _held(item, "User")
    if isinstance(item, IamGroup):
        return shown_group(item) | _held(item, "Group")
    versions = (
        {item.version: (item.document, 0.0)} if isinstance(item, AwsPolicy) else item.versions
    )
    shown = shown_policy(call, item)
    shown["PolicyVersionList"] = [
        {
            "VersionId": name,
            "Document": quoted(document),
            "IsDefaultVersion": name == shown["DefaultVersionId"],
            "CreateDate": created,
        }
        for name, (document, created) in versions.items()
    ]
    return shown


def _held(entity: Role | IamUser | IamGroup, word: str) -> Answer:
    return {
        f"{word}PolicyList": [
            {"PolicyName": name, "PolicyDocument": quoted(document)}
            for name, document in entity.inline.items()
        ],
        "AttachedManagedPolicies": [shown_attached(arn) for arn in entity.managed],
    }


def _role_detail(call: Call, role: Role) -> Answer:
    shown: Answer = {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": quoted(shown_trust(call.cloud, role)),
        "InstanceProfileList": [],
        "Tags": shown_tags(role.tags),
        "RoleLastUsed": {} if role.last_used is None else {"LastUsedDate": role.last_used},
    }
    if role.boundary:
        shown["PermissionsBoundary"] = shown_boundary(role.boundary)
    return shown | _held(role, "Role")


def list_entities_for_policy(call: Call) -> Answer:
    arn, now, account = call.params["PolicyArn"], call.now, call.account
    return {
        "PolicyRoles": [
            {"RoleName": role.name, "RoleId": role.id}
            for role in account.roles.all_seen(now)
            if arn in role.managed
        ],
        "PolicyUsers": [
            {"UserName": user.name, "UserId": user.id}
            for user in account.users.all_seen(now)
            if arn in user.managed
        ],
        "PolicyGroups": [
            {"GroupName": group.name, "GroupId": group.id}
            for group in account.groups.all_seen(now)
            if arn in group.managed
        ],
        "IsTruncated": False,
    }


def simulate_principal_policy(call: Call) -> Answer:
    """What the principal's own policies would answer; the caller's context entries are used as given."""
    arn = call.params["PolicySourceArn"]
    entity = call.cloud.role(arn) or call.cloud.user(arn)
    if entity is None or arn.split(":")[4] != call.account.id:
        raise AwsError("NoSuchEntity", f"The entity {arn} cannot be found.", 404)
    policies = policies_of(call.cloud, Principal(arn, entity.id, call.account, entity))
    context: dict[str, Any] = {
        entry["ContextKeyName"]: tuple(entry.get("ContextKeyValues") or ())
        for entry in call.params.get("ContextEntries") or ()
    }
    context["aws:PrincipalArn"] = arn
    results = []
    for action in call.params["ActionNames"]:
        for resource in call.params.get("ResourceArns") or ["*"]:
            decision = decide(
                AuthRequest(arn, call.account.id, action, resource, context), policies
            )
            denied = "explicitDeny" if decision.reason.startswith("explicit") else "implicitDeny"
            results.append(
                {
                    "EvalActionName": action,
                    "EvalResourceName": resource,
                    "EvalDecision": "allowed" if decision.allowed else denied,
                    "MatchedStatements": [],
                    "MissingContextValues": [],
                }
            )
    return {"EvaluationResults": results, "IsTruncated": False}
