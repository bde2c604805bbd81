"""Instances as EC2 shows them: moto's answer with what it does not know of the AMI.

Source: Amazon EC2 API Reference, Instance; botocore's model for the names in the document.
"""

from __future__ import annotations

from lxml import etree

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.ec2_protocol import NAMESPACE
from ostiary.sandbox.aws.images.state import Image
from ostiary.sandbox.aws.shapes import unprefixed
from ostiary.sandbox.http import Response

_SPACE = f"{{{NAMESPACE}}}"


def with_images(call: Call, response: Response) -> Response:
    """DescribeInstances' answer with architecture, virtualization, ENA and boot mode of every instance."""
    root = etree.fromstring(response.body)
    _complete(call, root)
    kept = tuple(one for one in response.headers if one[0] != "content-length")
    return Response(response.status, etree.tostring(root), kept)


def _complete(call: Call, root: etree._Element) -> None:
    for item in root.iterfind(".//{*}instancesSet/{*}item"):
        image = call.cloud.launches.images.get(item.findtext("{*}instanceId") or "")
        if image is None:
            continue
        for name, text in _facts(image).items():
            for former in item.findall(f"{{*}}{name}"):
                item.remove(former)
            etree.SubElement(item, f"{_SPACE}{name}").text = text


def _facts(image: Image) -> dict[str, str]:
    mode = image.facts.get("BootMode")
    facts = {
        "architecture": str(image.facts.get("Architecture")),
        "virtualizationType": "hvm",
        "enaSupport": "true" if image.facts.get("EnaSupport") else "false",
        "currentInstanceBootMode": "uefi" if mode in ("uefi", "uefi-preferred") else "legacy-bios",
    }
    return facts | ({"bootMode": str(mode)} if mode else {})


def reservation(call: Call, instance_ids: list[str], *, new: bool = False) -> Response:
    """RunInstances' answer, from what DescribeInstances says of the instances; new ones are pending."""
    fields = {f"InstanceId.{number}": one for number, one in enumerate(instance_ids, 1)}
    answer = behind.ask(call, "DescribeInstances", fields)
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's own number
        raise behind.refused(answer)
    found = etree.fromstring(answer.body)
    _complete(call, found)
    root = etree.Element(f"{_SPACE}RunInstancesResponse", nsmap=unprefixed(NAMESPACE))
    etree.SubElement(root, f"{_SPACE}requestId").text = call.request_id
    root.extend(found.findall(".//{*}reservationSet/{*}item/*"))
    for state in root.iterfind(".//{*}instanceState") if new else ():
        for name, text in (("code", "0"), ("name", "pending")):
            for element in state.findall(f"{{*}}{name}"):
                element.text = text
    return Response(200, etree.tostring(root), (("content-type", "text/xml;charset=UTF-8"),))
