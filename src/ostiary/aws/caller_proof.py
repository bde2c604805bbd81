"""Proof of the AWS role that somebody runs in: a presigned GetCallerIdentity, bound to who it is for by a signed header.

Source: IAM User Guide, "Add the signature to the request" (query parameters); STS API Reference, "GetCallerIdentity".
Nothing is sent: who gets the URL sends it to STS, which answers whose credentials signed it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from ostiary.aws.credentials import own_session
from ostiary.aws.region import region_of
from ostiary.aws.translate import translate
from ostiary.errors import Denied

HEADER = "x-ostiary-control"
SECONDS = 60


def presigned_caller(
    control: str, *, profile: str | None = None, environ: Mapping[str, str] | None = None
) -> str:
    """The URL, for the control plane of this URL. Denied without temporary credentials of a role.

    ``AWS_ENDPOINT_URL_STS`` is heeded as AWS's own clients do.
    """
    environ = os.environ if environ is None else environ
    what = "cannot prove the AWS role of this machine"
    region, _ = region_of(None, profile, environ)
    try:
        session = own_session(profile)
        held = session.get_credentials()
        frozen = held.get_frozen_credentials() if held else None
    except BotoCoreError as error:
        raise translate(error, what) from error
    if frozen is None or not frozen.token:
        raise Denied(
            what,
            why="there are no credentials"
            if frozen is None
            else "these are an IAM user's, no role's",
            fix="run it in the role, or name a profile that assumes it: export AWS_PROFILE",
            code="no-role",
        )
    endpoint = environ.get("AWS_ENDPOINT_URL_STS") or environ.get("AWS_ENDPOINT_URL")
    suffix = ".cn" if region.startswith("cn-") else ""
    base = (endpoint or f"https://sts.{region}.amazonaws.com{suffix}").rstrip("/")
    request = AWSRequest(
        "GET", f"{base}/?Action=GetCallerIdentity&Version=2011-06-15", headers={HEADER: control}
    )
    SigV4QueryAuth(frozen, "sts", region, expires=SECONDS).add_auth(request)
    return str(request.url)
