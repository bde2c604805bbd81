"""What a machine shows to sign in, judged by the control plane's own judge."""

from __future__ import annotations

import json
import time

import httpx2
import pytest
from aws_instance import ACCOUNT, CONTROL, REGION, AwsTransport, make_world, session_of
from joserfc import jwk

from ostiary.aws.caller_proof import presigned_caller
from ostiary.cli.login_machine import by_own_key
from ostiary.doors.servers.control.aws_caller import AwsCallers
from ostiary.doors.servers.control.issuer_keys import IssuerKeys
from ostiary.doors.servers.control.machine_proof import MachineProofs
from ostiary.doors.servers.wire.admin import Machine
from ostiary.errors import Denied, UsageError

KEYS = {
    "RSA": lambda: jwk.RSAKey.generate_key(2048, {"kid": "k"}),
    "P-256": lambda: jwk.ECKey.generate_key("P-256", {"kid": "k"}),
    "P-384": lambda: jwk.ECKey.generate_key("P-384", {"kid": "k"}),
    "Ed25519": lambda: jwk.OKPKey.generate_key("Ed25519", {"kid": "k"}),
}


def judge(world=None):
    http = httpx2.Client(transport=AwsTransport(world or make_world()))
    return MachineProofs(CONTROL, IssuerKeys(http, time.time), AwsCallers(http, CONTROL), time.time)


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_its_own(tmp_path, kind):
    key = KEYS[kind]()
    (tmp_path / "key").write_text(json.dumps(key.as_dict(private=True)))
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    machine = Machine("robot", "private-key-jwt", "ada@x", time.time() + 60, public_keys=public)
    first, second = (by_own_key("robot", CONTROL, tmp_path / "key") for _ in range(2))
    assert judge().check(machine, first).mark != judge().check(machine, second).mark
    with pytest.raises(Denied, match="aud"):
        judge().check(machine, by_own_key("robot", "https://other.example", tmp_path / "key"))
    with pytest.raises(Denied, match="iss and sub"):
        judge().check(machine, by_own_key("other", CONTROL, tmp_path / "key"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "no private JWK"),
        ("[]", "no private JWK"),
        (json.dumps({"kty": "oct", "k": "c2VjcmV0", "kid": "k"}), "no private JWK"),
        (json.dumps(KEYS["P-256"]().as_dict(private=False)), "the public half"),
        (json.dumps({**KEYS["P-256"]().as_dict(private=True), "kid": None}), "no private JWK"),
        (json.dumps(jwk.ECKey.generate_key("P-521", {"kid": "k"}).as_dict(private=True)), "P-384"),
    ],
)
def test_files_that_hold_no_such_key(tmp_path, text, why):
    (tmp_path / "key").write_text(text)
    with pytest.raises(UsageError, match=why):
        by_own_key("robot", CONTROL, tmp_path / "key")


def test_no_file_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        by_own_key("robot", CONTROL, tmp_path / "none")


@pytest.fixture
def role(monkeypatch, tmp_path):
    """The environment of something that runs in a role."""
    world = make_world()
    session = session_of(world, ACCOUNT, "ci", "run-1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", session.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session.secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", session.token)
    return world


def test_the_role_that_it_runs_in(role):
    machine = Machine(
        "ci", "aws", "ada@x", time.time() + 60, arn=f"arn:aws:iam::{ACCOUNT}:role/build/ci"
    )
    proven = judge(role).check(machine, presigned_caller(CONTROL))
    assert proven.told["session"] == "run-1"
    with pytest.raises(Denied):
        judge(role).check(machine, presigned_caller("https://other.example"))


def test_keys_of_an_iam_user_prove_no_role(role, monkeypatch):
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    with pytest.raises(Denied, match="IAM user"):
        presigned_caller(CONTROL)


def test_no_credentials_are_said_so(role, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(Denied, match="no credentials"):
        presigned_caller(CONTROL)


def test_a_profile_that_is_not_there_is_said_so(role):
    with pytest.raises(Exception, match="none") as caught:
        presigned_caller(CONTROL, profile="none")
    assert type(caught.value).__module__ == "ostiary.errors"
