"""S3, KMS, EC2, ELB and ACM: moto in process, behind our signature check and authorization.

moto is imported when the first such call comes. Its state is global to the process; here every Cloud has its own,
swapped in when the Cloud changes. No socket is opened and moto's own server is never started.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import json
import os
import sys
import threading
import weakref
from typing import IO, Any

from ostiary.sandbox.aws import ec2_launch
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import tagging
from ostiary.sandbox.aws.s3_requests import by_host, check_region
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.http import Response

_KEY_ID = 36  # moto's ciphertexts begin with the key's UUID
_lock = threading.RLock()
_entered: weakref.ref[Cloud] | None = None


def check_bucket(call: Call) -> None:
    """A bucket is its owner's and in its region; the embedded S3 evaluates no bucket policies."""
    from moto.s3.models import s3_backends  # noqa: PLC0415 - see the module's docstring

    name = call.params["Bucket"]
    with _lock:
        _enter(call.cloud)
        owner = s3_backends.bucket_accounts.get(name)
        found = s3_backends[owner[1]][owner[0]].buckets.get(name) if owner else None
        home = str(found.region_name) if found is not None else None
    expected = call.request.header("x-amz-expected-bucket-owner")
    if owner and call.operation != "CreateBucket" and call.account.id != owner[1]:
        raise AwsError("AccessDenied", "Access Denied", 403)
    if owner and expected and expected != owner[1]:
        raise AwsError("AccessDenied", "Access Denied", 403)
    if owner and call.operation == "CreateBucket":
        if owner[1] != call.account.id:
            raise AwsError(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
                " Please select a different name and try again.",
                409,
            )
        if call.region != "us-east-1" or home != call.region:
            raise AwsError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
                409,
            )
    check_region(call.operation, call.request, call.region, home)


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
        _enter(call.cloud, call.service)
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
    """For JSON services only what the model knows: moto trips over strange members."""
    if call.service not in ("kms", "acm"):
        return call.request.body
    known = {name: value for name, value in call.params.items() if name != "KeyArn"}
    return json.dumps(known).encode()


def _url(call: Call) -> str:
    """The request's URL at AWS; a bucket that came in the host's name moves into the path."""
    path, mark, query = call.request.target.partition("?")
    if call.service == "s3" and (bucket := call.params["Bucket"]):
        key = path[1:] if by_host(call.request) else path[1:].partition("/")[2]
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
    return f"https://{call.service}.{call.region}.amazonaws.com{path}{mark}{query}"


def _enter(cloud: Cloud, service: str = "s3") -> None:
    """Make moto's global state this Cloud's, keeping the former one's for its return."""
    global _entered  # noqa: PLW0603 - moto's state is the process's, so is the note of whose it is
    former = _entered() if _entered else None
    loaded_before = set(_loaded())
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # AMIs are ours: see images/
    for module in _MODULES[service]:
        importlib.import_module(f"moto.{module}.models")
    if former is cloud:
        return
    stores = _loaded()
    if former is not None:
        former.behind |= {name: dict(stores[name]) for name in loaded_before}
    for name, store in stores.items():
        store.clear()
        store.update(cloud.behind.get(name, {}))
    _entered = weakref.ref(cloud)


# Service -> the packages of moto that it needs; ELB looks certificates up in ACM and instances in EC2.
_MODULES = {
    "s3": ("s3", "kms"),
    "kms": ("s3", "kms"),
    "ec2": ("ec2",),
    "elasticloadbalancing": ("elbv2", "elb", "ec2", "acm"),
    "acm": ("acm",),
}


def _loaded() -> dict[str, dict[str, Any]]:
    """moto's stores of every package that this process has imported."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("s3", "kms", "ec2", "elb", "elbv2", "acm"):
        module = sys.modules.get(f"moto.{name}.models")
        if module is not None:
            found[name] = getattr(module, f"{name}_backends")
    if "s3" in found:
        found["buckets"] = sys.modules["moto.s3.models"].s3_backends.bucket_accounts
    return found


def stored_object(call: Call, bucket: str, key: str) -> tuple[str, str, IO[bytes]] | None:
    """(owner's account, region, content) of an object, for a service that reads it; None when there is none."""
    with _lock:
        _enter(call.cloud)
        from moto.s3.models import s3_backends  # noqa: PLC0415 - see the module's docstring

        owner = s3_backends.bucket_accounts.get(bucket)
        if owner is None:
            return None
        found = s3_backends[owner[1]][owner[0]]
        place = found.buckets.get(bucket)
        content = place.keys.get(key) if place is not None else None
        if place is None or content is None:
            return None
        stream = io.BytesIO(content.value)
        return owner[1], place.region_name, stream


def key_arn(call: Call, named: str) -> str | None:
    """The ARN of a KMS key of the caller's account that exists and is enabled."""
    with _lock:
        _enter(call.cloud, "kms")
        from moto.kms.models import kms_backends  # noqa: PLC0415

        backend = kms_backends[call.account.id][call.region]
        if "alias/" in named:
            key_id = backend.get_key_id_from_alias(backend.get_alias_name(named))
        else:
            key_id = backend.get_key_id(named)
        key = backend.keys.get(key_id or "")
        return str(key.arn) if key is not None and key.enabled else None


def run_instances(call: Call) -> Response:
    """RunInstances with what EC2 adds to moto: see ``ec2_launch.py``."""
    with _lock:
        _enter(call.cloud, "ec2")
        from moto.ec2.models import ec2_backends  # noqa: PLC0415

        backend = ec2_backends[call.account.id][call.region]
        known = ec2_launch.repeated(call, backend)
        if known:
            return _reservation(call, backend, known)
        data = ec2_launch.before_run(call, backend)
        before = {one.id for r in backend.reservations.values() for one in r.instances}
        response = serve(call)
        after = {one.id for r in backend.reservations.values() for one in r.instances}
        ec2_launch.after_run(data, sorted(after - before), backend)
        return response


def _reservation(call: Call, backend: Any, instance_ids: list[str]) -> Response:
    """The answer that the first request with this token had."""
    found = next(
        one
        for one in backend.reservations.values()
        if any(instance.id in instance_ids for instance in one.instances)
    )
    rows = "".join(
        f"<item><instanceId>{one.id}</instanceId><imageId>{one.image_id}</imageId>"
        f"<instanceState><code>16</code><name>running</name></instanceState></item>"
        for one in found.instances
    )
    body = (
        '<RunInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{call.request_id}</requestId><reservationId>{found.id}</reservationId>"
        f"<ownerId>{call.account.id}</ownerId><instancesSet>{rows}</instancesSet></RunInstancesResponse>"
    )
    return Response(200, body.encode(), (("content-type", "text/xml;charset=UTF-8"),))


def tag_resources(call: Call) -> Response | dict[str, Any]:
    """CreateTags and DeleteTags over our images and moto's objects in one request."""
    resources = call.params.get("Resources") or []
    ours = [one for one in resources if tagging.is_ours(one)]
    if not ours:
        return serve(call)
    if len(ours) != len(resources):
        raise AwsError("NotImplemented", "images and other resources in one request", 501)
    tagging.change(call, ours)
    return {}
