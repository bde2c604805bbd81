"""The composite of ML-DSA-44 and Ed25519: a certificate that OpenSSH 10.5 made, and keys as subjects of ours."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ostiary.errors import OstiaryError
from ostiary.pki import signer as signers
from ostiary.pki import ssh_certificate, ssh_composite, ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_composite_private import CompositePrivateKey
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import string, u32

VECTOR = (Path(__file__).parent / "mldsa44-ed25519-cert.pub").read_text()
LABEL = b"COMPSIG-MLDSA44-Ed25519-SHA512"
HALF = 2420  # bytes of the first signature


class Composite:
    """Satisfies ``Signer`` by the draft's own words, with a half that may be left out."""

    algorithm = ssh_composite.TYPE

    def __init__(self):
        self.mldsa, self.ed25519 = MLDSA44PrivateKey.generate(), Ed25519PrivateKey.generate()
        halves = (one.public_key().public_bytes_raw() for one in (self.mldsa, self.ed25519))
        self.public_key = PublicKey(ssh_composite.TYPE, string(b"".join(halves)))

    def sign(self, data):
        signed = b"CompositeAlgorithmSignatures2025" + LABEL + b"\0" + hashlib.sha512(data).digest()
        value = self.mldsa.sign(signed, LABEL) + self.ed25519.sign(signed)
        return string(self.algorithm.encode()) + string(value)


def test_a_certificate_of_openssh_is_read_and_verified():
    made = ssh_certificate.parse(VECTOR)
    ssh_certificate.verify(made)
    assert made.type == "ssh-mldsa44-ed25519-cert-v01@openssh.com"
    assert made.key.type == made.authority.type == ssh_composite.TYPE
    assert (made.key_id, made.principals, made.serial) == ("vector", ("ada",), 7)
    assert ssh_certificate.to_text(made, "subject") == VECTOR.strip()


def test_no_changed_byte_passes():
    made = ssh_certificate.parse(VECTOR)
    signature = made.signature
    changed = [replace(made, serial=8), replace(made, principals=("root",))]
    for at in (len(signature) - 1, len(signature) - 64, 50, 50 + HALF // 2):
        flipped = signature[:at] + bytes((signature[at] ^ 1,)) + signature[at + 1 :]
        changed.append(replace(made, signature=flipped))
    changed.append(replace(made, signature=signature[:-1]))
    for one in changed:
        with pytest.raises(OstiaryError):
            ssh_certificate.verify(one)


def test_it_is_certified_and_signs():
    composite = Composite()
    local = LocalSigner(Ed25519PrivateKey.generate())
    for subject, signer in ((composite.public_key, local), (local.public_key, composite)):
        made = ssh_certificate.sign(Certificate(subject, "id", ("ada",)), signer)
        again = ssh_certificate.parse(ssh_certificate.to_text(made))
        ssh_certificate.verify(again)
        assert again == made
    assert ssh_key.parse(composite.public_key.text()) == composite.public_key
    assert composite.public_key.bits == 256


def test_one_good_half_is_not_enough():
    first, second = Composite(), Composite()
    first.ed25519 = second.ed25519
    with pytest.raises(OstiaryError, match="not of the key"):
        ssh_certificate.sign(Certificate(second.public_key, "id", ("ada",)), first)
    third = Composite()
    third.mldsa = second.mldsa
    with pytest.raises(OstiaryError, match="not of the key"):
        ssh_certificate.sign(Certificate(second.public_key, "id", ("ada",)), third)


@pytest.mark.parametrize("size", [0, 32, 1312, 1343, 1345])
def test_bytes_of_another_size_are_no_key(size):
    blob = string(ssh_composite.TYPE.encode()) + string(b"x" * size)
    with pytest.raises(OstiaryError, match="make no key"):
        ssh_key.parse(blob)


def file_of(seeds, passphrase=b"", *, cipher="aes256-ctr", public=None):
    """A private key file as OpenSSH writes it (PROTOCOL.key)."""
    public = public or CompositePrivateKey(seeds).public_key().raw
    held = u32(7) + u32(7) + string(ssh_composite.TYPE.encode()) + string(public) + string(seeds)
    held += string(b"comment")
    held += bytes(range(1, 1 + -len(held) % 16))
    names, options = (b"none", b"none"), b""
    if passphrase:
        names, options = (cipher.encode(), b"bcrypt"), string(b"s" * 16) + u32(4)
        derived = bcrypt.kdf(passphrase, b"s" * 16, 48, 4, ignore_few_rounds=True)
        locked = Cipher(algorithms.AES(derived[:32]), modes.CTR(derived[32:])).encryptor()
        held = locked.update(held) + locked.finalize()
    blob = string(ssh_composite.TYPE.encode()) + string(public)
    body = b"openssh-key-v1\0" + string(names[0]) + string(names[1]) + string(options)
    body += u32(1) + string(blob) + string(held)
    text = base64.encodebytes(body).decode()
    return (
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n".encode()
    )


SEEDS = bytes(range(64))


@pytest.mark.parametrize("passphrase", [b"", b"secret"])
def test_its_private_key_files_are_read_and_sign(tmp_path, passphrase):
    place = tmp_path / "ca"
    place.write_bytes(file_of(SEEDS, passphrase))
    signer = signers.load(place, passphrase)
    made = ssh_certificate.sign(Certificate(signer.public_key, "id", ("ada",)), signer)
    ssh_certificate.verify(made)
    assert made.authority.type == ssh_composite.TYPE


def test_files_that_open_to_nothing_are_refused(tmp_path):
    other = CompositePrivateKey(SEEDS[::-1]).public_key().raw
    for data, passphrase, code in (
        (
            file_of(SEEDS, b"secret"),
            b"other",
            "incorrect passphrase supplied to decrypt private key",
        ),
        (file_of(SEEDS, b"secret"), b"", "incorrect passphrase supplied to decrypt private key"),
        (file_of(SEEDS, b"x", cipher="3des"), b"x", "key encrypted using unsupported cipher"),
        (file_of(SEEDS, public=other), b"", "invalid format"),
        (
            file_of(SEEDS)[:-120] + b"\n-----END OPENSSH PRIVATE KEY-----\n",
            b"",
            "incomplete message",
        ),
    ):
        place = tmp_path / "ca"
        place.write_bytes(data)
        with pytest.raises(OstiaryError) as refused:
            signers.load(place, passphrase)
        assert refused.value.code == code, data
