"""Laws of the certificate encoder, over generated certificates and broken bytes."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_certificate, ssh_key, ssh_option
from ostiary.pki.signer import LocalSigner, private_key
from ostiary.pki.ssh_certificate import FOREVER, HOST, USER, Certificate


@cache
def authority() -> LocalSigner:
    return LocalSigner(ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32))


@cache
def subject() -> ssh_key.PublicKey:
    return ssh_key.of(ed25519.Ed25519PrivateKey.from_private_bytes(b"\2" * 32).public_key())


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
names = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=12)
numbers = st.integers(0, FOREVER)
options = st.dictionaries(names, st.binary(max_size=20), max_size=5).map(
    lambda found: ssh_option.ordered(found.items())
)


@st.composite
def certificates(draw):
    start = draw(st.integers(0, FOREVER - 1))
    return Certificate(
        key=subject(),
        key_id=draw(texts),
        principals=tuple(draw(st.lists(texts.filter(bool), max_size=5))),
        kind=draw(st.sampled_from([USER, HOST])),
        serial=draw(numbers),
        valid_after=start,
        valid_before=draw(st.integers(start + 1, FOREVER)),
        critical_options=draw(options),
        extensions=draw(options),
        nonce=draw(st.binary(min_size=1, max_size=40)),
        reserved=draw(st.binary(max_size=5)),
    )


@given(certificates())
def test_what_was_written_is_what_is_read(unsigned):
    signed = ssh_certificate.sign(unsigned, authority())
    again = ssh_certificate.parse(ssh_certificate.encode(signed))
    assert again == signed
    assert ssh_certificate.encode(again) == ssh_certificate.encode(signed)
    assert replace(again, authority=None, signature=b"") == unsigned
    ssh_certificate.verify(again)


@given(certificates(), certificates())
def test_different_certificates_have_different_bytes(first, second):
    made = [
        ssh_certificate.to_be_signed(ssh_certificate.prepare(one, subject()))
        for one in (first, second)
    ]
    assert (made[0] == made[1]) == (first == second)


@given(certificates(), st.data())
def test_broken_bytes_are_refused_or_read_and_written_back_the_same(unsigned, data):
    blob = bytearray(ssh_certificate.encode(ssh_certificate.sign(unsigned, authority())))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(OstiaryError):
        assert ssh_certificate.encode(ssh_certificate.parse(bytes(blob))) == bytes(blob)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\0\0\0\x20ssh-ed25519-cert-v01@openssh.com")
@settings(max_examples=300)
def test_any_bytes_are_answered_with_an_error_of_ours(blob):
    for read in (ssh_certificate.parse, ssh_key.parse):
        with contextlib.suppress(OstiaryError):
            read(blob)


@given(st.text(max_size=100))
def test_any_text_is_answered_with_an_error_of_ours(text):
    for read in (ssh_certificate.parse, ssh_key.parse):
        with contextlib.suppress(OstiaryError):
            read(text)


@given(st.binary(max_size=64))
def test_any_private_key_file_is_answered_with_an_error_of_ours(body):
    good = ed25519.Ed25519PrivateKey.from_private_bytes(b"\3" * 32).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    for data in (body, good[: len(body) * 6] + body + good[len(body) * 6 :]):
        with contextlib.suppress(OstiaryError):
            private_key(data, b"x", Path("key"))
