"""What the sshd of the distribution says to our certificates."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from ssh_world import PLAIN

from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import HOST, Certificate
from ostiary.pki.ssh_option import flag, valued

PRINCIPAL = "alice@srv-1"


@pytest.fixture
def enter(sshd, keys, tmp_path):
    """``enter(authority, **fields)``: sign a certificate and try to log in with it, as a managed user of a host would."""

    def enter(authority="ssh-ed25519", subject="ssh-ed25519", algorithm=None, **fields):
        now = int(time.time())
        unsigned = Certificate(
            keys.public(subject),
            "an id",
            (PRINCIPAL,),
            serial=77,
            valid_after=now - 60,
            valid_before=now + 120,
        )
        made = ssh_certificate.sign(replace(unsigned, **fields), keys.signer(authority, algorithm))
        return log_in(made, authority, subject)

    def log_in(made, authority="ssh-ed25519", subject="ssh-ed25519", command="echo in"):
        (tmp_path / "principals").write_text(PRINCIPAL + "\n")
        return sshd.login(
            ssh_certificate.to_text(made),
            keys.file(subject),
            command,
            TrustedUserCAKeys=f"{keys.file(authority)}.pub",
            AuthorizedPrincipalsFile=str(tmp_path / "principals"),
        )

    enter.log_in = log_in
    return enter


@pytest.mark.parametrize(
    ("authority", "algorithm"), [*((kind, None) for kind in PLAIN), ("ssh-rsa", "rsa-sha2-256")]
)
def test_sshd_lets_in_by_every_authority(enter, sshd, keys, authority, algorithm):
    done = enter(authority, "ecdsa-sha2-nistp256", algorithm)
    assert (done.returncode, done.stdout) == (0, "in\n"), sshd.log
    assert f"ID an id (serial 77) CA {_short(authority)}" in sshd.log
    assert keys.public(authority).fingerprint in sshd.log


@pytest.mark.parametrize("subject", [kind for kind in PLAIN if kind != "ecdsa-sha2-nistp256"])
def test_sshd_lets_in_every_subject(enter, sshd, subject):
    done = enter("ecdsa-sha2-nistp384", subject)
    assert (done.returncode, done.stdout) == (0, "in\n"), sshd.log


def _short(kind: str) -> str:
    return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(kind, "ECDSA")


REFUSED = {
    "no principals": ({"principals": ()}, "does not contain an authorized principal"),
    "other principal": ({"principals": ("bob@srv-1",)}, "does not contain an authorized principal"),
    "other server": ({"principals": ("alice@srv-2",)}, "does not contain an authorized principal"),
    "wildcard": ({"principals": ("*",)}, "does not contain an authorized principal"),
    "host certificate": ({"kind": HOST}, "Failed publickey"),  # ssh itself does not offer it
    "unknown critical option": ({"critical_options": (flag("x@y"),)}, 'option "x@y"'),
    "other network": (
        {"critical_options": (valued("source-address", "203.0.113.0/24"),)},
        "not from a permitted source address",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sshd_refuses(enter, sshd, name):
    fields, why = REFUSED[name]
    done = enter(**fields)
    assert done.returncode == 255
    assert why in sshd.log, sshd.log


@pytest.mark.parametrize(
    ("name", "after", "before"), [("expired", -60, -1), ("not yet valid", 60, 120)]
)
def test_sshd_refuses_outside_of_the_validity(enter, sshd, name, after, before):
    now = int(time.time())
    done = enter(valid_after=now + after, valid_before=now + before)
    assert done.returncode == 255
    assert name in sshd.log, sshd.log


def test_sshd_ignores_unknown_extensions_and_obeys_a_forced_command(enter, sshd):
    forced = valued("force-command", "echo forced $SSH_ORIGINAL_COMMAND")
    extension = valued("device@example.com", '{"id":7}')
    done = enter(critical_options=(forced,), extensions=(extension, flag("permit-pty")))
    assert done.stdout == "forced echo in\n", sshd.log


def test_sshd_refuses_a_tampered_certificate(enter, sshd, keys):
    now = int(time.time())
    unsigned = Certificate(keys.public("ssh-ed25519"), "id", ("bob@srv-1",), valid_before=now + 60)
    made = ssh_certificate.sign(unsigned, keys.signer("ssh-ed25519"))
    assert enter.log_in(replace(made, principals=(PRINCIPAL,))).returncode == 255


def test_ssh_accepts_a_host_by_our_certificate_and_no_other(enter, sshd, keys, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority web1 {keys.public('ssh-rsa').text()}\n")
    sshd.options = {"StrictHostKeyChecking": "yes", "UserKnownHostsFile": str(known)}
    own = tmp_path / "host-cert.pub"
    for name, code in (("web1", 0), ("web2", 255)):
        host = Certificate(keys.public("ssh-ed25519"), "web1", (name,), kind=HOST)
        own.write_text(ssh_certificate.to_text(ssh_certificate.sign(host, keys.signer("ssh-rsa"))))
        sshd.settings = {"HostCertificate": str(own)}
        assert enter().returncode == code, sshd.log
