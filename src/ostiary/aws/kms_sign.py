"""One signature by AWS KMS: what it is sent, and what its answer must be.

Source: AWS KMS API Reference, "Sign". It takes 1 to 4,096 bytes as they are (RAW); of more, only the digest (DIGEST), for
which Ed25519 has no form. A DIGEST sent as RAW would be hashed again, and the signature would be of something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ostiary.aws.session import Aws
from ostiary.errors import OstiaryError

MOST_RAW = 4096  # bytes


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where the key is: its ARN, and the account and region to ask; ``within`` seconds a signature is given up."""

    aws: Aws
    arn: str
    account: str | None
    region: str | None
    algorithms: frozenset[str]
    within: float | None = None

    def sign(self, message: bytes, kind: str, algorithm: str) -> bytes:
        """KMS's signature, unverified. ``kind`` is RAW or DIGEST."""
        if algorithm not in self.algorithms:
            raise self.refused(f"it signs with {', '.join(sorted(self.algorithms))} only")
        answer = self.aws.call(
            "kms",
            "sign",
            account=self.account,
            region=self.region,
            repeatable=True,
            within=self.within,
            KeyId=self.arn,
            Message=message,
            MessageType=kind,
            SigningAlgorithm=algorithm,
        )
        if (answer["KeyId"], answer["SigningAlgorithm"]) != (self.arn, algorithm):
            raise self.refused(
                f"KMS answered for {answer['KeyId']} with {answer['SigningAlgorithm']}"
            )
        return bytes(answer["Signature"])

    def forged(self) -> OstiaryError:
        return self.refused("the signature that KMS gave is not of its public key")

    def refused(self, why: str) -> OstiaryError:
        return OstiaryError(
            f"cannot sign with the KMS key {self.arn}",
            why=why,
            fix=f"run: aws kms get-public-key --key-id {self.arn}",
        )


def in_reach(data: bytes, hashed: hashes.HashAlgorithm | Prehashed) -> tuple[bytes, str]:
    """What KMS is sent, and its MessageType."""
    if isinstance(hashed, Prehashed):
        return data, "DIGEST"
    if len(data) <= MOST_RAW and data:
        return data, "RAW"
    digest = hashes.Hash(hashed)
    digest.update(data)
    return digest.finalize(), "DIGEST"


def hash_name(hashed: hashes.HashAlgorithm | Prehashed) -> str:
    """``SHA_256``, as KMS writes it. Of a digest only its size is known."""
    if isinstance(hashed, Prehashed):
        return f"SHA_{hashed.digest_size * 8}"
    return hashed.name.upper().replace("SHA", "SHA_")
