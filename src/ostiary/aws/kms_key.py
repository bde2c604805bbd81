"""Private keys that stay in AWS KMS, as the key classes of ``cryptography``: what signs with those, signs with KMS.

Sources: AWS KMS API Reference, "GetPublicKey"; AWS KMS Developer Guide, "Asymmetric key specs". Every signature is verified
against the public key before it is given out. Errors are of our tree.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ostiary.aws.kms_sign import MOST_RAW, KeyPlace, hash_name, in_reach
from ostiary.aws.session import Aws
from ostiary.errors import NotFound, OstiaryError, UsageError

ED25519 = "ED25519_SHA_512"
_CURVES = {"secp256r1": "ECDSA_SHA_256", "secp384r1": "ECDSA_SHA_384", "secp521r1": "ECDSA_SHA_512"}

KmsKey: TypeAlias = "KmsEcKey | KmsRsaKey | KmsEd25519Key"
_Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


def open_key(
    aws: Aws,
    key_id: str,
    *,
    account: str | None = None,
    region: str | None = None,
    within: float | None = None,
) -> KmsKey:
    """The private key that KMS keeps under an id, ARN or alias; one call. Raises OstiaryError when it signs nothing.

    ``within`` seconds this call, and each signature later, is given up.
    """
    answer = aws.call(
        "kms", "get_public_key", account=account, region=region, within=within, KeyId=key_id
    )
    if answer.get("KeyUsage") != "SIGN_VERIFY":
        raise UsageError(
            f"cannot sign with the KMS key {key_id}",
            why=f"its usage is {answer.get('KeyUsage')}, not SIGN_VERIFY",
            fix="aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_P256",
        )
    algorithms = frozenset(answer["SigningAlgorithms"])
    place = KeyPlace(aws, answer["KeyId"], account, region, algorithms, within)
    public = _public_key(key_id, bytes(answer["PublicKey"]))
    if isinstance(public, ec.EllipticCurvePublicKey):
        return KmsEcKey(place, public)
    if isinstance(public, rsa.RSAPublicKey):
        return KmsRsaKey(place, public)
    return KmsEd25519Key(place, public)


def _public_key(key_id: str, der: bytes) -> _Public:
    try:
        public = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        why = f"its public key cannot be read: {error}"
        raise NotFound(f"cannot use the KMS key {key_id}", why=why) from error
    known = isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES
    if not known and not isinstance(public, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise UsageError(
            f"cannot sign with the KMS key {key_id}",
            why="its kind is none that SSH and X.509 both know",
            fix="aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_P256",
        )
    return public  # type: ignore[return-value] # the two tests above leave these kinds


class _InKms:
    """What every key in KMS cannot do: leave it."""

    _place: KeyPlace

    @property
    def arn(self) -> str:
        return self._place.arn

    def private_numbers(self) -> NoReturn:
        raise self._stays()

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        raise self._stays()

    def private_bytes_raw(self) -> NoReturn:
        raise self._stays()

    def exchange(self, *_: object) -> NoReturn:
        raise self._stays()

    def decrypt(self, *_: object) -> NoReturn:
        raise self._stays()

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self

    def _stays(self) -> OstiaryError:
        return self._place.refused("the private key never leaves KMS; it only signs")


class KmsEcKey(_InKms, ec.EllipticCurvePrivateKey):
    """P-256, P-384 or P-521; signs with the hash that KMS has for its curve."""

    def __init__(self, place: KeyPlace, public: ec.EllipticCurvePublicKey) -> None:
        self._place = place
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """DER, as ``cryptography`` gives it."""
        message = bytes(data)
        hashed = signature_algorithm.algorithm
        algorithm = _CURVES[self._public.curve.name]
        if hash_name(hashed) != algorithm.removeprefix("ECDSA_"):
            raise self._place.refused(f"KMS signs with {algorithm} only, not {hash_name(hashed)}")
        signature = self._place.sign(*in_reach(message, hashed), algorithm)
        try:
            self._public.verify(signature, message, signature_algorithm)
        except InvalidSignature as error:
            raise self._place.forged() from error
        return signature


class KmsRsaKey(_InKms, rsa.RSAPrivateKey):
    """RSA with PKCS #1 v1.5, or PSS whose salt is as long as the digest."""

    def __init__(self, place: KeyPlace, public: rsa.RSAPublicKey) -> None:
        self._place = place
        self._public = public

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(
        self,
        data: Any,
        padding: padding.AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | NoDigestInfo,
    ) -> bytes:
        message = bytes(data)
        if isinstance(algorithm, NoDigestInfo):
            raise self._place.refused("KMS signs digests with their names only")
        name = f"{self._scheme(padding)}_{hash_name(algorithm)}"
        signature = self._place.sign(*in_reach(message, algorithm), name)
        try:
            self._public.verify(signature, message, padding, algorithm)
        except InvalidSignature as error:
            raise self._place.forged() from error
        return signature

    def _scheme(self, chosen: padding.AsymmetricPadding) -> str:
        if isinstance(chosen, padding.PSS):
            return "RSASSA_PSS"
        if isinstance(chosen, padding.PKCS1v15):
            return "RSASSA_PKCS1_V1_5"
        raise self._place.refused(f"KMS has no signatures with {chosen.name}")


class KmsEd25519Key(_InKms, ed25519.Ed25519PrivateKey):
    """Ed25519, where KMS has it. It is never chosen here: ``open_key`` finds what kind a key is."""

    def __init__(self, place: KeyPlace, public: ed25519.Ed25519PublicKey) -> None:
        self._place = place
        self._public = public

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._public

    def sign(self, data: Any) -> bytes:
        message = bytes(data)
        if len(message) > MOST_RAW:
            raise self._place.refused(f"Ed25519 in KMS signs at most {MOST_RAW} bytes")
        signature = self._place.sign(message, "RAW", ED25519)
        try:
            self._public.verify(signature, message)
        except InvalidSignature as error:
            raise self._place.forged() from error
        return signature
