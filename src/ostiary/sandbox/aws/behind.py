"""S3 and KMS: moto in process, behind our signature check and authorization.

moto is imported when the first such call comes. Its state is global to the process; here every Cloud has its own,
swapped in when the Cloud changes. No socket is opened and moto's own server is never started.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
import weakref
from typing import Any
from urllib.parse import parse_qs, unquote

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.http import Request, Response

_KEY_ID = 36  # moto's ciphertexts begin with the key's UUID
_AWS_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-].*amazonaws\.com(?:\.cn)?")
_LOCAL_HOST = re.compile(
    r"(?!(?:s3\.)?aws\.localhost)(?:(?P<bucket>.+?)\.)(?:s3\.)?(?:aws\.)?localhost"
)
_QUERY_OPERATIONS = {
    ("GET", "location"): "GetBucketLocation",
    ("PUT", "publicAccessBlock"): "PutPublicAccessBlock",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("PUT", "encryption"): "PutBucketEncryption",
    ("GET", "encryption"): "GetBucketEncryption",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("GET", "versioning"): "GetBucketVersioning",
}
_BUCKET_OPERATIONS = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_OBJECT_OPERATIONS = {
    "PUT": "PutObject",
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "DELETE": "DeleteObject",
}
_PLAIN_QUERY = {"x-id", "list-type", "prefix", "delimiter", "max-keys", "continuation-token"}
_PLAIN_QUERY |= {"start-after", "encoding-type", "fetch-owner", "versionId", "max-buckets"}
_lock = threading.RLock()
_entered: weakref.ref[Cloud] | None = None


def s3_operation(request: Request) -> tuple[str, dict[str, Any]]:
    """The S3 operation of a request, its Bucket and Key: virtual-host or path style. "" if not known."""
    path, _, raw_query = request.target.partition("?")
    bucket, key = _by_host(request), path[1:]
    if not bucket:
        bucket, _, key = key.partition("/")
    query = parse_qs(raw_query, keep_blank_values=True)
    params: dict[str, Any] = {"Bucket": unquote(bucket), "Key": unquote(key)}
    if "prefix" in query:
        params["Prefix"] = query["prefix"][0]
    special = [name for name in query if name not in _PLAIN_QUERY]
    if special:
        name = _QUERY_OPERATIONS.get((request.method, special[0]), "") if not key else ""
    elif key:
        name = (
            ""
            if request.header("x-amz-copy-source")
            else _OBJECT_OPERATIONS.get(request.method, "")
        )
    elif bucket and request.method == "GET":
        name = "ListObjectsV2" if query.get("list-type") == ["2"] else ""
    elif bucket:
        name = _BUCKET_OPERATIONS.get(request.method, "")
    else:
        name = "ListBuckets" if request.method == "GET" else ""
    return name, params


def _by_host(request: Request) -> str:
    """The bucket that the Host header names, "" in path style."""
    host = request.header("host").rsplit(":", 1)[0].lower()
    found = _AWS_HOST.fullmatch(host) or _LOCAL_HOST.fullmatch(host)
    return (found["bucket"] or "") if found else ""


def check_bucket_owner(call: Call) -> None:
    """Another account's bucket is closed: the embedded S3 has no bucket policies."""
    from moto.s3.models import s3_backends  # noqa: PLC0415 - see the module's docstring

    with _lock:
        _enter(call.cloud)
        owner = s3_backends.bucket_accounts.get(call.params["Bucket"])
    if owner and owner[1] != call.account.id and call.operation != "CreateBucket":
        raise AwsError("AccessDenied", "Access Denied", 403)


def resolve_key(call: Call) -> None:
    """Put the ARN of the KMS key that a call names into its parameters as ``KeyArn``."""
    from moto.kms.models import kms_backends  # noqa: PLC0415

    named = call.params.get("KeyId") or call.params.get("TargetKeyId") or _key_of_ciphertext(call)
    if not named:
        return
    if named.startswith("arn:") and named.split(":")[4] != call.account.id:
        call.params["KeyArn"] = named
        raise AwsError(
            "AccessDeniedException",
            f"User: {call.principal.arn} is not authorized to perform: kms:{call.operation} on resource: {named}"
            " because no resource-based policy allows the kms:"
            f"{call.operation} action",
        )
    with _lock:
        _enter(call.cloud)
        backend = kms_backends[call.account.id][call.region]
        if "alias/" in named:
            key_id = backend.get_key_id_from_alias(backend.get_alias_name(named))
        else:
            key_id = backend.get_key_id(named)
        key = backend.keys.get(key_id or "")
    call.params["KeyArn"] = (
        key.arn
        if key
        else f"arn:{call.account.partition}:kms:{call.region}:{call.account.id}:key/{named}"
    )


def _key_of_ciphertext(call: Call) -> str:
    blob = call.params.get("CiphertextBlob")
    if not isinstance(blob, str):
        return ""
    try:
        return base64.b64decode(blob)[:_KEY_ID].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def serve(call: Call) -> Response:
    """moto's answer, with the account that the signature proved."""
    from botocore.awsrequest import AWSPreparedRequest  # noqa: PLC0415
    from botocore.compat import HTTPHeaders  # noqa: PLC0415
    from moto.core.botocore_stubber import BotocoreStubber  # noqa: PLC0415

    headers = HTTPHeaders()
    for name, value in call.request.headers:
        if not name.startswith("x-moto-") and name not in {"host", "content-length"}:
            headers[name] = value
    headers["x-moto-account-id"] = call.account.id
    prepared = AWSPreparedRequest(
        method=call.request.method,
        url=_url(call),
        headers=headers,
        body=_body(call),
        stream_output=False,
    )
    with _lock:
        _enter(call.cloud)
        answered = BotocoreStubber().process_request(prepared)
    if answered is None:
        raise AwsError("NotImplemented", f"{call.service}:{call.operation} is not served", 501)
    status, found, body = answered
    content = body.encode() if isinstance(body, str) else bytes(body)
    return Response(
        int(status),
        content,
        tuple((str(name).lower(), str(value)) for name, value in dict(found).items()),
    )


def _body(call: Call) -> bytes:
    """For KMS only what the model knows: moto trips over strange members."""
    if call.service == "s3":
        return call.request.body
    known = {name: value for name, value in call.params.items() if name != "KeyArn"}
    return json.dumps(known).encode()


def _url(call: Call) -> str:
    """The request's URL at AWS; a bucket that came in the host's name moves into the path."""
    path, mark, query = call.request.target.partition("?")
    if call.service == "s3" and (bucket := call.params["Bucket"]):
        key = path[1:] if _by_host(call.request) else path[1:].partition("/")[2]
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
    return f"https://{call.service}.{call.region}.amazonaws.com{path}{mark}{query}"


def _enter(cloud: Cloud) -> None:
    """Make moto's global state this Cloud's, keeping the former one's for its return."""
    global _entered  # noqa: PLW0603 - moto's state is the process's, so is the note of whose it is
    from moto.kms.models import kms_backends  # noqa: PLC0415
    from moto.s3.models import s3_backends  # noqa: PLC0415

    former = _entered() if _entered else None
    if former is cloud:
        return
    stores: dict[str, dict[str, Any]] = {
        "s3": s3_backends,
        "buckets": s3_backends.bucket_accounts,
        "kms": kms_backends,
    }
    if former is not None:
        former.behind = {name: dict(store) for name, store in stores.items()}
    for name, store in stores.items():
        store.clear()
        store.update(cloud.behind.get(name, {}))
    _entered = weakref.ref(cloud)
