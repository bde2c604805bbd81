"""STS AssumeRoleWithSAML: what must hold before an assertion becomes credentials.

Sources: STS API Reference, AssumeRoleWithSAML; IAM User Guide, "Troubleshoot SAML federation with IAM", "IAM and
AWS STS condition context keys". Texts and codes that no public source shows are listed in the fidelity page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from botocore.loaders import Loader

from ostiary.errors import AssertionRefused, Conflict
from ostiary.model.partition import PARTITIONS, Partition
from ostiary.saml import metadata, verify
from ostiary.saml.claims import NOT_AUTHORIZED
from ostiary.saml.roles import NotRolePair, RolePair, parse_pair, parse_pairs
from ostiary.saml.verify import VerifiedAssertion
from ostiary.sandbox.aws.call import policy_document
from ostiary.sandbox.aws.documents import MAX_INLINE, identity_policy
from ostiary.sandbox.aws.iam_state import AwsError, Document, Role, SamlProvider
from ostiary.sandbox.aws.saml_trust import condition_keys, subject_type, trusts
from ostiary.sandbox.aws.shapes import check, operation_model
from ostiary.sandbox.aws.state import AwsAccount
from ostiary.sandbox.http import Request
from ostiary.sandbox.world import World

Answer = dict[str, Any]
DEFAULT_DURATION = 3600  # seconds
PACKED_LIMIT = 2048  # bytes of session policies and tags; AWS packs them, we only count
RESERVED = "AWSReservedSSO_"
_FORBIDDEN = 403
_SHORT_TYPES = ("persistent", "transient")


def assume_role_with_saml(
    world: World, params: Mapping[str, Any], request: Request | None = None
) -> Answer:
    """Answer AssumeRoleWithSAML: the members of its output shape. Raises AwsError.

    Checked in this order: parameters, ARNs, provider, response (signature, issuer, audience, recipient, times,
    subject), the pair of role and provider in the assertion, role, trust policy, duration, session policies.
    An assertion is not used up: it serves any of its roles until it expires.
    """
    _check_parameters(params)
    pair = _asked_pair(params["RoleArn"], params["PrincipalArn"])
    account, provider = _provider(world, pair)
    said = verified(world, account, provider, _decoded(params["SAMLAssertion"]))
    role = _role(world, pair, said)
    context = condition_keys(world, pair, said, request)
    if not trusts(world, role, pair, said, context):
        raise _denied()
    duration = _duration(world, role, params, said)
    policies = _session_policies(world, account, params)
    session = world.aws.new_session(
        account,
        role,
        said.session_name,
        duration,
        policies=policies,
        tags=said.principal_tags,
        transitive_tags=said.transitive_tags,
        context={
            "aws:FederatedProvider": provider.arn,
            "saml:namequalifier": context["saml:namequalifier"],
            "saml:sub": said.name_id,
            "saml:sub_type": subject_type(said),
        },
        source_identity=said.source_identity or "",
    )
    if account.roles.get(role.name) is role:
        account.roles.put(replace(role, last_used=world.clock.now()))
    answer: Answer = {
        "Credentials": {
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret,
            "SessionToken": session.token,
            "Expiration": session.expires,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.id}:{said.session_name}",
            "Arn": session.principal_arn,
        },
        "Subject": said.name_id,
        "SubjectType": subject_type(said),
        "Issuer": said.issuer,
        "Audience": said.recipient,
        "NameQualifier": context["saml:namequalifier"],
    }
    if policies or said.principal_tags:
        answer["PackedPolicySize"] = _packed_size(params, said)
    if said.source_identity:
        answer["SourceIdentity"] = said.source_identity
    return answer


def verified(
    world: World, account: AwsAccount, provider: SamlProvider, response: bytes
) -> VerifiedAssertion:
    """Verify a response by the keys of one provider of this account. Raises AwsError with AWS's code."""
    if provider.encryption_mode == "Required":
        raise AwsError("InvalidIdentityToken", "Assertion must be encrypted for this provider")
    partition = PARTITIONS[account.partition]
    recipients = sign_in_urls(partition)
    try:
        return verify.verify(
            response,
            _metadata(provider.metadata),
            now=world.clock.datetime(),
            recipients=recipients,
            audiences={partition.audience, *recipients},
        )
    except AssertionRefused as refused:
        raise _as_aws_error(refused) from refused
    except Conflict as error:
        raise AwsError("InvalidIdentityToken", f"Could not parse metadata: {error.why}") from error


