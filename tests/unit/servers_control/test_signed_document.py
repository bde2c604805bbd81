"""A PKCS #7 signature as AWS gives it: ours and openssl's agree, and nothing that was changed passes."""

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as some

from ostiary.doors.servers.control.signed_document import NotSigned, signed_by
from ostiary.sandbox.aws.instance_identity import Instance, region_key

INSTANCE = Instance("210000000001", "eu-west-1", "i-0123456789abcdef0", 1_800_000_000)
DOCUMENT = INSTANCE.document()
KEY, OTHER = region_key("eu-west-1"), region_key("us-east-1")
SIGNATURE = KEY.sign(DOCUMENT)
CERTIFICATES = [OTHER.certificate, KEY.certificate]


def plain(*options, document=DOCUMENT, digest=None):
    """As cryptography makes it, in DER."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(document)
    signed = builder.add_signer(KEY.certificate, KEY.private, digest or hashes.SHA256())
    binary = pkcs7.PKCS7Options.Binary
    return base64.b64encode(signed.sign(serialization.Encoding.DER, [binary, *options])).decode()


def test_the_certificate_that_signed_is_named():
    assert signed_by(DOCUMENT, SIGNATURE, CERTIFICATES) == 1


def test_openssl_takes_the_sandboxs_signature(tmp_path):
    (tmp_path / "rsa2048").write_text(f"-----BEGIN PKCS7-----\n{SIGNATURE}\n-----END PKCS7-----\n")
    (tmp_path / "region.pem").write_bytes(KEY.pem())
    command = "openssl smime -verify -in rsa2048 -inform PEM -certfile region.pem -noverify"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == DOCUMENT


def test_one_that_openssl_made_is_taken(tmp_path):
    """In DER, with the signed attributes and certificates that openssl adds."""
    (tmp_path / "document").write_bytes(DOCUMENT)
    (tmp_path / "region.pem").write_bytes(KEY.pem())
    private = KEY.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "key.pem").write_bytes(private)
    command = "openssl smime -sign -binary -nodetach -md sha256 -signer region.pem -inkey key.pem"
    made = subprocess.run(
        [*command.split(), "-in", "document", "-outform", "DER"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    assert signed_by(DOCUMENT, base64.b64encode(made).decode(), CERTIFICATES) == 1


@pytest.mark.parametrize(
    "options",
    [
        (),
        (pkcs7.PKCS7Options.NoAttributes,),
        (pkcs7.PKCS7Options.DetachedSignature,),
        (pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoAttributes),
    ],
    ids=["plain", "no attributes", "detached", "detached, no attributes"],
)
def test_other_forms_are_taken_too(options):
    assert signed_by(DOCUMENT, plain(*options), CERTIFICATES) == 1


@pytest.mark.parametrize(
    ("document", "signature"),
    [
        (DOCUMENT.replace(b"210000000001", b"999999999999"), SIGNATURE),
        (
            DOCUMENT.replace(b"210000000001", b"999999999999"),
            plain(pkcs7.PKCS7Options.DetachedSignature),
        ),
        (DOCUMENT, OTHER.sign(DOCUMENT)),
        (DOCUMENT, plain(document=b"other")),
        (DOCUMENT, plain(digest=hashes.SHA512())),
        (DOCUMENT, ""),
        (DOCUMENT, "AAAA"),
        (DOCUMENT, "not base64!"),
        (DOCUMENT, SIGNATURE[:-80]),
        (DOCUMENT, SIGNATURE + "AAAA"),
        (DOCUMENT, base64.b64encode(b"\x30\x80" * 30).decode()),
        (DOCUMENT, base64.b64encode(b"\x30\x84\xff\xff\xff\xff").decode()),
    ],
    ids=[
        "document",
        "detached document",
        "signer",
        "content",
        "digest",
        "empty",
        "no BER",
        "no base64",
        "cut",
        "longer",
        "deep",
        "length",
    ],
)
def test_what_was_changed_is_refused(document, signature):
    trusted = [KEY.certificate]
    with pytest.raises(NotSigned):
        signed_by(document, signature, trusted)


def test_a_key_of_another_kind_signs_nothing():
    private = ec.generate_private_key(ec.SECP256R1())
    certificate = KEY.certificate
    builder = pkcs7.PKCS7SignatureBuilder().set_data(DOCUMENT)
    made = builder.add_signer(certificate, private, hashes.SHA256()).sign(
        serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary]
    )
    with pytest.raises(NotSigned):
        signed_by(DOCUMENT, base64.b64encode(made).decode(), CERTIFICATES)


@pytest.mark.chaos
@settings(max_examples=examples(60, 300), deadline=None)
@given(at=some.integers(0, 4000), to=some.integers(0, 255))
def test_any_changed_byte_is_refused_or_changes_nothing_that_counts(at, to):
    """A byte of the issuer's name or of the padding may change: the document that is taken is the one that was signed."""
    raw = bytearray(base64.b64decode("".join(SIGNATURE.split())))
    raw[at % len(raw)] = to
    try:
        found = signed_by(DOCUMENT, base64.b64encode(bytes(raw)).decode(), CERTIFICATES)
    except NotSigned:
        return
    assert found == 1
    with pytest.raises(NotSigned):
        signed_by(DOCUMENT + b" ", base64.b64encode(bytes(raw)).decode(), CERTIFICATES)


@pytest.mark.chaos
@settings(max_examples=examples(60, 300), deadline=None)
@given(some.binary(max_size=400))
def test_any_bytes_are_refused(raw):
    with pytest.raises(NotSigned):
        signed_by(DOCUMENT, base64.b64encode(raw).decode(), CERTIFICATES)
