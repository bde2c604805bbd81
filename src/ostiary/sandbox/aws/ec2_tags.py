"""CreateTags, DeleteTags and DescribeTags over our images and moto's objects alike.

Source: Amazon EC2 API Reference, CreateTags, DeleteTags, DescribeTags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import translate
from typing import Any
from urllib.parse import urlencode

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call, decode_marker, encode_marker
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.images import tagging

_MOST = 1000


def change(call: Call) -> dict[str, Any]:
    """Put tags on every resource or take them off. Whatever does not exist fails the request before it does anything."""
    resources = call.params.get("Resources") or []
    ours = [one for one in resources if tagging.is_ours(one)]
    others = [one for one in resources if one not in ours]
    for one in ours:
        tagging.tags_of(call, one)
    if others:
        _by_moto(call, others)
    if ours:
        tagging.change(call, ours)
    return {}


def _by_moto(call: Call, resources: list[str]) -> None:
    form = {"Action": call.operation, "Version": "2016-11-15"}
    form |= {f"ResourceId.{number}": one for number, one in enumerate(resources, 1)}
    for number, tag in enumerate(call.params.get("Tags") or (), 1):
        form |= {f"Tag.{number}.{name}": str(value) for name, value in tag.items()}
    request = replace(
        call.request,
        method="POST",
        target="/",
        headers=(("content-type", "application/x-www-form-urlencoded; charset=utf-8"),),
        body=urlencode(form).encode(),
    )
    answer = behind.serve(replace(call, request=request))
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's own number
        code, message = (
            found[1].decode()
            if (found := re.search(rb"<%b>(.*?)</%b>" % (tag, tag), answer.body))
            else ""
            for tag in (b"Code", b"Message")
        )
        raise AwsError(code or "InternalError", message, answer.status)


def describe(call: Call) -> dict[str, Any]:
    params = call.params
    wanted = {one["Name"]: one.get("Values") or [] for one in params.get("Filters") or ()}
    rows = sorted(_every(call), key=lambda row: (row["ResourceId"], row["Key"]))
    found = [row for row in rows if all(_fits(row, name, wanted[name]) for name in wanted)]
    start = int(decode_marker(params["NextToken"])) if params.get("NextToken") else 0
    most = params.get("MaxResults") or _MOST
    answer: dict[str, Any] = {"Tags": found[start : start + most]}
    if start + most < len(found):
        answer["NextToken"] = encode_marker(str(start + most))
    return answer


def _every(call: Call) -> Iterator[dict[str, str]]:
    for resource_id, kind, tags in tagging.tagged(call):
        for key, value in tags.items():
            yield {"Key": key, "ResourceId": resource_id, "ResourceType": kind, "Value": value}
    with behind.entered(call.cloud, "ec2"):
        from moto.ec2.models import ec2_backends  # noqa: PLC0415 - see behind.py

        for one in ec2_backends[call.account.id][call.region].describe_tags():
            yield {
                "Key": one["key"],
                "ResourceId": one["resource_id"],
                "ResourceType": one["resource_type"],
                "Value": one["value"],
            }


_COLUMNS = {"key": "Key", "resource-id": "ResourceId", "resource-type": "ResourceType"}
_COLUMNS |= {"value": "Value"}


def _fits(row: dict[str, str], name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        return row["Key"] == name[4:] and _like(row["Value"], values)
    if name not in _COLUMNS:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return _like(row[_COLUMNS[name]], values)


def _like(text: str, values: list[str]) -> bool:
    return any(re.fullmatch(translate(one.replace("[", "[[]")), text) for one in values)
