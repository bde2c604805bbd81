"""An EC2 instance enrols by who it is: the right one, once, while it is young; and nobody who only says so."""

import json
import time

import pytest
from aws_instance import ACCOUNT, OTHER, REGION, make_instance, presigned, session_of
from control_world import ControlWorld, Refused
from pipelines import Router
from sqlalchemy import select

from ostiary.doors.servers.agent import cloud
from ostiary.doors.servers.control.cloud_identity import MOST_AGE, read_certificates
from ostiary.doors.servers.control.tables import audit, servers
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.host import CloudIdentity
from ostiary.errors import UsageError
from ostiary.sandbox.aws.imds import MetadataService
from ostiary.sandbox.aws.instance_identity import region_key

CONTROL = "https://control.example"
NAMES = iter(f"web{number}" for number in range(1000))
IDS = iter(f"i-{number:017x}" for number in range(1, 1000))


class Ec2:
    """What EC2 says of instances: nothing, unless a test says so."""

    def __init__(self):
        self.states = {}
        self.asked = []

    def state(self, account, region, instance):
        self.asked.append((account, region, instance))
        return self.states.get(instance)


class Site:
    """Project prod takes instances of one account in one region."""

    def __init__(self, folder):
        (folder / "aws").mkdir()
        for region in (REGION, "us-east-1"):
            (folder / "aws" / f"{region}.pem").write_bytes(region_key(region).pem())
        self.router = Router()
        self.aws = self.router.world
        self.ec2 = Ec2()
        self.control = ControlWorld(
            f"sqlite:///{folder}/control.db",
            folder,
            transport=self.router,
            settings={"aws_certificates": folder / "aws"},
            sees=self.ec2,
        )
        accounts = admin.Settings(accounts=(f"{ACCOUNT}/{REGION}",))
        self.control.project("prod", settings=accounts)
        self.control.project("other", uid_start=70001, gid_start=70001)

    def instance(self, **changed):
        return make_instance(self.aws, next(IDS), **changed)

    def identity(self, instance, *, document=None, signature=None, session=None, **presign):
        """What the agent on ``instance`` sends."""
        document = document or instance.document()
        signature = signature or region_key(instance.region).sign(document)
        session = session or session_of(self.aws, instance.account, name=instance.id)
        headers = presign.pop("headers", {"x-ostiary-control": CONTROL})
        url = presigned(session, headers=headers, **presign)
        return CloudIdentity(document.decode(), signature, url)

    def enroll(self, cloud, *, token="", name=""):
        host = self.control.host()
        return host.enroll(token, name or next(NAMES), cloud=cloud), host

    def refused(self, cloud, said, *, token="", code="bad-cloud-identity", status=403):
        with pytest.raises(Refused) as no:
            self.enroll(cloud, token=token)
        found = no.value
        assert (found.status, found.code) == (status, code), found.refusal
        assert said in found.refusal.why, found.refusal.why
        assert "X-Amz-Signature" not in found.refusal.why

    def enrolled(self):
        with self.control.services.database.reading() as connection:
            return len(connection.execute(select(servers)).all())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("cloud"))
    yield site
    site.control.close()
    site.router.close()


def test_an_instance_of_the_projects_account_enrols_without_a_token(site):
    instance = site.instance()
    enrolled, host = site.enroll(site.identity(instance))
    assert enrolled.project == "prod"
    assert host.state().server_id == enrolled.server_id
    assert site.ec2.asked[-1] == (ACCOUNT, REGION, instance.id)
    with site.control.services.database.reading() as connection:
        query = select(servers.c.cloud).where(servers.c.id == enrolled.server_id)
        assert connection.scalar(query) == f"{ACCOUNT}/{instance.id}"
        rows = connection.scalars(select(audit.c.body).where(audit.c.event == "server.enrolled"))
        told = [json.loads(text) for text in rows][-1]
    assert told["by"] == f"instance {ACCOUNT}/{instance.id} role WebServer"


def test_what_the_agent_says_of_its_instance_is_taken(site, monkeypatch):
    """The agent's own words, from the metadata service of the instance: nothing of it is botocore's."""
    instance = site.instance()
    with MetadataService(site.aws, instance) as service:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        enrolled, _ = site.enroll(cloud.identity(CONTROL))
        assert enrolled.project == "prod"
        site.refused(cloud.identity("https://other.example"), "DoesNotMatch", code="bad-aws-proof")


def test_an_instance_enrols_once_even_after_it_was_retired(site):
    instance = site.instance()
    _, host = site.enroll(site.identity(instance))
    site.refused(site.identity(instance), "was enrolled before", code="enrolled", status=409)
    host.call("POST", "/v1/hosts/retire")
    site.refused(site.identity(instance), "was enrolled before", code="enrolled", status=409)


def test_a_proof_that_a_second_agent_replays_is_refused(site):
    """Both the whole of it, and for another host key and name after it failed for the first."""
    instance = site.instance()
    told = site.identity(instance)
    site.enroll(told)
    site.refused(told, "used already")
    young = site.instance()
    first = site.identity(young)
    with pytest.raises(Refused):
        site.enroll(first, name="NOT A NAME")
    site.enroll(first)


def test_a_document_without_the_role_of_now_is_no_proof(site):
    """The document is no secret: whoever reads it once has it for ever."""
    instance = site.instance()
    other = session_of(site.aws, name="i-0fedcba9876543210")
    site.refused(site.identity(instance, session=other), "the role's session of i-0fed")
    person = session_of(site.aws, name="mallory@acme.example")
    site.refused(site.identity(instance, session=person), "session of mallory")
    elsewhere = session_of(site.aws, OTHER, name=instance.id)
    site.refused(site.identity(instance, session=elsewhere), f"the role of {OTHER}")
    nothing = CloudIdentity(
        instance.document().decode(), region_key(REGION).sign(instance.document())
    )
    site.refused(nothing, "which is not STS", code="bad-aws-proof")


