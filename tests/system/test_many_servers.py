"""Ansible as it is over a whole fleet, unattended: each server is entered by a certificate of its own, which opens no other."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from door_proofs import ISSUE
from many_world import ANSIBLE, LOGIN, PROJECT, RECAP, SHARED, Many

pytestmark = pytest.mark.root
SERVERS = 200 if os.environ.get("OSTIARY_CHAOS") == "full" else 12
DENIED = 255  # of ssh: no connection


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    if not ANSIBLE.exists():
        pytest.fail(f"no {ANSIBLE}: make test installs it")
    with Many(tmp_path_factory.mktemp("many")) as door:
        door.fill()
        door.add(SERVERS)
        yield door


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_ansible_enters_each_server_by_one_certificate(door):
    """With Ansible's own options its tasks share a connection; after these ended, a second run needs as many again."""
    names, begun = list(door.servers), reconciled(door)
    for _ in range(2):
        door.forget_logs()
        before = door.number()
        done = subprocess.run(
            door.ansible(door.inventory(names), tasks=2),
            env=door.ansible_env(*SHARED),
            cwd=door.machine.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert {found[0]: found[1:] for found in RECAP.findall(done.stdout)} == dict.fromkeys(
            names, ("2", "0", "0")
        )
        assert door.certificates(names, before).faults == []
        door.end_shared()
    after = reconciled(door)
    assert after["findings"] == []
    assert after["outcomes"]["accepted"] - begun["outcomes"].get("accepted", 0) == 2 * SERVERS
    assert after["met"] - begun["met"] == 2 * SERVERS


def reconciled(door):
    """What servers let in against what was signed, after each agent told."""
    door.report()
    said = door.people["ada"].ostiary("audit", "reconcile", "--project", PROJECT, "--json")
    return json.loads(said.stdout)


@pytest.mark.parametrize("used", [False, True])
def test_a_certificate_of_one_server_opens_no_other(door, tmp_path, used):
    file = tmp_path / "key"
    door.machine.python(ISSUE, door.servers["server-7"], "login", "", str(file))

    def entering(name: str) -> subprocess.CompletedProcess[str]:
        options = (f"CertificateFile={file}-cert.pub", "BatchMode=yes", "IdentitiesOnly=yes")
        options += ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        flags = [part for one in options for part in ("-o", one)]
        argv = ["ssh", "-F", "none", "-i", file, *flags, f"{LOGIN}@{door.address(name)}", "echo in"]
        return door.fleet.client.run(argv, check=False)

    if used:
        assert entering("server-7").stdout == "in\n"
    for other in ("server-6", "server-8"):
        refused = entering(other)
        assert refused.returncode == DENIED
        assert "Permission denied" in refused.stderr
        assert "Accepted" not in door.sshd_log(other).splitlines()[-1]
    last = entering("server-7")
    assert (last.stdout == "in\n") is not used
    serial = re.search(
        r"Serial: (\d+)", door.machine.run("ssh-keygen", "-L", "-f", f"{file}-cert.pub").stdout
    )
    assert serial
    assert door.ledger("server-7").count(serial[1]) == 1
    assert serial[1] not in door.ledger("server-8")
