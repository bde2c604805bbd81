"""Keys beside ssh-keygen, and what is no key."""

from __future__ import annotations

import base64

import pytest
from ssh_world import FIDO, PLAIN, ssh_keygen

from ostiary.errors import OstiaryError
from ostiary.pki import signer, ssh_key
from ostiary.pki.ssh_key import PublicKey
from ostiary.pki.ssh_wire import Reader, mpint, string


@pytest.mark.parametrize("kind", [*PLAIN, *FIDO])
def test_bits_and_fingerprint_are_those_of_ssh_keygen(keys, tmp_path, kind):
    key = keys.public(kind)
    file = tmp_path / "key.pub"
    file.write_text(key.text("a comment of mine") + "\n")
    bits, fingerprint, *comment = ssh_keygen("-l", "-f", file).stdout.split()
    assert (int(bits), fingerprint) == (key.bits, key.fingerprint)
    assert comment[:-1] == ["a", "comment", "of", "mine"]
    assert ssh_key.parse(file.read_text()) == ssh_key.parse(key.blob) == key
    assert key.is_sk == (kind in FIDO)
    assert key.application == ("ssh:" if key.is_sk else "")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
def test_private_keys_of_ssh_keygen_are_read_in_every_form(tmp_path, kind, form):
    file = tmp_path / "key"
    quick = ("-a", 1, *(("-b", "1024") if kind == "rsa" else ()))
    ssh_keygen("-q", "-t", kind, *quick, "-m", form, "-N", "five words long", "-f", file)
    public = ssh_key.parse((tmp_path / "key.pub").read_text())
    asked = []

    def passphrase():
        asked.append(1)
        return b"five words long"

    assert signer.load(file, passphrase).public_key == public
    assert signer.load(file, b"five words long").public_key == public
    assert asked == [1]
    for wrong in (None, b"", b"other"):
        with pytest.raises(OstiaryError) as refused:
            signer.load(file, wrong)
        assert refused.value.code == "incorrect passphrase supplied to decrypt private key"
    ssh_keygen("-q", "-p", "-a", 1, "-P", "five words long", "-N", "", "-m", form, "-f", file)
    assert signer.load(file, passphrase).public_key == public
    assert asked == [1]


def test_what_is_no_private_key_is_refused(tmp_path):
    missing = tmp_path / "none"
    with pytest.raises(OstiaryError) as refused:
        signer.load(missing)
    assert refused.value.code == "No such file or directory"
    missing.write_text("hello\n")
    with pytest.raises(OstiaryError) as refused:
        signer.load(missing)
    assert refused.value.code == "invalid format"


def _rsa(exponent: int, modulus: int) -> bytes:
    return string(b"ssh-rsa") + mpint(exponent) + mpint(modulus)


P256 = string(b"ecdsa-sha2-nistp256")
ODD = (1 << 2047) + 1
BAD = {
    "DSA": string(b"ssh-dss") + string(b"\1") * 4,
    "unknown": string(b"ssh-new"),
    "empty": b"",
    "short Ed25519": string(b"ssh-ed25519") + string(b"x" * 31),
    "long Ed25519": string(b"ssh-ed25519") + string(b"x" * 33),
    "trailing": string(b"ssh-ed25519") + string(b"x" * 32) + b"\0",
    "RSA of 1023 bits": _rsa(65537, (1 << 1022) + 1),
    "RSA of 16385 bits": _rsa(65537, (1 << 16384) + 1),
    "RSA, even exponent": _rsa(65536, ODD),
    "RSA, exponent 1": _rsa(1, ODD),
    "RSA, huge exponent": _rsa((1 << 65) + 1, ODD),
    "RSA, negative modulus": string(b"ssh-rsa") + mpint(3) + string(b"\x80" + b"\1" * 255),
    "RSA, padded modulus": string(b"ssh-rsa") + mpint(3) + string(b"\0\0" + b"\x81" * 256),
    "RSA, no exponent": string(b"ssh-rsa") + string(b"") + mpint(ODD),
    "off the curve": P256 + string(b"nistp256") + string(b"\4" + b"\1" * 64),
    "at infinity": P256 + string(b"nistp256") + string(b"\0"),
    "compressed": P256 + string(b"nistp256") + string(b"\2" + b"\1" * 32),
    "other curve": P256 + string(b"nistp384") + string(b"\4" + b"\1" * 96),
    "curve in capitals": P256 + string(b"NISTP256") + string(b"\4" + b"\1" * 64),
    "NUL in application": string(FIDO[0].encode()) + string(b"x" * 32) + string(b"ssh:\0"),
    "huge length": b"\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_key_is_refused(name):
    with pytest.raises(OstiaryError) as refused:
        ssh_key.parse(BAD[name])
    assert refused.value.code


def test_lines_are_read_strictly(keys):
    key = keys.public("ssh-ed25519")
    line = key.text()
    assert ssh_key.parse(line + "  many words \r\n") == key
    assert ssh_key.parse("\t" + line.replace(" ", " \t")) == key
    base64_text = base64.b64encode(key.blob).decode()
    for bad in (
        "",
        "ssh-ed25519",
        f"no-pty {line}",
        f"{line}\n{line}",
        f"ecdsa-sha2-nistp256 {base64_text}",
        f"ssh-ed25519 {base64_text[:-1]}",
        f"ssh-ed25519 {base64_text}=",
        f"ssh-ed25519 {base64_text}!",
        line.replace("AAAA", "AAA\N{FULLWIDTH LATIN CAPITAL LETTER A}", 1),
    ):
        with pytest.raises(OstiaryError):
            ssh_key.parse(bad)


def test_numbers_are_written_as_rfc_4251_shows_them():
    shown = {0: "00000000", 0x9A378F9B2E332A7: "0000000809a378f9b2e332a7", 0x80: "000000020080"}
    for number, text in shown.items():
        assert mpint(number).hex() == text
        if number:
            assert Reader(mpint(number)).mpint() == number


def test_kinds_that_ssh_does_not_know_have_no_form():
    from cryptography.hazmat.primitives.asymmetric import ec, ed448  # noqa: PLC0415 - here alone

    for other in (ed448.Ed448PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())):
        with pytest.raises(OstiaryError):
            ssh_key.of(other.public_key())


def test_keys_are_values(keys):
    key = keys.public("ssh-rsa")
    assert PublicKey(key.type, key.body) == key
    assert len({key, ssh_key.parse(key.blob)}) == 1
