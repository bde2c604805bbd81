"""A host in EC2 enrols by what its metadata service says, with nothing in its hands: agent, control plane and AWS together."""

from __future__ import annotations

import json

import pytest
from aws_instance import ACCOUNT, REGION, make_instance
from control_world import ControlWorld
from free_port import free_port
from hosts import Fleet
from pipelines import Router
from sqlalchemy import select

from ostiary.doors.servers.control.tables import audit
from ostiary.doors.servers.wire import admin
from ostiary.sandbox.aws.imds import MetadataService
from ostiary.sandbox.aws.instance_identity import region_key

pytestmark = pytest.mark.root


@pytest.fixture
def router():
    router = Router()
    yield router
    router.close()


@pytest.fixture
def control(router, tmp_path):
    """It takes instances of one account in one region into prod."""
    certificates = tmp_path / "aws"
    certificates.mkdir()
    (certificates / f"{REGION}.pem").write_bytes(region_key(REGION).pem())
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "listen": address,
        "url": f"http://{address}",
        "aws_certificates": certificates,
    }
    control = ControlWorld(
        f"sqlite:///{tmp_path}/control.db", tmp_path, transport=router, settings=settings
    )
    control.project("prod", settings=admin.Settings(accounts=(f"{ACCOUNT}/{REGION}",)))
    yield control
    control.close()


def test_an_instance_enrols_and_another_host_with_its_words_does_not(router, control):
    instance = make_instance(router.world)
    with (
        MetadataService(router.world, instance) as service,
        Fleet(["web1", "web2"]) as fleet,
    ):
        for host in fleet:
            for url in (service.url, control.url):
                fleet.relay(host, int(url.rpartition(":")[2]), inward=True)
        env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url}
        command = ["enroll", "--url", control.url, "--cloud", "--address"]
        web1, web2 = fleet["web1"], fleet["web2"]
        done = web1.agent(*command, web1.address, "--name", "web1", env=env, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("srv_")
        again = web2.agent(*command, web2.address, "--name", "web2", env=env, check=False)
        assert again.returncode != 0
        assert f"instance {ACCOUNT}/{instance.id} was enrolled before" in again.stderr
        assert web1.agent("once", env=env, check=False).returncode == 0
        ps = web1.run(["ps", "-eo", "args"]).stdout
        assert "X-Amz" not in ps
    with control.services.database.reading() as connection:
        rows = connection.scalars(select(audit.c.body).where(audit.c.event == "server.enrolled"))
        told = [json.loads(text) for text in rows]
    assert [(one["name"], one["by"]) for one in told] == [
        ("web1", f"instance {ACCOUNT}/{instance.id} role WebServer")
    ]
