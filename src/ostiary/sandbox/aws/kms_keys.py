"""Which KMS key a call means, by id, ARN, alias or ciphertext."""

from __future__ import annotations

import base64
import binascii

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError

_KEY_ID = 36  # moto's ciphertexts begin with the key's UUID


def resolve_key(call: Call) -> None:
    """Put the ARN of the KMS key that a call names into its parameters as ``KeyArn``."""
    from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

    params = call.params
    named = params.get("KeyId") or params.get("TargetKeyId") or _key_of_ciphertext(call)
    if call.operation == "DeleteAlias":
        named = params["AliasName"]
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
    with behind.entered(call.cloud, "kms"):
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


def left_behind(call: Call) -> str:
    """The ARN of the key that UpdateAlias takes the alias from; "" for other calls, and where there is none."""
    from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

    if call.operation != "UpdateAlias":
        return ""
    with behind.entered(call.cloud, "kms"):
        backend = kms_backends[call.account.id][call.region]
        key = backend.keys.get(backend.get_key_id_from_alias(call.params["AliasName"]) or "")
        return str(key.arn) if key else ""


def _key_of_ciphertext(call: Call) -> str:
    blob = call.params.get("CiphertextBlob")
    if not isinstance(blob, str):
        return ""
    try:
        return base64.b64decode(blob)[:_KEY_ID].decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


def key_arn(call: Call, named: str) -> str | None:
    """The ARN of a KMS key of the caller's account that exists and is enabled."""
    with behind.entered(call.cloud, "kms"):
        from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

        backend = kms_backends[call.account.id][call.region]
        if "alias/" in named:
            key_id = backend.get_key_id_from_alias(backend.get_alias_name(named))
        else:
            key_id = backend.get_key_id(named)
        key = backend.keys.get(key_id or "")
        return str(key.arn) if key is not None and key.enabled else None
