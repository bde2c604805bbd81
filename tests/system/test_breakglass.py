"""Break-glass on real hosts: shares made by command, hosts that trust it, a drill through the bastion; then all is down."""

from __future__ import annotations

import json
import re
from pathlib import Path

import door_world
import pytest
from door_world import Door, Site, until

pytestmark = pytest.mark.root
AT = "servers", "breakglass"
ROWS = """
import json, sys
from ostiary.doors.servers.client.credentials import signed_in
from ostiary.doors.servers.audit.control_source import ControlSource
with signed_in() as control:
    source, found, after = ControlSource(control, sys.argv[1]), [], 0
    while rows := source.rows(after):
        found += [json.loads(row.body) for row in rows if row.event == sys.argv[2]]
        after = rows[-1].number
print(json.dumps(found))
"""
TRUSTED = "/etc/ssh/ostiary/trusted-authorities"


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A bastion and a server behind it; ada has been on both, so her accounts are there."""
    hosts, rules = {"bastion": "prod", "web1": "prod"}, {"prod": door_world.RULES["prod"]}
    site = Site(hosts, {"web1": "bastion"}, rules)
    with Door(tmp_path_factory.mktemp("door"), site) as door:
        door.fill()
        ada = door.people["ada"]
        for host in ("bastion", "web1"):
            until(lambda h=host: not ada.ssh(h, "true", check=False).returncode)
        yield door


@pytest.fixture(scope="module")
def ada(door):
    return door.people["ada"]


@pytest.fixture(scope="module")
def shares(door, ada):
    """Files of a 2-of-3 authority that both hosts trust by now."""
    options = ("--shares", 3, "--threshold", 2, "--out", ada.home / "shares", "--json")
    made = json.loads(ada.ostiary(*AT, "make", "--project", "prod", *options).stdout)
    for name in ("bastion", "web1"):
        until(lambda n=name: made["authority"] in door[n].read(TRUSTED))
    assert [Path(one).stat().st_mode & 0o777 for one in made["shares"]] == [0o600] * 3
    return made["shares"]


@pytest.fixture(scope="module")
def offline(door, ada, shares):
    """What to give to a drill that asks nobody: written down while all was well."""
    known = json.loads(ada.ostiary("servers", "project", "show", "prod", "--json").stdout)
    keys = [one["public_key"] for one in known["authorities"] if one["use"] == "host"]
    (ada.home / "host-authority.pub").write_text("".join(f"{key}\n" for key in keys))
    places = {name: f"{door.ids[name]}={door[name].address}" for name in ("bastion", "web1")}
    return [
        *given(shares, 2, 3),
        *("--login", "ada", "--offline", "--host-authority", ada.home / "host-authority.pub"),
        *("--server", places["web1"], "--through", places["bastion"]),
    ]


def given(shares, *numbers):
    return [part for n in numbers for part in ("--share", shares[n - 1])]


def reconciled(ada):
    done = ada.ostiary("audit", "reconcile", "--project", "prod", "--json", check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_drill_enters_through_the_bastion_and_the_audit_tells_of_it(door, ada, shares):
    asked = ("--login", "ada", "--server", "web1", "--json")
    before = reconciled(ada)[1]["slips"]
    told = json.loads(ada.ostiary(*AT, "drill", *given(shares, 1, 3), *asked).stdout)
    assert [one["step"] for one in told["steps"]] == [
        "2 certificates signed by 2 shares",
        f"entered {door.ids['web1']} as ada",
        "2 submitted to the audit of prod",
        "the audit is whole and reconciles",
    ]
    assert (told["server"], len(told["serials"])) == (door.ids["web1"], 2)
    code, found = reconciled(ada)
    assert (code, found["slips"] - before, found["findings"]) == (0, 2, [])
    tell(door, "bastion", "web1")
    until(lambda: {*told["serials"]} <= met(ada), 40)
    assert reconciled(ada)[1]["findings"] == []


def tell(door, *names):
    """Let agents tell now what they would tell within half a minute."""
    for name in names:
        door[name].agent("once")


def met(ada):
    """Serials of break-glass that hosts told of."""
    rows = ada.python(ROWS, "prod", "certificate.met")
    return {one["serial"] for one in json.loads(rows) if one["outcome"] == "break-glass"}


def test_a_login_without_a_slip_is_found_until_it_is_submitted(door, ada, offline, tmp_path):
    slips = ("--slips", tmp_path / "slips")
    serials = json.loads(ada.ostiary(*AT, "drill", *offline, *slips, "--json").stdout)["serials"]
    tell(door, "bastion", "web1")
    until(lambda: {*serials} <= met(ada), 40)
    code, found = reconciled(ada)
    assert (code, {one["kind"] for one in found["findings"]}) == (12, {"no-slip"})
    assert {one["serial"] for one in found["findings"]} == {*serials}
    ada.ostiary(*AT, "submit", tmp_path / "slips", "--project", "prod")
    assert reconciled(ada)[0] == 0


def test_it_enters_while_everything_else_is_down_and_ours_does_not(door, ada, shares, offline):
    """No control plane, no agent, no interpreter, no hook, a ledger that nobody can write."""
    web = door["web1"]
    door.stop_serve(1)
    web.run(["sh", "-c", f"kill -KILL $(cat {door_world.AGENT_PID})"])
    web.run(["mv", "/etc/ssh/ostiary/session-hook.py", "/etc/ssh/ostiary/session-hook.away"])
    web.run(["mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib/ostiary"])
    try:
        done = ada.ostiary(*AT, "drill", *offline, "--reason", "all is down", "--json")
        assert [one["step"] for one in json.loads(done.stdout)["steps"]] == [
            "2 certificates signed by 2 shares",
            f"entered {door.ids['web1']} as ada",
        ]
        door.start_serve()
        ours = ada.ssh("web1", "echo in", check=False)
        assert (ours.returncode in (254, 255), ours.stdout) == (True, ""), "refused meanwhile"
    finally:
        web.run(["umount", "/var/lib/ostiary"])
        web.run(["mv", "/etc/ssh/ostiary/session-hook.away", "/etc/ssh/ostiary/session-hook.py"])
        process = door_world.start_agent(web)
        door._ending.callback(door_world.end_agent, web, process)
    before = reconciled(ada)[1]["slips"]
    ada.ostiary(*AT, "submit", "--project", "prod", check=False)  # strangers' slips lie there too
    code, found = reconciled(ada)
    assert (code, found["slips"]) == (0, before + 2), found
    assert not ada.ssh("web1", "true", check=False).returncode, "and all is as it was"


def test_the_lines_that_it_says_enter_while_the_control_plane_is_down(
    door, ada, shares, offline, tmp_path
):
    """As they are, but for the places to fill in; the host authority, on paper, is all that ssh knows of the hosts."""
    sign = (*AT, "sign", *given(shares, 1, 2), "--reason", "down", "--slips", tmp_path / "slips")
    known = tmp_path / "known"
    keys = (ada.home / "host-authority.pub").read_text().splitlines()
    known.write_text("".join(f"@cert-authority * {key}\n" for key in keys))
    plain = "ssh -F none"
    strict = f"-o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known}"

    def said(name, file, *more):
        options = ("--login", "ada", "--server", door.ids[name], "--out", tmp_path / file, *more)
        (line,) = re.findall(
            r"^enter .*with: (ssh .*)$", ada.ostiary(*sign, *options).stdout, re.MULTILINE
        )
        assert line.count("ssh ") == line.count(f"{plain} "), "by our configuration it would ask"
        return line.replace(plain, f"{plain} {strict}")

    def enters(line, **places):
        for place, value in places.items():
            line = line.replace(place, str(value))
        return ada.run("sh", "-c", f"{line} hostname").stdout.strip()

    door.stop_serve(1)
    try:
        inside = said("bastion", "in")
        assert enters(inside, ADDRESS=door["bastion"].address) == "bastion"
        said("web1", "web")
        through = said("bastion", "hop", "--hop")
        places = {"KEY": tmp_path / "web", "BASTION": door["bastion"].address}
        web = through.replace(f"{plain} {strict} -i KEY", f"{plain} {strict} {alias(door)} -i KEY")
        assert enters(web, **places, ADDRESS=door["web1"].address) == "web1"
    finally:
        door.come_back()
    ada.ostiary(*AT, "submit", tmp_path / "slips", "--project", "prod")


def alias(door):
    """How the line for web1 itself names the host, which that for the hop leaves to it."""
    return f"-o HostKeyAlias={door.ids['web1']}"


def test_too_few_shares_or_those_of_another_project_enter_nowhere(door, ada, shares, offline):
    few = ada.ostiary(*AT, "drill", *offline[2:], check=False)
    assert (few.returncode, "2 different ones are needed" in few.stderr) == (2, True)
    options = ("--shares", 2, "--threshold", 2, "--out", ada.home / "other", "--no-register")
    ada.ostiary(*AT, "make", "--project", "prod", *options)
    others = [ada.home / f"other/prod-share-{n}-of-2.txt" for n in (1, 2)]
    refused = ada.ostiary(*AT, "drill", *given(others, 1, 2), *offline[4:], check=False)
    assert refused.returncode == 11
    assert "Permission denied" in refused.stderr


def test_a_certificate_for_one_server_or_one_account_opens_no_other(door, ada, shares, tmp_path):
    """Of root there is no LocalUser, and of another server no principal."""
    sign = (*AT, "sign", *given(shares, 1, 2), "--reason", "test", "--slips", tmp_path / "slips")
    for login, server, host in (("ada", "bastion", "web1"), ("nobody1", "web1", "web1")):
        out = tmp_path / f"{login}-{server}"
        ada.ostiary(*sign, "--login", login, "--server", door.ids[server], "--out", out)
        place = f"{login}@{door[host].address}"
        into = door["bastion"].run  # web1 is reached from there only
        door["bastion"].write("/root/key", out.read_text())
        door["bastion"].write("/root/key-cert.pub", Path(f"{out}-cert.pub").read_text())
        into(["chmod", "600", "/root/key"])
        options = ["-F", "none", "-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-i", "/root/key"]
        refused = into(["ssh", *options, place, "true"], check=False)
        assert refused.returncode == 255
        assert "Permission denied" in refused.stderr
