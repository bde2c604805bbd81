"""The wanted objects in the accounts: SAML provider, role, our statement in its trust policy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ostiary.aws import policy_document, trust_document
from ostiary.doors.federation.grants import Grant
from ostiary.doors.federation.seen import Notes, Seen
from ostiary.model.account import Account
from ostiary.model.estate import Console, Estate, PolicyRef, RoleTemplate
from ostiary.model.partition import PARTITIONS
from ostiary.plan.resource import Key, Ref, Resource, Value


def aws_resources(
    estate: Estate, seen: Seen, grants: Iterable[Grant], notes: Notes
) -> Iterator[Resource]:
    """Resources for every account that was read and in which some role is granted."""
    consoles: dict[tuple[str, str], set[str]] = {}  # (account, role) -> consoles
    accounts: dict[str, Account] = {}
    for grant in grants:
        consoles.setdefault((grant.account.id, grant.role), set()).add(grant.console.name)
        accounts[grant.account.id] = grant.account
    yield from _providers(estate, consoles, notes)
    for (account_id, name), names in sorted(consoles.items()):
        account = accounts[account_id]
        role = estate.roles[name].in_account(account)
        statements = {
            console: _statement(estate, estate.consoles[console], account)
            for console in sorted(names)
        }
        # Refused while planning, not half-way through an apply.
        size = _trust_size(estate, _present_trust(seen, account, name), statements.values())
        if size > trust_document.LIMIT:
            notes.problem(
                f"{role.place}: the trust policy of role {name} in account {account} would have {size:,} "
                f"characters; IAM allows {trust_document.LIMIT:,}"
            )
        role_key = Key("iam-role", account_id, name)
        providers = {
            Key("saml-provider", account_id, estate.consoles[console].saml_provider)
            for console in statements
        }
        if not role.existing:
            wanted = _role(estate, account, role, list(statements.values()))
            yield Resource(role_key, wanted, after=frozenset(providers))
        for console, statement in statements.items():
            provider = Key("saml-provider", account_id, estate.consoles[console].saml_provider)
            yield Resource(
                Key("trust-statement", account_id, f"{name}/{statement['Sid']}"),
                {"role": name, "statement": statement},
                after=frozenset({provider} if role.existing else {provider, role_key}),
            )


def sid(estate: Estate, console: str) -> str:
    """The Sid of our statement for one console: letters and digits only, so the name goes in as a hash."""
    return trust_document.sid_prefix(estate.name) + hashlib.sha256(console.encode()).hexdigest()[:8]


def _providers(
    estate: Estate, consoles: dict[tuple[str, str], set[str]], notes: Notes
) -> Iterator[Resource]:
    wanted: dict[Key, Console] = {}
    for (account_id, _), names in sorted(consoles.items()):
        for name in sorted(names):
            console = estate.consoles[name]
            key = Key("saml-provider", account_id, console.saml_provider)
            other = wanted.setdefault(key, console)
            if other is not console:
                notes.problem(
                    f"{console.place}: consoles {other.name} and {console.name} both want SAML provider "
                    f"{console.saml_provider} in account {account_id}; give one another saml_provider"
                )
    for key, console in wanted.items():
        app = Key("okta-app", console.org, console.app_label)
        yield Resource(key, {"metadata": Ref(app, "metadata")})


def _role(
    estate: Estate, account: Account, role: RoleTemplate, trust: list[dict[str, Value]]
) -> dict[str, Value]:
    managed = [_arn(ref, account) for ref in role.policies if ref.kind != "file"]
    return {
        "description": role.description
        or f"Entered from Okta; kept by Ostiary, estate {estate.name}",
        "max_session": role.max_session,
        "boundary": _arn(role.boundary, account) if role.boundary else None,
        "managed_policies": list[Value](sorted(managed)),
        "inline_policies": {
            ref.inline_name: dict(ref.document or {})  # type: ignore[arg-type]
            for ref in role.policies
            if ref.kind == "file"
        },
        "tags": dict(role.tags),
        "trust": list[Value](trust),
    }


def _arn(ref: PolicyRef, account: Account) -> str:
    partition = PARTITIONS[account.partition]
    if ref.kind == "aws":
        return partition.managed_policy_arn(ref.name)
    return partition.iam_arn(account.id, f"policy/{ref.name}")


def _statement(estate: Estate, console: Console, account: Account) -> dict[str, Value]:
    """Whoever this provider vouches for, in assertions meant for AWS sign-in, may enter."""
    partition = PARTITIONS[account.partition]
    provider = partition.iam_arn(account.id, f"saml-provider/{console.saml_provider}")
    return {
        "Sid": sid(estate, console.name),
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithSAML",
        "Condition": {"StringEquals": {"SAML:aud": partition.sign_in_url}},
    }


def _trust_size(
    estate: Estate, present: Mapping[str, Any], statements: Iterable[dict[str, Value]]
) -> int:
    """Characters of the trust policy as it will be: what others wrote, and our statements of now."""
    prefix = trust_document.sid_prefix(estate.name)
    foreign = [
        one
        for one in trust_document.statements(present)
        if not str(one.get("Sid", "")).startswith(prefix)
    ]
    document: dict[str, Any] = {"Version": "2012-10-17", **present, "Statement": foreign}
    for statement in statements:
        document = trust_document.with_statement(document, statement)
    return policy_document.size(document)


def _present_trust(seen: Seen, account: Account, role: str) -> Mapping[str, Any]:
    iam = seen.iam.get(account.id)
    return next((one.trust for one in iam.roles if one.name == role), {}) if iam else {}
