"""Keys that stay in KMS: real signatures over the embedded KMS, what sshd says to them, and what is refused."""

from __future__ import annotations

import copy
import datetime as dt
import time
from dataclasses import replace
from functools import partial

import pytest
from aws_world import MANAGEMENT, small_organization
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from ssh_world import Keys, Sshd

from ostiary.aws import kms_key, kms_sign
from ostiary.errors import Denied, NotFound, OstiaryError, Throttled, UsageError
from ostiary.pki import ssh_certificate, ssh_option
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import Certificate

SPECS = ("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "RSA_2048")


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


def create(site, spec="ECC_NIST_P256", usage="SIGN_VERIFY"):
    made = site.aws.call("kms", "create_key", repeatable=True, KeySpec=spec, KeyUsage=usage)
    return made["KeyMetadata"]["Arn"]


@pytest.fixture
def open_key(site):
    def open_key(spec="ECC_NIST_P256"):
        return kms_key.open_key(site.aws, create(site, spec))

    return open_key


def counted(site, operation):
    return site.world.calls.count(("kms", operation, MANAGEMENT))


@pytest.mark.parametrize("spec", SPECS)
def test_sshd_lets_in_by_an_authority_in_kms(site, open_key, keys, tmp_path, spec):
    signer = LocalSigner(open_key(spec))
    now = int(time.time())
    made = ssh_certificate.sign(
        Certificate(
            keys.public("ssh-ed25519"),
            "ada@acme.example",
            ("ada@srv-1",),
            valid_after=now - 60,
            valid_before=now + 120,
        ),
        signer,
    )
    assert counted(site, "Sign") == 1
    (tmp_path / "ca.pub").write_text(signer.public_key.text())
    (tmp_path / "principals").write_text("ada@srv-1\n")
    sshd = Sshd(tmp_path, keys)
    done = sshd.login(
        ssh_certificate.to_text(made),
        keys.file("ssh-ed25519"),
        "echo in",
        TrustedUserCAKeys=str(tmp_path / "ca.pub"),
        AuthorizedPrincipalsFile=str(tmp_path / "principals"),
    )
    assert done.stdout == "in\n", sshd.log
    assert signer.public_key.fingerprint in sshd.log


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_a_certificate_larger_than_kms_takes_is_signed_by_its_digest(site, open_key, keys, spec):
    signer = LocalSigner(open_key(spec))
    principals = tuple(f"person-{number:03}@server" for number in range(256))
    unsigned = Certificate(keys.public("ssh-rsa"), "id", principals, nonce=b"n" * 32)
    size = len(ssh_certificate.to_be_signed(ssh_certificate.prepare(unsigned, signer.public_key)))
    assert size > kms_sign.MOST_RAW
    ssh_certificate.verify(ssh_certificate.sign(unsigned, signer))


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384"])
def test_bytes_of_every_size_are_signed(open_key, spec, size):
    key = open_key(spec)
    algorithm = ec.ECDSA(hashes.SHA256() if spec.endswith("256") else hashes.SHA384())
    data = b"x" * size
    key.public_key().verify(key.sign(data, algorithm), data, algorithm)
    hashed = hashes.Hash(algorithm.algorithm)
    hashed.update(data)
    prehashed = ec.ECDSA(Prehashed(algorithm.algorithm))
    key.public_key().verify(key.sign(hashed.finalize(), prehashed), data, algorithm)


def test_kms_is_sent_bytes_up_to_its_limit_and_digests_above():
    for size, kind in ((0, "DIGEST"), (1, "RAW"), (4096, "RAW"), (4097, "DIGEST")):
        sent, told = kms_sign.in_reach(b"x" * size, hashes.SHA256())
        assert (len(sent), told) == (size if kind == "RAW" else 32, kind)


@pytest.mark.parametrize("hashed", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("scheme", ["PKCS1", "PSS"])
def test_rsa_signs_by_every_scheme_of_kms(open_key, hashed, scheme):
    key = open_key("RSA_2048")
    pss = padding.PSS(mgf=padding.MGF1(hashed), salt_length=hashed.digest_size)
    chosen = pss if scheme == "PSS" else padding.PKCS1v15()
    for data in (b"short", b"x" * 5000):
        key.public_key().verify(key.sign(data, chosen, hashed), data, chosen, hashed)


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_x509_certificates_are_signed_in_kms(open_key, spec):
    key = open_key(spec)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    made.verify_directly_issued_by(made)


def test_the_key_is_found_by_alias_and_in_another_account(site):
    arn = create(site)
    site.aws.call("kms", "create_alias", AliasName="alias/ostiary/acme", TargetKeyId=arn)
    assert kms_key.open_key(site.aws, "alias/ostiary/acme").arn == arn
    with pytest.raises(NotFound):
        kms_key.open_key(site.aws, "alias/none")
    with pytest.raises(Denied):
        kms_key.open_key(site.aws, arn.replace(MANAGEMENT, "222233334444"))


def test_the_private_half_stays(open_key):
    for key in (open_key(), open_key("RSA_2048")):
        assert copy.deepcopy(copy.copy(key)) is key
        pem = (
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for leak in (key.private_numbers, partial(key.private_bytes, *pem)):
            with pytest.raises(OstiaryError, match="never leaves KMS"):
                leak()
    assert (open_key().key_size, open_key().curve.name) == (256, "secp256r1")
    assert open_key("RSA_2048").key_size == 2048


def test_a_key_that_does_not_sign_is_refused(site):
    with pytest.raises(OstiaryError) as refused:
        kms_key.open_key(site.aws, create(site, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"))
    assert refused.value.code == "UnsupportedOperationException"
    with pytest.raises(UsageError, match="not SIGN_VERIFY"):
        kms_key.open_key(site.aws, create(site, "RSA_2048", "ENCRYPT_DECRYPT"))
    with pytest.raises(UsageError, match="none that SSH"):
        kms_key.open_key(site.aws, create(site, "ECC_SECG_P256K1"))


def test_a_hash_that_kms_has_not_for_the_curve_is_refused_without_a_call(site, open_key):
    key = open_key()
    with pytest.raises(OstiaryError, match="ECDSA_SHA_256 only"):
        key.sign(b"x", ec.ECDSA(hashes.SHA512()))
    rsa_key = open_key("RSA_2048")
    with pytest.raises(OstiaryError, match="RSASSA"):
        rsa_key.sign(b"x", padding.PKCS1v15(), hashes.SHA1())
    assert counted(site, "Sign") == 0


class Other:
    """AWS behind a middleman who changes the answers of Sign."""

    def __init__(self, aws, change):
        self.aws, self.change = aws, change

    def call(self, service, operation, /, **params):
        answer = self.aws.call(service, operation, **params)
        return self.change(dict(answer), params) if operation == "sign" else answer


def _with(**fields):
    return lambda answer, params: answer | fields


def _signature(change):
    return lambda answer, params: answer | {"Signature": change(answer["Signature"])}


FORGED = {
    "other key": _with(KeyId="arn:aws:kms:us-east-1:100000000001:key/other"),
    "other algorithm": _with(SigningAlgorithm="ECDSA_SHA_384"),
    "truncated": _signature(lambda signature: signature[:-1]),
    "longer": _signature(lambda signature: signature + b"\0"),
    "empty": _signature(lambda signature: b""),
    "zero": _signature(lambda signature: encode_dss_signature(0, 0)),
    "flipped": _signature(lambda signature: signature[:-1] + bytes((signature[-1] ^ 1,))),
}


@pytest.mark.parametrize("name", FORGED)
def test_no_forged_answer_leaves(site, keys, name):
    key = kms_key.open_key(Other(site.aws, FORGED[name]), create(site))
    with pytest.raises(OstiaryError, match="cannot sign with the KMS key"):
        key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(OstiaryError):
        ssh_certificate.sign(Certificate(keys.public("ssh-ed25519"), "id"), LocalSigner(key))


def test_no_signature_by_another_key_or_over_other_bytes_leaves(site):
    other = create(site)

    def by_other(answer, params):
        changed = {name: params[name] for name in ("Message", "MessageType", "SigningAlgorithm")}
        found = site.aws.call("kms", "sign", repeatable=True, KeyId=other, **changed)
        return answer | {"Signature": found["Signature"]}

    def of_other(answer, params):
        changed = params | {"Message": b"other"}
        return answer | {"Signature": site.aws.call("kms", "sign", **changed)["Signature"]}

    for change in (by_other, of_other):
        key = kms_key.open_key(Other(site.aws, change), create(site))
        with pytest.raises(OstiaryError, match="not of its public key"):
            key.sign(b"data", ec.ECDSA(hashes.SHA256()))


def test_the_other_root_of_a_signature_is_as_good(site):
    """ECDSA has two, and sshd takes both: a high s is no forgery."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

    def mirrored(signature):
        first, second = decode_dss_signature(signature)
        return encode_dss_signature(first, order - second)

    key = kms_key.open_key(Other(site.aws, _signature(mirrored)), create(site))
    assert key.sign(b"data", ec.ECDSA(hashes.SHA256()))


def test_refusals_of_kms_are_told(site, open_key):
    key = open_key()
    site.world.switches.denied.add((MANAGEMENT, "kms:Sign"))
    with pytest.raises(Denied):
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))


def test_throttling_is_waited_out_and_nothing_local_signs(site, open_key, monkeypatch):
    key = open_key()
    monkeypatch.setattr("ostiary.aws.session.RETRY_FOR", 0.5)
    site.world.switches.throttle_share = 1.0
    with pytest.raises(Throttled):
        key.sign(b"x", ec.ECDSA(hashes.SHA256()))


def test_an_ed25519_key_signs_raw_only(site):
    """No region of the embedded KMS has the spec; the key class asks as for one that has."""
    held = ed25519.Ed25519PrivateKey.generate()
    asked = []

    class Newer:
        def call(self, service, operation, /, **params):
            asked.append((operation, params.get("MessageType"), params.get("SigningAlgorithm")))
            told = {"KeyId": "arn:aws:kms:us-east-1:1:key/k"}
            if operation == "get_public_key":
                der = held.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                algorithms = ["ED25519_SHA_512", "ED25519_PH_SHA_512"]
                return told | {
                    "KeyUsage": "SIGN_VERIFY",
                    "PublicKey": der,
                    "SigningAlgorithms": algorithms,
                }
            return told | {
                "Signature": held.sign(params["Message"]),
                "SigningAlgorithm": "ED25519_SHA_512",
            }

    key = kms_key.open_key(Newer(), "k")
    made = ssh_certificate.sign(
        Certificate(LocalSigner(held).public_key, "id", ("a",)), LocalSigner(key)
    )
    ssh_certificate.verify(made)
    assert asked[1:] == [("sign", "RAW", "ED25519_SHA_512")]
    with pytest.raises(OstiaryError, match="at most 4096 bytes"):
        key.sign(b"x" * 4097)
    with pytest.raises(OstiaryError, match="never leaves KMS"):
        key.private_bytes_raw()


def test_the_sandbox_refuses_as_kms_does(site):
    kms = site.aws.client("kms")
    arn = create(site)
    sign = {"KeyId": arn, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    for change, code in (
        ({"MessageType": "DIGEST"}, "ValidationException"),
        ({"MessageType": "DIGEST", "Message": b"x" * 31}, "ValidationException"),
        ({"MessageType": "EXTERNAL_MU"}, "ValidationException"),
        ({"SigningAlgorithm": "ECDSA_SHA_384"}, "InvalidKeyUsageException"),
        ({"SigningAlgorithm": "RSASSA_PSS_SHA_256"}, "InvalidKeyUsageException"),
        ({"KeyId": "00000000-0000-0000-0000-000000000000"}, "NotFoundException"),
        (
            {"KeyId": create(site, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")},
            "InvalidKeyUsageException",
        ),
    ):
        with pytest.raises(ClientError) as refused:
            kms.sign(**sign | change)
        assert refused.value.response["Error"]["Code"] == code, change
    signature = kms.sign(**sign)["Signature"]
    assert kms.verify(**sign, Signature=signature)["SignatureValid"]
    for wrong in ({"Message": b"y"}, {"Signature": signature[:-1]}):
        with pytest.raises(ClientError) as refused:
            kms.verify(**{**sign, "Signature": signature} | wrong)
        assert refused.value.response["Error"]["Code"] == "KMSInvalidSignatureException"


def test_the_sandbox_signs_a_digest_as_it_is(site):
    kms = site.aws.client("kms")
    arn = create(site)
    data = b"x" * 5000
    hashed = hashes.Hash(hashes.SHA256())
    hashed.update(data)
    signature = kms.sign(
        KeyId=arn,
        Message=hashed.finalize(),
        MessageType="DIGEST",
        SigningAlgorithm="ECDSA_SHA_256",
    )["Signature"]
    public = kms_key.open_key(site.aws, arn).public_key()
    public.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def test_options_and_serials_of_a_certificate_from_kms_are_the_askers(open_key, keys):
    asked = Certificate(
        keys.public("ssh-ed25519"),
        "id",
        ("a",),
        serial=5,
        extensions=(ssh_option.flag("permit-pty"),),
    )
    made = ssh_certificate.sign(asked, LocalSigner(open_key()))
    assert replace(made, nonce=b"", authority=None, signature=b"") == asked
