"""The last step of a sign-in: a SAML assertion for temporary credentials, and who they say we are.

Source: AWS STS API Reference, "AssumeRoleWithSAML" (unsigned; 900 to 43,200 s, at most the role's maximum) and
IAM User Guide, "Troubleshoot SAML federation with IAM".
"""

from __future__ import annotations

from functools import partial

from ostiary.aws.credentials import Credentials, credentials_from
from ostiary.aws.propagation import role_too_fresh, until_accepted
from ostiary.aws.session import Aws, CallerIdentity
from ostiary.errors import AssertionRefused, Conflict, Denied, OstiaryError

_REFUSALS = {
    "InvalidIdentityToken": "check the provider's metadata and the clock, or run: ostiary doctor",
    "IDPRejectedClaim": "sign in to Okta again",
    "ExpiredTokenException": "sign in to Okta again: an assertion is good for five minutes",
    "AccessDenied": "the trust policy of the role does not let this provider and audience in; run: ostiary plan",
    "AuthSamlInvalidSamlResponseException": "the provider holds another app's metadata; run: ostiary plan",
    "ValidationError": "ask for a shorter session, or give the role a longer one in the estate",
}


def assume_role_with_saml(
    aws: Aws,
    role_arn: str,
    provider_arn: str,
    assertion: str,
    duration: int = 3600,
    *,
    fresh: bool = False,
) -> Credentials:
    """Credentials of a role for a base64 SAML response. ``duration`` is in seconds.

    ``fresh``: role or provider were written a moment ago, so a refusal is asked again for a while. Raises
    ``AssertionRefused`` with AWS's own code; the assertion is never part of an error.
    """
    send = partial(
        aws.call,
        "sts",
        "assume_role_with_saml",
        RoleArn=role_arn,
        PrincipalArn=provider_arn,
        SAMLAssertion=assertion,
        DurationSeconds=duration,
    )
    try:
        answer = until_accepted(aws, send, role_too_fresh) if fresh else send()
    except (Denied, Conflict) as refused:
        raise _refused(refused, role_arn) from refused
    return credentials_from(answer["Credentials"])


def caller_identity(aws: Aws, credentials: Credentials) -> CallerIdentity:
    """Whom ``credentials`` belong to, by ``sts:GetCallerIdentity``."""
    answer = aws.call("sts", "get_caller_identity", credentials=credentials)
    return CallerIdentity(answer["Account"], answer["Arn"], answer["UserId"])


def _refused(refused: OstiaryError, role_arn: str) -> AssertionRefused:
    return AssertionRefused(
        f"cannot enter {role_arn} with this assertion",
        why=refused.why,
        fix=_REFUSALS.get(refused.code, "run: ostiary doctor"),
        code=refused.code,
    )
