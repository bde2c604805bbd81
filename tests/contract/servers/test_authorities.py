"""Authorities of projects over a real database and the embedded KMS: what is kept, who signs, what is told when KMS does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from aws_world import MANAGEMENT, join, small_organization
from sqlalchemy import select

from ostiary import connect, connect_control
from ostiary.doors.servers.control import authorities, projects, rotation
from ostiary.doors.servers.control.authorities import Authorities
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.tables import METADATA, audit
from ostiary.doors.servers.control.tables import authorities as table
from ostiary.doors.servers.control.writer import Writer
from ostiary.doors.servers.wire.admin import Rotation
from ostiary.errors import Conflict, Denied, NotFound, Unreachable
from ostiary.pki import ssh_certificate, ssh_key
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_signature import verify
from ostiary.plan.wrap import LocalKeyWrap

KEY = ssh_key.parse(
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6Y9C2nZBqN1jQ1i0t1kz0h6v6m7cR0oH0iF8xO2t0l"
)


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/control.db")
    METADATA.create_all(database.engine)
    yield database
    database.close()


@pytest.fixture
def writer(database):
    writer = Writer(database)
    yield writer
    writer.close()


@pytest.fixture
def project(writer):
    return writer.write(
        [], lambda c, ledger: projects.create(c, ledger, "prod", uid_start=70000, gid_start=70000)
    )


@pytest.fixture
def held(tmp_path, writer):
    opened = connect_control.kms_signers(
        region="us-east-1", transports=connect.Transports(aws=join)
    )
    return Authorities(LocalKeyWrap(tmp_path / "kek"), opened, told=authorities.into_audit(writer))


def keep(writer, project, made):
    writer.write([project.id], lambda c, ledger: authorities.keep(c, ledger, project.id, made))


def known(database, project):
    with database.reading() as connection:
        return authorities.of_project(connection, project.id)


def events(database, writer, project):
    writer.write([project.id], lambda *_: None)  # whatever was queued before is written now
    with database.reading() as connection:
        query = select(audit.c.event, audit.c.body).where(audit.c.project_id == project.id)
        return [(row.event, json.loads(row.body)) for row in connection.execute(query)]


def kms_arn(site, spec="ECC_NIST_P256"):
    asked = {"KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}
    return site.aws.call("kms", "create_key", repeatable=True, **asked)["KeyMetadata"]["Arn"]


def test_a_key_of_ours_is_kept_sealed_and_opens_with_its_kek_only(
    tmp_path, database, writer, project, held
):
    keep(writer, project, held.make("user"))
    found = authorities.signing(known(database, project), "user")
    signature = Authorities(LocalKeyWrap(tmp_path / "kek")).signer(found).sign(b"x")
    verify(ssh_key.parse(found.public_key), signature, b"x")
    other = LocalKeyWrap(tmp_path / "other")
    other.wrap(b"x" * 32)
    with pytest.raises(Denied):
        Authorities(other).signer(found)
    renamed = replace(found, id="ca_other")
    with pytest.raises(Denied):
        held.signer(renamed)
    with database.reading() as connection:
        row = connection.execute(select(table)).one()
    assert b"PRIVATE" not in row.private
    assert row.private not in (None, b"")


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_a_key_of_kms_is_kept_by_its_arn_and_signs(site, database, writer, project, held, spec):
    arn = kms_arn(site, spec)
    site.aws.call("kms", "create_alias", AliasName="alias/ostiary/prod", TargetKeyId=arn)
    keep(writer, project, held.make("user", "alias/ostiary/prod"))
    found = authorities.signing(known(database, project), "user")
    assert (found.kms_key, found.private) == (arn, None)
    signed = ssh_certificate.sign(Certificate(KEY, "id", ("a@b",)), held.signer(found))
    assert signed.authority.text() == found.public_key
    assert events(database, writer, project)[-1][1]["kms_key"] == arn


def test_a_key_that_kms_lets_us_read_but_not_sign_with_is_no_authority(site, held):
    """The policy of a key may let any administrator read its public half."""
    arn = kms_arn(site)
    site.world.switches.denied.add((MANAGEMENT, "kms:Sign"))
    with pytest.raises(Conflict, match="AccessDenied") as refused:
        held.make("user", arn)
    assert refused.value.what == f"cannot sign with {arn}"
    site.world.switches.denied.clear()
    assert held.make("user", arn).kms_key == arn


@pytest.mark.parametrize(("use", "spec"), [("user", "ECC_NIST_P256"), ("x509", "RSA_2048")])
def test_a_key_that_kms_lets_us_sign_with_no_more_is_not_rotated_to(site, held, use, spec):
    """Between ``begin`` and ``sign`` somebody may take the right away."""
    old, new = held.make(use), held.make(use, kms_arn(site, spec), "trusted")
    site.world.switches.denied.add((MANAGEMENT, "kms:Sign"))
    with pytest.raises(Conflict, match="AccessDenied") as refused:
        rotation.prepare(held, "prod", Rotation(use, "sign"), [old, new])
    assert refused.value.what == f"cannot sign with {new.kms_key}"
    assert rotation.prepare(held, "prod", Rotation(use, "finish"), [old, new]) is None
    site.world.switches.denied.clear()
    assert rotation.prepare(held, "prod", Rotation(use, "sign"), [old, new]) is None


def test_without_a_way_to_aws_nothing_of_kms_signs(site, tmp_path, database, writer, project, held):
    keep(writer, project, held.make("user", kms_arn(site)))
    found = authorities.signing(known(database, project), "user")
    alone = Authorities(LocalKeyWrap(tmp_path / "kek"))
    with pytest.raises(NotFound, match="no way to AWS"):
        alone.make("user", kms_arn(site))
    with pytest.raises(Unreachable, match="no way to AWS"):
        alone.signer(found).sign(b"x")


def test_a_disabled_key_is_told_in_status_and_audit_once_and_so_is_its_return(
    site, database, writer, project, held
):
    arn = kms_arn(site)
    keep(writer, project, held.make("user", arn))
    signer = held.signer(authorities.signing(known(database, project), "user"))
    signer.sign(b"x")
    site.aws.call("kms", "disable_key", repeatable=True, KeyId=arn)
    for _ in range(3):
        with pytest.raises(Unreachable) as refused:
            signer.sign(b"x")
        assert refused.value.code == "signing-unavailable"
        assert "DisabledException" in refused.value.why
    assert "DisabledException" in held.problems()[0]
    site.aws.call("kms", "enable_key", repeatable=True, KeyId=arn)
    signer._clock = lambda: 1e12  # the rest is over
    signer.sign(b"x")
    assert held.problems() == ()
    told = [one for one in events(database, writer, project) if "vailable" in one[0]]
    assert [event for event, _ in told] == ["authority.unavailable", "authority.available"]
    assert told[0][1]["code"] == "DisabledException"


def test_a_break_glass_authority_signs_nothing_here(database, writer, project, held):
    made = replace(held.make("break-glass"), private=None)
    keep(writer, project, made)
    with pytest.raises(NotFound, match="not kept here"):
        held.signer(authorities.signing(known(database, project), "break-glass"))
