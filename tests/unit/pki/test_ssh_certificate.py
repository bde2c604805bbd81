"""Certificates beside those of ssh-keygen: the same bytes, and each reads what the other wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ssh_world import FIDO, PLAIN, Authenticator, ssh_keygen

from ostiary.errors import OstiaryError
from ostiary.pki import ssh_certificate, ssh_key, ssh_option
from ostiary.pki.ssh_certificate import FOREVER, HOST, USER, Certificate
from ostiary.pki.ssh_option import flag, valued
from ostiary.pki.ssh_wire import string, u32

SIGNERS = [(kind, None) for kind in PLAIN] + [("ssh-rsa", "rsa-sha2-256")]
EVERY_OPTION = (
    ("-O", "clear"),
    ("-O", "permit-X11-forwarding"),
    ("-O", "no-touch-required"),
    ("-O", "force-command=/bin/echo a,b"),
    ("-O", "source-address=10.0.0.0/8,2001:db8::/32"),
    ("-O", "verify-required"),
    ("-O", "critical:zone@example.com=blue"),
    ("-O", 'extension:device@example.com={"id":7}'),
    ("-O", "extension:a-flag@example.com"),
)
EVERY_CRITICAL = (
    valued("source-address", "10.0.0.0/8,2001:db8::/32"),
    flag("verify-required"),
    valued("zone@example.com", "blue"),
    valued("force-command", "/bin/echo a,b"),
)
EVERY_EXTENSION = (
    flag("no-touch-required"),
    flag("permit-X11-forwarding"),
    valued("device@example.com", '{"id":7}'),
    flag("a-flag@example.com"),
)
PERMITS = tuple(map(flag, ssh_option.PERMITS))


@pytest.fixture
def signed_by_ssh_keygen(keys, tmp_path):
    """``(subject, authority, *options)`` -> the text that ssh-keygen -s writes."""

    def sign(subject, authority, *options):
        public = tmp_path / "subject.pub"
        public.write_text(subject.text("comment of mine") + "\n")
        ssh_keygen("-q", "-s", keys.file(authority), "-I", "an id", *options, public)
        return (tmp_path / "subject-cert.pub").read_text()

    return sign


@pytest.mark.parametrize("subject", [*PLAIN, *FIDO])
@pytest.mark.parametrize(("authority", "algorithm"), SIGNERS)
def test_same_bytes_as_ssh_keygen(keys, signed_by_ssh_keygen, subject, authority, algorithm):
    named = ("-t", algorithm) if algorithm else ()
    theirs = signed_by_ssh_keygen(
        keys.public(subject),
        authority,
        "-n",
        "alice,bob@web1",
        "-V",
        "0x10:0xff",
        "-z",
        "7",
        *named,
    )
    parsed = ssh_certificate.parse(theirs)
    ssh_certificate.verify(parsed)
    signer = keys.signer(authority, algorithm)
    ours = ssh_certificate.sign(
        Certificate(
            keys.public(subject),
            "an id",
            ("alice", "bob@web1"),
            serial=7,
            valid_after=0x10,
            valid_before=0xFF,
            extensions=PERMITS,
            nonce=parsed.nonce,
        ),
        signer,
    )
    assert ssh_certificate.to_be_signed(ours) == ssh_certificate.to_be_signed(parsed)
    assert ssh_certificate.parse(ssh_certificate.to_text(ours)) == ours
    if authority.startswith("ecdsa"):  # each signature is another one
        assert replace(parsed, signature=ours.signature) == ours
    else:
        assert ssh_certificate.to_text(ours, "comment of mine") + "\n" == theirs


OPTION_SETS = {
    "none": ((), Certificate(None, extensions=PERMITS)),
    "clear": (("-O", "clear"), Certificate(None)),
    "every": (
        sum(EVERY_OPTION, ()),
        Certificate(None, critical_options=EVERY_CRITICAL, extensions=EVERY_EXTENSION),
    ),
    "host": (("-h",), Certificate(None, kind=HOST)),
    "host with options": (
        ("-h", "-O", "force-command=x", "-O", "permit-pty"),
        Certificate(
            None,
            kind=HOST,
            critical_options=(valued("force-command", "x"),),
            extensions=(flag("permit-pty"),),
        ),
    ),
    "serial": (("-z", str(FOREVER)), Certificate(None, serial=FOREVER, extensions=PERMITS)),
    "start only": (
        ("-V", "20260101000000Z:forever"),
        Certificate(None, valid_after=1767225600, extensions=PERMITS),
    ),
    "end only": (
        ("-V", "always:20260101000000Z"),
        Certificate(None, valid_before=1767225600, extensions=PERMITS),
    ),
    "words": (
        ("-n", "ünï,Ω @,*"),
        Certificate(None, principals=("ünï", "Ω @", "*"), extensions=PERMITS),
    ),
}


@pytest.mark.parametrize("name", OPTION_SETS)
def test_every_option_as_ssh_keygen_writes_and_prints_it(
    keys, signed_by_ssh_keygen, tmp_path, name
):
    flags, unsigned = OPTION_SETS[name]
    subject = keys.public("ssh-ed25519")
    theirs = signed_by_ssh_keygen(subject, "ssh-rsa", *flags)
    parsed = ssh_certificate.parse(theirs)
    ours = ssh_certificate.sign(
        replace(unsigned, key=subject, key_id="an id", nonce=parsed.nonce), keys.signer("ssh-rsa")
    )
    assert ours == parsed
    file = tmp_path / "shown-cert.pub"
    printed = []
    for text in (theirs, ssh_certificate.to_text(ours)):
        file.write_text(text)
        printed.append(ssh_keygen("-L", "-f", file).stdout)
    assert printed[0] == printed[1]


@pytest.mark.parametrize("authority", FIDO)
@pytest.mark.parametrize("subject", ["ssh-ed25519", *FIDO])
def test_ssh_keygen_verifies_what_a_fido_authority_signed(keys, tmp_path, authority, subject):
    made = ssh_certificate.sign(
        Certificate(keys.public(subject), "id", ("a",)), keys.authenticator(authority)
    )
    file = tmp_path / "x-cert.pub"
    file.write_text(ssh_certificate.to_text(made))
    shown = ssh_keygen("-L", "-f", file).stdout
    assert f"(using {authority})" in shown
    assert f"Type: {ssh_key.CERTIFICATE_TYPES[subject]} user certificate" in shown
    assert ssh_certificate.parse(file.read_text()) == made


def test_a_fido_signature_of_another_application_is_refused():
    authority, other = Authenticator(FIDO[0]), Authenticator(FIDO[0], "ssh:other")
    other.key = authority.key
    unsigned = ssh_certificate.prepare(
        Certificate(authority.public_key, "id"), authority.public_key
    )
    signature = other.sign(ssh_certificate.to_be_signed(unsigned))
    with pytest.raises(OstiaryError, match="signature is not of the key"):
        ssh_certificate.verify(replace(unsigned, signature=signature))


@pytest.mark.parametrize("authority", PLAIN)
def test_no_certificate_leaves_unverified(keys, authority):
    """A signer that signs something else, or with another key, gives no certificate."""

    class Wrong:
        algorithm = keys.signer(authority).algorithm
        public_key = keys.public(authority)

        def __init__(self, sign):
            self.sign = sign

    good = keys.signer(authority).sign
    unsigned = Certificate(keys.public("ssh-ed25519"), "id", ("a",))
    assert ssh_certificate.sign(unsigned, Wrong(good))
    for broken in (
        lambda data: good(data + b"x"),
        lambda data: good(data)[:-1],
        lambda data: good(data) + b"\0",
        lambda data: string(b"none") + string(b""),
        lambda data: b"",
        lambda data: Authenticator(FIDO[0]).sign(data),
    ):
        with pytest.raises(OstiaryError):
            ssh_certificate.sign(unsigned, Wrong(broken))


def test_sha1_of_an_rsa_authority_is_refused(keys):
    signer = keys.signer("ssh-rsa")
    unsigned = ssh_certificate.prepare(
        Certificate(keys.public("ssh-ed25519"), "id"), signer.public_key
    )
    signature = signer.sign(ssh_certificate.to_be_signed(unsigned))
    renamed = string(b"ssh-rsa") + signature[4 + len("rsa-sha2-512") :]
    with pytest.raises(OstiaryError) as refused:
        ssh_certificate.verify(replace(unsigned, signature=renamed))
    assert refused.value.code == "signature algorithm not supported"
    with pytest.raises(OstiaryError, match="cannot sign with ssh-rsa"):
        keys.signer("ssh-rsa", "ssh-rsa")


def test_a_certificate_is_neither_authority_nor_subject(keys):
    one = ssh_certificate.sign(
        Certificate(keys.public("ssh-ed25519"), "id", ("a",)), keys.signer("ssh-ed25519")
    )
    blob = ssh_certificate.encode(one)
    with pytest.raises(OstiaryError) as refused:
        ssh_key.parse(blob)
    assert refused.value.code == "invalid certificate signing key"
    tail = string(one.authority.blob) + string(one.signature)
    nested = blob[: -len(tail)] + string(blob) + string(one.signature)
    with pytest.raises(OstiaryError) as refused:
        ssh_certificate.parse(nested)
    assert refused.value.code == "invalid certificate signing key"


BAD = {
    "kind": replace(Certificate(None), kind=3),
    "serial": Certificate(None, serial=FOREVER + 1),
    "negative": Certificate(None, valid_after=-1),
    "empty interval": Certificate(None, valid_after=5, valid_before=5),
    "257 principals": Certificate(None, principals=("a",) * 257),
    "empty principal": Certificate(None, principals=("a", "")),
    "NUL in a principal": Certificate(None, principals=("a\0",)),
    "NUL in the id": Certificate(None, key_id="a\0b"),
    "NUL in a name": Certificate(None, extensions=(flag("a\0"),)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_certificate_can_say_is_refused_before_signing(keys, name):
    class Never:
        algorithm, public_key = "ssh-ed25519", keys.public("ssh-ed25519")

        def sign(self, data):
            raise AssertionError

    with pytest.raises(OstiaryError, match="cannot make"):
        ssh_certificate.sign(replace(BAD[name], key=keys.public("ssh-ed25519")), Never())


def test_256_principals_are_read_and_257_are_not(keys):
    unsigned = Certificate(keys.public("ssh-ed25519"), "id", ("a",) * 256)
    one = ssh_certificate.sign(unsigned, keys.signer("ssh-ed25519"))
    assert ssh_certificate.parse(ssh_certificate.encode(one)) == one
    more = ssh_certificate.encode(replace(one, principals=("a",) * 257))
    with pytest.raises(OstiaryError, match="more than 256"):
        ssh_certificate.parse(more)


@pytest.mark.parametrize(
    "options", [(flag("b"), flag("a")), (flag("a"), flag("a")), (valued("a", "1"), flag("a"))]
)
def test_options_out_of_order_are_read_only_leniently(keys, options):
    unsigned = Certificate(keys.public("ssh-ed25519"), "id", extensions=options)
    one = ssh_certificate.sign(unsigned, keys.signer("ssh-ed25519"))
    blob = ssh_certificate.encode(replace(one, extensions=options))
    with pytest.raises(OstiaryError, match="not in order"):
        ssh_certificate.parse(blob)
    assert ssh_certificate.parse(blob, lenient=True).extensions == options


def test_what_follows_or_lacks_is_refused(keys):
    unsigned = Certificate(keys.public("ecdsa-sha2-nistp256"), "id", ("a",), extensions=PERMITS)
    one = ssh_certificate.sign(unsigned, keys.signer("ssh-ed25519"))
    blob = ssh_certificate.encode(one)
    with pytest.raises(OstiaryError) as refused:
        ssh_certificate.parse(blob + b"\0")
    assert refused.value.code == "unexpected bytes remain after decoding"
    for size in range(len(blob)):
        with pytest.raises(OstiaryError):
            ssh_certificate.parse(blob[:size])


def test_every_tampered_byte_is_noticed(keys):
    one = ssh_certificate.sign(
        Certificate(keys.public("ssh-ed25519"), "id", ("a",), USER, 9, extensions=PERMITS),
        keys.signer("ssh-ed25519"),
    )
    blob = ssh_certificate.encode(one)
    for at in range(len(blob)):
        broken = blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]
        with pytest.raises(OstiaryError):
            ssh_certificate.verify(ssh_certificate.parse(broken))


def test_a_reserved_field_and_unknown_options_survive(keys):
    unsigned = Certificate(
        keys.public("ssh-ed25519"),
        "id",
        ("a",),
        critical_options=(("x@y", u32(5) + b"raw"),),
        extensions=(("z", b"\0"),),
        reserved=b"later",
    )
    one = ssh_certificate.sign(unsigned, keys.signer("ssh-ed25519"))
    again = ssh_certificate.parse(ssh_certificate.to_text(one, "me"))
    assert again == one
    assert again.reserved == b"later"