def test_of_another_account_or_region_nobody_enrols(site):
    site.refused(site.identity(site.instance(account=OTHER)), "no project takes instances")
    away = site.instance(region="us-east-1")
    site.refused(site.identity(away), "no project takes instances")
    site.refused(site.identity(site.instance(region="eu-central-1")), "no certificate of AWS")


def changed(document, **members):
    return json.dumps({**json.loads(document), **members}, indent=2).encode()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"instanceId": "i-0ffffffffffffffff"}, "not that of region"),
        ({"accountId": OTHER}, "not that of region"),
        ({"region": "us-east-1"}, "not that of region"),
        ({"pendingTime": "2030-01-01T00:00:00Z"}, "not that of region"),
        ({"accountId": "1"}, "no accountId"),
        ({"accountId": 210000000001}, "no accountId"),
        ({"instanceId": "i-x/../y"}, "no instanceId"),
        ({"region": "../../etc"}, "no region"),
        ({"pendingTime": None}, "was started"),
    ],
)
def test_a_changed_document_is_refused(site, members, said):
    instance = site.instance()
    document = instance.document()
    signature = region_key(REGION).sign(document)
    site.refused(
        site.identity(instance, document=changed(document, **members), signature=signature), said
    )


def test_a_signer_that_is_not_the_regions_is_refused(site):
    instance = site.instance()
    other = region_key("us-east-1").sign(instance.document())
    site.refused(site.identity(instance, signature=other), "not that of region")
    unknown = region_key("xx-nowhere-1").sign(instance.document())
    site.refused(site.identity(instance, signature=unknown), "not that of region")
    site.refused(site.identity(instance, signature="AAAA"), "not that of region")


@pytest.mark.parametrize("document", ["x", "[]", "{}", "9" * 20_000, "[" * 5000])
def test_what_is_no_document_is_refused(site, document):
    instance = site.instance()
    told = site.identity(instance)
    site.refused(CloudIdentity(document, told.signature, told.caller), "the document")


def test_an_old_instance_or_one_from_the_future_is_refused(site):
    old = site.instance(pending=time.time() - MOST_AGE - 3600)
    site.refused(site.identity(old), "25 h ago")
    young = site.instance(pending=time.time() + 3600)
    site.refused(site.identity(young), "in the future")


@pytest.mark.parametrize("state", ["terminated", "shutting-down", "stopped", ""])
def test_an_instance_that_ec2_says_is_gone_is_refused(site, state):
    instance = site.instance()
    site.ec2.states[instance.id] = state
    site.refused(site.identity(instance), "EC2 says")
    site.ec2.states[instance.id] = "running"
    site.enroll(site.identity(instance))


def test_a_proof_for_another_control_plane_or_of_a_while_ago_is_refused(site):
    instance = site.instance()
    other = site.identity(instance, headers={"x-ostiary-control": "https://other.example"})
    site.refused(other, "SignatureDoesNotMatch", code="bad-aws-proof")
    foreign = site.identity(instance, host="evil.example")
    site.refused(foreign, "which is not STS", code="bad-aws-proof")


def test_with_a_token_both_must_be_good(site):
    """A stolen token is no use with the identity of another instance, nor a good identity with a bad token."""
    instance = site.instance()
    token = site.control.token("other")
    stranger = site.identity(instance, session=session_of(site.aws, name="i-0fedcba9876543210"))
    site.refused(stranger, "the role's session", token=token)
    site.refused(site.identity(instance), "token", token="ostiary_enroll_wrong", code="bad-token")
    enrolled, _ = site.enroll(site.identity(instance), token=token)
    assert enrolled.project == "other"
    site.refused(site.identity(site.instance()), "used up", token=token, code="bad-token")


def test_without_token_and_identity_nobody_enrols(site):
    before = site.enrolled()
    site.refused(CloudIdentity(), "the document")
    assert site.enrolled() == before


def test_two_projects_that_name_one_account_take_nobody(site):
    accounts = admin.Settings(accounts=(ACCOUNT,))
    site.control.project("twin", settings=accounts, uid_start=80001, gid_start=80001)
    told = site.identity(site.instance())
    site.refused(told, "prod, twin", code="several-projects", status=409)
    site.control.admin().call("DELETE", "/v1/projects/twin")


def test_a_folder_without_certificates_or_with_a_broken_one_is_told(tmp_path):
    with pytest.raises(UsageError, match="no certificate of AWS"):
        read_certificates(tmp_path)
    (tmp_path / "notes.pem").write_text("not a region")
    with pytest.raises(UsageError, match="no certificate of AWS"):
        read_certificates(tmp_path)
    (tmp_path / "eu-west-1.pem").write_text("x")
    with pytest.raises(UsageError, match="for eu-west-1"):
        read_certificates(tmp_path)


def test_without_certificates_nobody_enrols_by_identity(tmp_path):
    router = Router()
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path, transport=router)
    try:
        world.project("prod", settings=admin.Settings(accounts=(ACCOUNT,)))
        with pytest.raises(Refused) as no:
            world.host().enroll("", "web1", cloud=CloudIdentity("{}", "x", "https://x/?a=b"))
        assert "--aws-certificates" in no.value.refusal.why
    finally:
        world.close()
        router.close()
