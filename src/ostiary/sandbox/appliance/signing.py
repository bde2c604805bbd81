"""The ``.cert`` of an OVA: the signature of its manifest and the certificate that made it. Source: DMTF DSP0243, 5.1.

The key is made from a name, so that an appliance has the same bytes every time: everybody can make it, it proves
nothing, and an appliance for tests needs no more.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ostiary.sandbox.appliance.guest import MADE

_SIGNER = "Acme appliance signing"
_EXPONENT = 65537
_PRIME_BYTES = 128  # two of them make a modulus of 2048 bits
_SMALL_PRIMES = tuple(n for n in range(3, 2000, 2) if all(n % d for d in range(3, n, 2)))
_ROUNDS = 8  # Miller-Rabin on candidates that nobody chose: an error is rarer than a broken disk
_YEAR = timedelta(days=365)


def signed_manifest(name: str, manifest: bytes, *, expired: bool = False) -> bytes:
    """Valid for thirty years from the time of every appliance, or ``expired`` a year before it."""
    key = _key(_SIGNER)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _SIGNER)])
    made = datetime.fromtimestamp(MADE, UTC)
    begin, end = (made - 2 * _YEAR, made - _YEAR) if expired else (made, made + 30 * _YEAR)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(_SIGNER.encode()).digest()[:16]) | 1)
        .not_valid_before(begin)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    signature = key.sign(manifest, padding.PKCS1v15(), hashes.SHA256())
    line = f"SHA256({name})= {signature.hex()}\n".encode()
    return line + certificate.public_bytes(Encoding.PEM)


@functools.cache
def _key(name: str) -> rsa.RSAPrivateKey:
    p, q = _prime(f"{name}/p"), _prime(f"{name}/q")
    d = pow(_EXPONENT, -1, math.lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


def _prime(seed: str) -> int:
    """The first prime from where the seed points to, with its two highest bits set."""
    high = 0b11 << (_PRIME_BYTES * 8 - 2)
    start = int.from_bytes(hashlib.shake_256(seed.encode()).digest(_PRIME_BYTES)) | high | 1
    return next(n for n in itertools.count(start, 2) if _is_prime(n) and (n - 1) % _EXPONENT)


def _is_prime(number: int) -> bool:
    """Miller and Rabin, 1980, for odd numbers far above ``_SMALL_PRIMES``."""
    if not all(number % small for small in _SMALL_PRIMES):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_may_be_prime(number, base, odd, twos) for base in _SMALL_PRIMES[:_ROUNDS])


def _may_be_prime(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
