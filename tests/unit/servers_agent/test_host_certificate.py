"""What a host says of the certificate that it shows."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ostiary.doors.servers.agent import host_certificate
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.wire.host import HOST_MARK
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.pki.ssh_certificate import HOST, Certificate

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.fixture
def paths(tmp_path):
    found = Paths(ssh=tmp_path, etc=tmp_path / "ostiary", var=tmp_path / "var")
    found.host_certificate.parent.mkdir(parents=True, exist_ok=True)
    return found


@pytest.mark.parametrize("kind", KEYS)
def test_it_says_whose_certificate_it_shows(paths: Paths, kind):
    signer = LocalSigner(KEYS[kind]())
    key = ssh_key.of(ed25519.Ed25519PrivateKey.generate().public_key())
    made = ssh_certificate.sign(Certificate(key, "id", ("srv_1", "web1"), HOST), signer)
    paths.host_certificate.write_text(ssh_certificate.to_text(made) + "\n")
    assert host_certificate.signed_by(paths) == (f"{HOST_MARK}{signer.public_key.fingerprint}",)


@pytest.mark.parametrize("text", ["", "x", "ssh-ed25519-cert-v01@openssh.com AAAA", "a b c\n"])
def test_without_one_it_says_nothing(paths: Paths, text):
    assert host_certificate.signed_by(paths) == ()
    Path(paths.host_certificate).write_text(text)
    assert host_certificate.signed_by(paths) == ()
