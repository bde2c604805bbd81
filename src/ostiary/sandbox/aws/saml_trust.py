"""Whether a role's trust policy lets the bearer of a verified assertion in: condition keys and actions.

Source: IAM User Guide, "IAM and AWS STS condition context keys", "Pass session tags in AWS STS".
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ostiary.model.policy import Caller, trust_decision
from ostiary.saml.roles import RolePair
from ostiary.saml.verify import VerifiedAssertion
from ostiary.sandbox.aws.documents import shown_trust
from ostiary.sandbox.aws.iam_state import Role
from ostiary.sandbox.http import Request
from ostiary.sandbox.world import World

_SHORT_TYPES = ("persistent", "transient")


def name_qualifier(issuer: str, account_id: str, provider_name: str) -> str:
    """Identify an issuer at a provider: ``Base64(SHA1(issuer + account + "/" + provider))``."""
    text = f"{issuer}{account_id}/{provider_name}"
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def subject_type(said: VerifiedAssertion) -> str:
    """``persistent`` or ``transient``, else the whole format URI of the NameID."""
    short = said.name_id_format.rpartition(":")[2]
    return short if short in _SHORT_TYPES else said.name_id_format


def condition_keys(
    world: World, pair: RolePair, said: VerifiedAssertion, request: Request | None
) -> dict[str, Any]:
    """The condition keys of a federated sign-in, in lower case."""
    now = world.clock.datetime()
    context: dict[str, Any] = {
        "saml:aud": said.recipient,
        "saml:iss": said.issuer,
        "saml:sub": said.name_id,
        "saml:sub_type": subject_type(said),
        "saml:doc": f"{pair.account_id}/{pair.provider_name}",
        "saml:namequalifier": name_qualifier(said.issuer, pair.account_id, pair.provider_name),
        "sts:rolesessionname": said.session_name,
        "aws:federatedprovider": pair.provider_arn,
        "aws:resourceaccount": pair.account_id,
        "aws:currenttime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:securetransport": "true",
        "aws:sourceip": "127.0.0.1",
    }
    if request is not None:
        context["aws:useragent"] = request.header("user-agent")
    if said.source_identity:
        context["sts:sourceidentity"] = said.source_identity
    if said.principal_tags:
        context["aws:tagkeys"] = tuple(said.principal_tags)
        for key, value in said.principal_tags.items():
            context[f"aws:requesttag/{key}".lower()] = value
    if said.transitive_tags:
        context["sts:transitivetagkeys"] = tuple(said.transitive_tags)
    return context


def trusts(
    world: World, role: Role, pair: RolePair, said: VerifiedAssertion, context: Mapping[str, Any]
) -> bool:
    """Whether the trust policy allows every action that this sign-in takes."""
    actions = ["sts:AssumeRoleWithSAML"]
    if said.principal_tags:
        actions.append("sts:TagSession")
    if said.source_identity:
        actions.append("sts:SetSourceIdentity")
    trust = shown_trust(world.aws, role)
    caller = Caller("federated", pair.provider_arn, pair.account_id)
    return all(
        trust_decision(trust, caller=caller, action=action, context=context).allowed
        for action in actions
    )
