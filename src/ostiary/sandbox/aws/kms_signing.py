"""KMS keys that sign: Sign, Verify and GetPublicKey over moto's keys, with what moto leaves out.

moto hashes a DIGEST once more, salts PSS as long as it can, has a public key even for symmetric keys, and takes keys
that are disabled. Sources: AWS KMS API Reference, "Sign", "Verify", "GetPublicKey" (errors, limits, MessageType); AWS KMS
Developer Guide, "RSASSA-PSS" (salt as long as the digest). The texts of the errors are from memory: unverified.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ostiary.sandbox.aws import behind
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.http import Response

OPERATIONS = ("GetPublicKey", "Sign", "Verify")
MOST_RAW = 4096
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA_256": hashes.SHA256(),
    "SHA_384": hashes.SHA384(),
    "SHA_512": hashes.SHA512(),
}


def serve(call: Call) -> Response:
    """The answer to one of ``OPERATIONS``. Raises AwsError as KMS refuses."""
    key = _usable_key(call)
    if call.operation == "GetPublicKey":
        return _answer(call, _public(key))
    algorithm = str(call.params["SigningAlgorithm"])
    if algorithm not in (key.signing_algorithms or ()):
        raise AwsError(
            "InvalidKeyUsageException",
            f"Algorithm {algorithm} is incompatible with key spec {key.key_spec}.",
        )
    message, how = _message(call, algorithm)
    private = key.private_key.private_key
    said: dict[str, Any] = {"KeyId": key.arn, "SigningAlgorithm": algorithm}
    if call.operation == "Sign":
        signature = private.sign(message, *_arguments(algorithm, how))
        return _answer(call, said | {"Signature": base64.b64encode(signature).decode()})
    try:
        private.public_key().verify(_bytes(call, "Signature"), message, *_arguments(algorithm, how))
    except InvalidSignature as error:
        raise AwsError("KMSInvalidSignatureException", "") from error
    return _answer(call, said | {"SignatureValid": True})


def _usable_key(call: Call) -> Any:
    from moto.kms.models import kms_backends  # noqa: PLC0415 - see behind.py

    arn = str(call.params.get("KeyArn", ""))
    with behind.entered(call.cloud, "kms"):
        key = kms_backends[call.account.id][call.region].keys.get(arn.rpartition("/")[2])
    if key is None:
        raise AwsError("NotFoundException", f"Key '{arn}' does not exist")
    if key.key_state == "PendingDeletion":
        raise AwsError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if not key.enabled:
        raise AwsError("DisabledException", f"{key.arn} is disabled.")
    if key.key_spec.startswith(("SYMMETRIC", "HMAC")) and call.operation == "GetPublicKey":
        raise AwsError("UnsupportedOperationException", f"{key.arn} has no public key.")
    if key.key_usage != "SIGN_VERIFY" and call.operation != "GetPublicKey":
        raise AwsError(
            "InvalidKeyUsageException",
            f"{key.arn} key usage is {key.key_usage} which is not valid for {call.operation}.",
        )
    return key


def _public(key: Any) -> dict[str, Any]:
    listed = "SigningAlgorithms" if key.key_usage == "SIGN_VERIFY" else "EncryptionAlgorithms"
    algorithms = key.signing_algorithms or key.encryption_algorithms
    return {
        "KeyId": key.arn,
        "PublicKey": base64.b64encode(key.private_key.public_key()).decode(),
        "KeySpec": key.key_spec,
        "CustomerMasterKeySpec": key.key_spec,
        "KeyUsage": key.key_usage,
        listed: list(algorithms or ()),
    }


def _message(call: Call, algorithm: str) -> tuple[bytes, hashes.HashAlgorithm | Prehashed]:
    """The bytes that are signed, and how they are hashed on the way."""
    message = _bytes(call, "Message")
    hashed = _HASHES[algorithm[-7:]]
    kind = str(call.params.get("MessageType") or "RAW")
    if kind == "RAW":
        return message, hashed
    if kind != "DIGEST":
        raise AwsError("ValidationException", f"MessageType {kind} is not valid for {algorithm}.")
    if len(message) != hashed.digest_size:
        raise AwsError(
            "ValidationException", f"Digest is invalid length for algorithm {algorithm}."
        )
    return message, Prehashed(hashed)


def _arguments(algorithm: str, how: hashes.HashAlgorithm | Prehashed) -> tuple[Any, ...]:
    if algorithm.startswith("ECDSA"):
        return (ec.ECDSA(how),)
    if algorithm.startswith("RSASSA_PKCS1"):
        return padding.PKCS1v15(), how
    hashed = _HASHES[algorithm[-7:]]
    return padding.PSS(mgf=padding.MGF1(hashed), salt_length=hashed.digest_size), how


def _bytes(call: Call, name: str) -> bytes:
    try:
        data = base64.b64decode(str(call.params[name]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise AwsError("SerializationException", "") from error
    if name == "Message" and not 1 <= len(data) <= MOST_RAW:
        bound = "greater than or equal to 1" if not data else f"less than or equal to {MOST_RAW}"
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'message' failed to satisfy constraint:"
            f" Member must have length {bound}",
        )
    return data


def _answer(call: Call, said: dict[str, Any]) -> Response:
    headers = (
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amzn-requestid", call.request_id),
    )
    return Response(200, json.dumps(said).encode(), headers)
