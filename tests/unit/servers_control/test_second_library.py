from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.control import second_library
from ostiary.errors import OstiaryError
from ostiary.pki import ssh_signature
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_wire import string

DATA = b"what was signed" * 40
ORDER = 2**252 + 27742317777372353535851937790883648493  # RFC 8032, 5.1: L


def signers():
    return [
        LocalSigner(Ed25519PrivateKey.generate()),
        LocalSigner(ec.generate_private_key(ec.SECP256R1())),
    ]


def refusal(verify, *what):
    try:
        verify(*what)
    except OstiaryError as error:
        return str(error), error.code
    return None


@pytest.mark.parametrize("signer", signers(), ids=lambda one: one.algorithm)
def test_both_libraries_say_the_same_of_every_signature(signer):
    good = signer.sign(DATA)
    bits = [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in range(len(good))]
    others = [signer.sign(DATA + b"x"), signer.sign(b""), *(one.sign(DATA) for one in signers())]
    forms = [
        b"",
        good[:-1],
        good + b"\0",
        string(b"none") + string(b""),
        string(b"ssh-ed25519") + string(b""),
    ]
    for signature in (*bits, *others, *forms):
        what = signer.public_key, signature, DATA
        said = refusal(second_library.verify, *what)
        assert said == refusal(ssh_signature.verify, *what)
        assert said is not None
    assert refusal(second_library.verify, signer.public_key, good, DATA) is None


def test_the_other_of_two_forms_of_one_signature_is_refused():
    """RFC 8032, 5.1.7: S must be below L, else S + L were good too."""
    signer, _ = signers()
    good = signer.sign(DATA)
    other = good[:-32] + (int.from_bytes(good[-32:], "little") + ORDER).to_bytes(32, "little")
    assert refusal(second_library.verify, signer.public_key, other, DATA)


def test_what_signed_ed25519_is_not_asked_whether_it_did_so_well(monkeypatch):
    signer, _ = signers()
    good = signer.sign(DATA)
    monkeypatch.setattr(ssh_signature, "_check", lambda *_: None)
    second_library.verify(signer.public_key, good, DATA)
    with pytest.raises(OstiaryError, match="signature is not of the key"):
        second_library.verify(signer.public_key, good, DATA + b"x")
