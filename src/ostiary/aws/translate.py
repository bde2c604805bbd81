"""AWS's errors in our words: what failed on which object, AWS's own code and request id, one fix.

The codes are those of the IAM, STS, Organizations, S3, KMS, EC2 and EBS API references, "Errors".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as NetworkError,
)
from botocore.parsers import ResponseParserError

from ostiary.errors import (
    Conflict,
    Denied,
    NotFound,
    OstiaryError,
    Throttled,
    Unreachable,
    UsageError,
)

_DENIED = frozenset(
    [
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "NotAuthorized",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "ExpiredToken",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "IncompleteSignature",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "InvalidAccessKeyId",
        "InvalidIdentityToken",
        "AuthSamlInvalidSamlResponseException",
        "IDPRejectedClaim",
        "OptInRequired",
        "AWSOrganizationsNotInUseException",
        "AccountNotRegisteredException",
        "RegionDisabledException",
        "Forbidden",
        "403",
    ]
)
_NOT_FOUND = frozenset(
    [
        "NoSuchEntity",
        "NoSuchKey",
        "NoSuchBucket",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "404",
    ]
)
_THROTTLED = frozenset(
    [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequests",
        "TooManyRequestsException",
        "RequestThrottled",
        "RequestThrottledException",
        "ConcurrentLimitExceededException",
        "SlowDown",
        "LimitExceededThrottle",
        "BandwidthLimitExceeded",
        "PriorRequestNotComplete",
    ]
)
_NEVER_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
CUT_OFF = "SSLEOFError"  # as Python calls it
_NETWORK = (NetworkError, HTTPClientError, IncompleteReadError, ResponseParserError)
BOTO_ERRORS = (ClientError, BotoCoreError, ResponseParserError)  # all that a call may raise
BotoError: TypeAlias = ClientError | BotoCoreError | ResponseParserError
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError)
_SKEWED = ("Signature expired", "Signature not yet current", "RequestTimeTooSkewed")
EXPIRED = frozenset(("ExpiredToken", "ExpiredTokenException"))
UNKNOWN_CALLER = EXPIRED | {
    "InvalidAccessKeyId",  # as S3 says it
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}

_QUOTA = re.compile(r"(Limit|Quota)Exceeded(Exception)?$|^TooMany")
_MISSING = re.compile(
    r"[Nn]ot authorized to perform:? (?P<action>[\w-]+:\w+)"
    r"(?: on (?:the )?resource:? (?P<resource>(?:(?:role|user|group|policy) )?\S+))?"
)
_OBJECTS = (
    "RoleName", "RoleArn", "SAMLProviderArn", "Name", "PolicyName", "PolicyArn", "UserName", "GroupName",
    "Key", "Bucket", "KeyId", "ParentId", "ResourceId", "PolicySourceArn", "ImageId", "SnapshotId",
    "ImportTaskId", "GroupId", "GroupName", "InstanceId", "LaunchTemplateId", "AllocationId", "LoadBalancerArn",
    "TargetGroupArn", "ListenerArn",
)  # fmt: skip


def attempted(operation: str, params: Mapping[str, Any], account: str | None) -> str:
    """``cannot update assume role policy of Ops in 1111-2222-3333``: the first line of an error."""
    of = next((str(params[name]) for name in _OBJECTS if params.get(name)), "")
    place = f" in {dashed(account)}" if account else ""
    return f"cannot {operation.replace('_', ' ')}{' of ' + of if of else ''}{place}"


def dashed(account: str) -> str:
    """A 12-digit account id as AWS prints it: 1111-2222-3333."""
    return f"{account[:4]}-{account[4:8]}-{account[8:]}"


def missing_permission(message: str) -> tuple[str, str]:
    """The action and the resource that an access-denied message names; empty where it names none."""
    match = _MISSING.search(message)
    if match is None:
        return "", ""
    return match["action"], (match["resource"] or "").rstrip(",.")


def translate(
    error: BotoError, what: str, *, account: str | None = None, writes: bool = False
) -> OstiaryError:
    """The error of our tree for one of botocore's. ``writes`` says that the call may have had an effect."""
    if isinstance(error, ClientError):
        return _answered(error, what, account, writes)
    code = type(error).__name__
    why = f"{code}: {error}"
    if isinstance(error, SSLError):
        if not was_cut_off(error):
            fix = "point AWS_CA_BUNDLE at the right CA file"
            return Unreachable(what, why=why, fix=fix, code=code)
        code = CUT_OFF
    if isinstance(error, (SSLError, *_NETWORK)):
        return Unreachable(
            what,
            why=why,
            fix="check the network and AWS_ENDPOINT_URL, then run the same command again",
            code=code,
            maybe_done=writes and not isinstance(error, _NEVER_SENT),
        )
    if isinstance(error, _NO_CREDENTIALS):
        fix = "set AWS_PROFILE, or the profile in reach:, or run: aws sso login"
        return Denied(what, why=why, fix=fix, code=code)
    if isinstance(error, ProfileNotFound):
        fix = "name a profile that this prints: aws configure list-profiles"
        return UsageError(what, why=why, fix=fix, code=code)
    if "SSO" in code or "Token" in code or "Credential" in code:
        return Denied(what, why=why, fix="run: aws sso login", code=code)
    return OstiaryError(what, why=why, code=code)


def was_cut_off(error: Exception) -> bool:
    """Whether an error of TLS is that the other side ended the connection, which says nothing of its certificate."""
    return "EOF occurred in violation of protocol" in str(error)


def _answered(error: ClientError, what: str, account: str | None, writes: bool) -> OstiaryError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", ""))
    metadata: Any = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    request = metadata.get("RequestId", "")
    why = f"{code}: {message}" + (f" (request {request})" if request else "")
    doctor = "ostiary doctor" + (f" --account {account}" if account else "")
    if code in _THROTTLED or status == 429:  # noqa: PLR2004 - HTTP's own number
        return Throttled(what, why=why, fix="run the same command again in a minute", code=code)
    if code in _NOT_FOUND or code.endswith(".NotFound"):
        return NotFound(what, why=why, fix=f"run: {doctor}", code=code)
    if code in _DENIED:
        return _denied(what, why, code, message, doctor)
    if status == 501:  # noqa: PLR2004 - HTTP's own number
        return OstiaryError(what, why=why, fix="ask for it at another endpoint", code=code)
    if status >= 500:  # noqa: PLR2004 - HTTP's own number
        return Unreachable(
            what, why=why, fix="run the same command again", code=code, maybe_done=writes
        )
    if _QUOTA.search(code):
        fix = "ask for more in the Service Quotas console, or remove what nobody needs"
        return Conflict(what, why=why, fix=fix, code=code)
    return Conflict(what, why=why, fix=f"run: {doctor}", code=code)


def _denied(what: str, why: str, code: str, message: str, doctor: str) -> Denied:
    if any(sign in f"{code} {message}" for sign in _SKEWED):
        return Denied(
            what,
            why=f"the clock of this machine is wrong: {why}",
            fix="set the clock, for example: timedatectl set-ntp true",
            code=code,
        )
    if code in UNKNOWN_CALLER:
        return Denied(
            what, why=why, fix="renew the credentials, for example: aws sso login", code=code
        )
    action, resource = missing_permission(message)
    if not action:
        return Denied(what, why=why, fix=f"run: {doctor}", code=code)
    asked = f"allow {action}" + (f" on {resource}" if resource else "")
    return Denied(what, why=why, fix=f"{asked} to this caller, or run: {doctor}", code=code)