@cache
def sign_in_urls(partition: Partition) -> tuple[str, ...]:
    """Every Recipient that AWS accepts in a partition: the global endpoint, then the regional ones."""
    known = Loader().load_data("partitions")["partitions"]
    regions = next(each["regions"] for each in known if each["id"] == partition.name)
    regional = [partition.regional_sign_in_url(name) for name in regions if "global" not in name]
    return (partition.sign_in_url, *regional)


@lru_cache(maxsize=256)
def _metadata(text: str) -> metadata.Metadata:
    return metadata.parse(text)


def _as_aws_error(refused: AssertionRefused) -> AwsError:
    return AwsError(
        refused.code, refused.why, _FORBIDDEN if refused.code == "AccessDenied" else 400
    )


def _denied() -> AwsError:
    return AwsError("AccessDenied", NOT_AUTHORIZED, _FORBIDDEN)


def _check_parameters(params: Mapping[str, Any]) -> None:
    if len(params.get("SAMLAssertion", "")) > verify.MOST_CHARACTERS:  # never echo an assertion
        raise AwsError(
            "ValidationError",
            "1 validation error detected: Value at 'sAMLAssertion' failed to satisfy constraint:"
            f" Member must have length less than or equal to {verify.MOST_CHARACTERS}",
        )
    operation = operation_model("sts", "AssumeRoleWithSAML")
    if operation is not None:
        check(operation.input_shape, dict(params))


def _asked_pair(role_arn: str, provider_arn: str) -> RolePair:
    if ":role/" not in role_arn:
        raise AwsError("ValidationError", "Request ARN is invalid")
    if ":saml-provider/" not in provider_arn:
        raise AwsError("ValidationError", "Principal ARN is invalid")
    try:
        return parse_pair(f"{role_arn},{provider_arn}")
    except NotRolePair as error:
        if role_arn.split(":")[:5] == provider_arn.split(":")[:5]:
            raise AwsError("ValidationError", "Request ARN is invalid") from error
        raise AwsError(
            "AccessDenied",
            "Principal exists outside the account of the Role being assumed",
            _FORBIDDEN,
        ) from error


def _provider(world: World, pair: RolePair) -> tuple[AwsAccount, SamlProvider]:
    account = world.aws.accounts.get(pair.account_id)
    provider = world.aws.saml_provider(pair.provider_arn)
    if account is None or provider is None or account.status != "ACTIVE":
        raise AwsError(
            "InvalidIdentityToken",
            "Specified provider doesn't exist (Service: AWSOpenIdDiscoveryService; Status Code: 400;"
            " Error Code: AuthSamlManifestNotFoundException)",
        )
    return account, provider


def _decoded(text: str) -> bytes:
    try:
        return verify.decode(text)
    except AssertionRefused as refused:
        raise _as_aws_error(refused) from refused


def _role(world: World, pair: RolePair, said: VerifiedAssertion) -> Role:
    role = world.aws.role(pair.role_arn)
    if pair not in parse_pairs(said.role_values) or role is None or role.name.startswith(RESERVED):
        raise _denied()
    return role


def _duration(
    world: World, role: Role, params: Mapping[str, Any], said: VerifiedAssertion
) -> float:
    """Seconds: what was asked for, never above the role's maximum, ending with the Okta session if that is told."""
    asked = params.get("DurationSeconds", DEFAULT_DURATION)
    if asked > role.max_session:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
    if said.session_not_on_or_after is None:
        return float(asked)
    left = said.session_not_on_or_after.timestamp() - world.clock.now()
    return float(min(asked, left))


def _session_policies(
    world: World, account: AwsAccount, params: Mapping[str, Any]
) -> tuple[Document, ...]:
    found: list[Document] = []
    for item in params.get("PolicyArns") or ():
        document = policy_document(world.aws, account, item.get("arn", ""))
        if document is None:
            raise AwsError("ValidationError", f"Policy {item.get('arn')} does not exist")
        found.append(document)
    if text := params.get("Policy"):
        found.append(identity_policy(text, MAX_INLINE["user"], "session policy"))
    return tuple(found)


def _packed_size(params: Mapping[str, Any], said: VerifiedAssertion) -> int:
    """Percent of the allowed space. Raises AwsError when it is full."""
    used = len(params.get("Policy") or "")
    used += sum(len(item.get("arn", "")) for item in params.get("PolicyArns") or ())
    used += sum(len(key) + len(value) for key, value in said.principal_tags.items())
    percent = -(-used * 100 // PACKED_LIMIT)
    if percent > 100:  # noqa: PLR2004
        raise AwsError(
            "PackedPolicyTooLarge",
            f"Packed size of session policies and tags consumes {percent}% of allotted space.",
        )
    return percent
