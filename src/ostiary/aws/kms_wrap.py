"""Wraps the keys of runs with a KMS key, so that before-images can be opened only by whom that key allows.

Source: AWS KMS API Reference, "Encrypt" and "Decrypt"; the encryption context is bound to the ciphertext and
shows in CloudTrail.
"""

from __future__ import annotations

from ostiary.aws.session import Aws


class KmsWrap:
    """``key`` is the id, ARN or alias of a symmetric key; ``estate`` is bound to every wrapped key."""

    def __init__(self, aws: Aws, key: str, estate: str, *, region: str | None = None) -> None:
        self._aws = aws
        self._key = key
        self._region = region
        self._context = {"ostiary:estate": estate}

    def wrap(self, key: bytes) -> bytes:
        answer = self._aws.call(
            "kms",
            "encrypt",
            region=self._region,
            repeatable=True,
            KeyId=self._key,
            Plaintext=key,
            EncryptionContext=self._context,
        )
        return bytes(answer["CiphertextBlob"])

    def unwrap(self, wrapped: bytes) -> bytes:
        answer = self._aws.call(
            "kms",
            "decrypt",
            region=self._region,
            KeyId=self._key,
            CiphertextBlob=wrapped,
            EncryptionContext=self._context,
        )
        return bytes(answer["Plaintext"])
