"""S3, KMS, EC2, ELB and ACM: moto in process, behind our signature check and authorization.

moto is imported when the first such call comes. Its state is global to the process; here every Cloud has its own,
swapped in when the Cloud changes. No socket is opened and moto's own server is never started.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from lxml import etree

from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.s3_requests import by_host
from ostiary.sandbox.aws.state import Cloud
from ostiary.sandbox.http import Response

_VERSIONS = {"ec2": "2016-11-15", "elasticloadbalancing": "2015-12-01"}
_lock = threading.RLock()
_entered: weakref.ref[Cloud] | None = None


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
    with entered(call.cloud, call.service):
        try:
            answered = BotocoreStubber().process_request(prepared)
        except Exception as error:
            # moto looks at few parameters before it uses them; what it cannot answer is not served.
            text = f"{call.service}:{call.operation} is not served with these parameters"
            raise AwsError("NotImplemented", f"{text} ({type(error).__name__})", 501) from error
    if answered is None:
        raise AwsError("NotImplemented", f"{call.service}:{call.operation} is not served", 501)
    status, found, body = answered
    content = body.encode() if isinstance(body, str) else bytes(body)
    return Response(
        int(status),
        content,
        tuple((str(name).lower(), str(value)) for name, value in dict(found).items()),
    )


def ask(call: Call, operation: str, fields: Mapping[str, str]) -> Response:
    """moto's answer to another request of the query protocol, on behalf of the same caller."""
    form = {"Action": operation, "Version": _VERSIONS[call.service], **fields}
    request = replace(
        call.request,
        method="POST",
        target="/",
        headers=(*_by(call), ("content-type", "application/x-www-form-urlencoded; charset=utf-8")),
        body=urlencode(form).encode(),
    )
    return serve(replace(call, operation=operation, request=request))


def _by(call: Call) -> tuple[tuple[str, str], ...]:
    return tuple(one for one in call.request.headers if one[0] in ("authorization", "x-amz-date"))


def refused(answer: Response) -> AwsError:
    """moto's refusal in a query protocol as an error of ours."""
    root = etree.fromstring(answer.body)
    code, message = (root.findtext(f".//{{*}}{name}") or "" for name in ("Code", "Message"))
    # moto puts the whole collection where EC2 names one: '{'sg-1'}'
    return AwsError(code, re.sub(r"'?[{[]'([^']*)'[]}]'?", r"'\1'", message), answer.status)


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


@contextmanager
def entered(cloud: Cloud, service: str) -> Iterator[None]:
    """moto's global state is this Cloud's while the block runs, with what ``service`` needs imported."""
    with _lock:
        _enter(cloud, service)
        yield


def _enter(cloud: Cloud, service: str) -> None:
    """Make moto's global state this Cloud's, keeping the former one's for its return."""
    global _entered  # noqa: PLW0603 - moto's state is the process's, so is the note of whose it is
    former = _entered() if _entered else None
    loaded_before = set(loaded())
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # AMIs are ours: see images/
    for module in _MODULES[service]:
        importlib.import_module(f"moto.{module}.models")
    if former is cloud:
        return
    stores = loaded()
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
    "ec2": ("ec2", "kms"),
    "elasticloadbalancing": ("elbv2", "elb", "ec2", "acm"),
    "acm": ("acm",),
}


def loaded() -> dict[str, dict[str, Any]]:
    """moto's stores of every package that this process has imported."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("s3", "kms", "ec2", "elb", "elbv2", "acm"):
        module = sys.modules.get(f"moto.{name}.models")
        if module is not None:
            found[name] = getattr(module, f"{name}_backends")
    if "s3" in found:
        found["buckets"] = sys.modules["moto.s3.models"].s3_backends.bucket_accounts
    return found
