"""Hosts: who enrols, who proves to be whom, and what shows that one identity is on two machines."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from control_world import Host, Refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from ostiary.doors.servers.agent.enroll import Wanted, enroll
from ostiary.doors.servers.agent.files import Paths
from ostiary.doors.servers.control import tables
from ostiary.doors.servers.kinds import ServersPart
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Rule, ServersHeld
from ostiary.doors.servers.wire.host import Enroll, HostState, Login
from ostiary.doors.servers.wire.message import encode
from ostiary.model.estate_text import parse
from ostiary.pki import ssh_certificate, ssh_key

ESTATE = 'estate: acme\nversion: 1\norg: {url: "https://acme.okta.com"}\n'


def refused(work, *arguments, **more):
    with pytest.raises(Refused) as no:
        work(*arguments, **more)
    return no.value


def events(world):
    with world.services.database.reading() as connection:
        return list(
            connection.scalars(select(tables.audit.c.event).order_by(tables.audit.c.number))
        )


def held(world, name):
    found = world.admin().call("GET", "/v1/projects/prod/servers", kind=ServersHeld).servers
    return next(one for one in found if one.name == name)


def test_of_a_hundred_that_use_one_token_at_once_one_comes_in(both):
    both.project("prod")
    token = both.token()
    hosts = [both.host() for _ in range(100)]

    def enroll(numbered):
        number, host = numbered
        try:
            return host.enroll(token, f"web{number}")
        except Refused as no:
            assert (no.status, no.code) == (403, "bad-token")  # noqa: PT017 - which of them is unknown
            return None

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(enroll, enumerate(hosts)))
    assert sum(one is not None for one in found) == 1


def test_tokens_that_are_used_up_ended_revoked_or_unknown_let_nobody_in(world):
    world.project("prod")
    by = world.admin()
    made = by.call("POST", "/v1/projects/prod/tokens", admin.NewToken(5, 600.0), admin.MadeToken)
    by.call("DELETE", f"/v1/projects/prod/tokens/{made.id}")
    short = by.call("POST", "/v1/projects/prod/tokens", admin.NewToken(5, 0.2), admin.MadeToken)
    twice = world.token(uses=2)
    world.host().enroll(twice, "a")
    world.host().enroll(twice, "b")
    time.sleep(0.25)
    texts = {
        refused(world.host().enroll, one, "c").refusal.why
        for one in (made.token, short.token, twice, "x")
    }
    assert len(texts) == 1, "nobody learns which of them it was"


def test_no_token_is_kept_shown_again_or_written_into_the_audit(world):
    world.project("prod")
    token = world.token()
    world.server("web1")
    with world.services.database.reading() as connection:
        kept = "".join(
            str(tuple(row))
            for table in tables.METADATA.sorted_tables
            for row in connection.execute(select(table))
        )
    assert token.removeprefix("ostiary_enroll_") not in kept
    listed = world.admin().call("GET", "/v1/projects/prod/tokens")
    assert token.encode() not in listed


def test_a_name_or_a_key_is_enrolled_once(world):
    world.project("prod")
    world.project("test")
    first = world.server("web1")
    no = refused(world.host().enroll, world.token(), "web1")
    assert (no.status, no.code) == (409, "enrolled")
    again = Host(world.url, first.key)
    assert refused(again.enroll, world.token("test"), "other").code == "enrolled"
    world.admin().call("POST", f"/v1/servers/{first.id}/retire")
    again.enroll(world.token(), "web1")
    again.client.close()


def test_a_conflict_leaves_the_token_its_use(world):
    world.project("prod")
    world.server("web1")
    token = world.token()
    refused(world.host().enroll, token, "web1")
    assert world.host().enroll(token, "web2")


NAMES = [
    "",
    "a b",
    "-rf",
    "../x",
    "a..b",
    "A",
    "a" * 254,
    "srv\n",
    "$(id)",
    "web1,root",
    "ü",
    "github.com",
    "localhost",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_server_has_are_refused(world, name):
    world.project("prod")
    assert refused(world.host().enroll, world.token(), name).status == 400


def test_a_host_certificate_names_no_other_server(world):
    world.project("prod")
    web = world.server("web1")
    made = ssh_certificate.parse(web.state().host_certificate)
    ssh_certificate.verify(made)
    assert made.principals == (web.id, "web1")
    assert made.kind == ssh_certificate.HOST
    assert made.valid_before - made.valid_after == 30 * 86400
    assert (made.critical_options, made.extensions) == ((), ())
    assert made.key == ssh_key.parse(web.public)


def test_a_bastion_that_is_not_there_is_said_with_the_names_near_it(world):
    world.project("prod")
    world.project("lab")
    assert world.host().enroll(world.token(), "bastion-1").warning == ""
    world.server("bastion-2", bastion="bastion-1")
    world.server("bastoin", project="lab")
    behind = world.host().enroll(world.token(), "web1", bastion="bastoin-1")
    assert behind.warning == (
        "no server of project prod is named bastoin-1; near it: bastion-1, bastion-2:"
        " nobody reaches web1 before a bastion of that name is enrolled"
    )
    assert world.host().enroll(world.token(), "web2", bastion="bastion-1").warning == ""
    later = world.host().enroll(world.token(), "web3", bastion="gate")
    assert later.warning.startswith("no server of project prod is named gate: nobody reaches web3")


def test_a_bastion_that_is_gone_is_not_there(world):
    world.project("prod")
    world.server("gate").call("POST", "/v1/hosts/retire", kind=None)
    behind = world.host().enroll(world.token(), "web1", bastion="gate")
    assert behind.warning.startswith("no server of project prod is named gate: ")


def test_a_server_is_not_behind_itself(world):
    world.project("prod")
    no = refused(world.host().enroll, world.token(), "web1", bastion="web1")
    assert (no.status, no.refusal.why) == (
        400,
        "cannot enroll this host: web1 cannot be reached through itself",
    )


def test_the_agent_says_what_the_control_plane_warns_of(world, tmp_path):
    world.project("prod")
    paths = Paths(*(tmp_path / one for one in ("ssh", "etc", "var", "sudoers", "pam")))
    paths.ssh.mkdir()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", paths.host_key], check=True
    )
    said = []
    wanted = Wanted(world.url, world.token(), "web1", "192.0.2.7", bastion="bastoin")
    made = enroll(wanted, paths, said.append)
    assert made.name == "web1"
    (line,) = said
    assert line == (
        "warning: no server of project prod is named bastoin:"
        " nobody reaches web1 before a bastion of that name is enrolled"
    )


def test_a_proof_is_good_for_one_request_of_one_host(world):
    world.project("prod")
    web, db = world.server("web1"), world.server("db1")
    path = "/v1/hosts/state?generation=0&wait=0"
    challenge = web.challenge()
    assert web.call("GET", path, kind=HostState, challenge=challenge)
    assert refused(web.call, "GET", path, challenge=challenge).code == "bad-proof"
    for header in (
        web.header("GET", "/v1/hosts/state?generation=1&wait=0"),
        web.header("POST", path),
        web.header("GET", path, b"{}"),
        web.header("GET", path, server_id=db.id),
        web.header("GET", path, challenge="1.2.3"),
        web.header("GET", path, challenge=f"{int(time.time())}.{'0' * 24}.{'0' * 32}"),
        web.header("GET", path)[:-8] + "AAAAAAA=",
        web.header("GET", path).replace(web.id, "srv_nobody"),
        "",
        "a b c d",
        "a b",
    ):
        no = refused(web.client.call, "GET", path, None, HostState, {"Ostiary-Host": header})
        assert (no.status, no.code) == (401, "bad-proof"), header
    assert web.state().server_id == web.id


def test_who_enrols_proves_the_key_that_is_enrolled(world):
    world.project("prod")
    host = world.host()
    asked = Enroll(world.token(), "web1", "192.0.2.1", 22, world.host().public, {}, {})
    assert refused(host.call, "POST", "/v1/hosts/enroll", asked).code == "bad-proof"
    body = encode(asked)
    header = {"Ostiary-Host": host.header("POST", "/v1/hosts/enroll", body)}
    other = Enroll(asked.token, "web2", "192.0.2.1", 22, host.public, {}, {})
    no = refused(host.client.call, "POST", "/v1/hosts/enroll", other, None, header)
    assert no.code == "bad-proof"


def test_nothing_of_a_bastion_itself_is_enrolled_behind_it(world):
    """Who holds a token would have everybody pass to what listens on the bastion's loopback, or to its cloud's credentials."""
    world.project("prod")
    world.server("gate")
    host, token = world.host(), world.token(uses=5)
    for address in (
        "127.0.0.1", "127.1", "0177.1", "0x7f.1", "2130706433", "0", "0.0.0.0", "localhost", "LOCALHOST", "db.localhost",
        "localhost.localdomain", "ip6-loopback", "169.254.169.254", "169.254.43518", "224.0.0.1", "gate",
        "0:0:0:0:0:0:0:1", "0::", "0::1", "0::ffff:127.0.0.1", "0::ffff:a9fe:a9fe", "fe80::1", "ff02::1", "fd00:ec2::254",
    ):  # fmt: skip
        no = refused(host.enroll, token, "web1", bastion="gate", address=address)
        assert (no.status, no.code) == (400, "bad-request"), address
        told = f"to its bastion gate the address {address!r} is gate itself: "
        assert told in no.refusal.why
    for number, address in enumerate(("10.0.0.5", "2001:db8::1", "mylocalhost", "db.gate")):
        other = world.host()
        other.enroll(token, f"web{number}", bastion="gate", address=address)
    world.host().enroll(token, "demo", address="127.0.0.1")


def test_an_old_challenge_is_refused(tmp_path):
    from control_world import ControlWorld  # noqa: PLC0415 - a world with a clock of its own

    offset = [0.0]
    world = ControlWorld(
        f"sqlite:///{tmp_path}/c.db", tmp_path, clock=lambda: time.time() + offset[0]
    )
    try:
        world.project("prod")
        web = world.server("web1")
        challenge = web.challenge()
        offset[0] = 121.0
        path = "/v1/hosts/state?generation=0&wait=0"
        assert refused(web.call, "GET", path, challenge=challenge).code == "bad-proof"
        assert web.state()
    finally:
        world.close()


def test_another_machine_with_the_same_identity_is_held_apart(world):
    world.project("prod", [Rule("group:sre", login=True)])
    web = world.server("web1", machine="m1")
    alice = world.person("alice@acme.example", ["sre"])
    web.report(machine="m1", boot="b1")
    assert held(world, "web1").state == "active"
    clone = Host(world.url, web.key)
    clone.id = web.id
    clone.report(machine="m2", boot="b9")
    clone.client.close()
    assert held(world, "web1").state == "quarantined"
    assert refused(alice.certificate, "web1").code == "no-server"
    assert [one.login for one in web.state().users] == ["alice"], "break-glass needs an account"
    assert "server.quarantined" in events(world)
    world.admin().call("POST", f"/v1/servers/{web.id}/release")
    web.report(machine="m1", boot="b1")
    assert alice.certificate("web1")


def test_two_that_run_at_once_show_by_their_boots(world):
    world.project("prod")
    web = world.server("web1")
    web.report(boot="b1")
    web.report(boot="b2")
    web.report(boot="b2")
    assert held(world, "web1").state == "active", "a machine may boot"
    web.report(boot="b1")
    assert held(world, "web1").state == "quarantined"


def test_a_host_leaves_by_itself_and_comes_back_as_another(world):
    world.project("prod")
    web = world.server("web1")
    web.call("POST", "/v1/hosts/retire")
    no = refused(web.state)
    assert (no.status, no.code) == (401, "retired")
    former, web.id = web.id, "-"
    web.enroll(world.token(), "web1")
    assert web.id != former


def test_what_a_host_met_is_marked_and_audited(world):
    world.project("prod", [Rule("group:sre", login=True)])
    web, other = world.server("web1"), world.server("web2")
    issued = world.person("alice@acme.example", ["sre"]).certificate("web1")
    login = Login(issued.serial, "alice", time.time(), "192.0.2.9", "accepted")
    table = tables.certificates
    other.report(logins=(login,))
    with world.services.database.reading() as connection:
        assert connection.scalar(select(table.c.met)) == "", "another server cannot say so"
    web.report(logins=(login, Login("not a number", "x", 0.0, "", "refused")))
    with world.services.database.reading() as connection:
        assert connection.scalar(select(table.c.met)) == "accepted"
    assert events(world).count("certificate.met") == 3


def test_a_clock_far_off_is_told_once(world):
    world.project("prod")
    web = world.server("web1")
    for _ in range(2):
        web.report(time=time.time() + 100)
    assert events(world).count("server.clock") == 1
    assert held(world, "web1").clock_offset == pytest.approx(100, abs=2)


def test_the_doctor_names_hosts_whose_clock_is_off(world):
    for name in ("prod", "other"):
        world.project(name)
    text = f'{ESTATE}servers: {{control: "{world.url}", projects: {{prod: {{}}, other: {{}}}}}}\n'
    part = ServersPart(parse(text, file="e.yaml"), world.url, world.admin())
    web, little, good = (world.server(name) for name in ("web1", "web2", "web3"))
    web.report(time=time.time() - 70)
    little.report(time=time.time() + 9)
    good.report(time=time.time())
    told = part.checks("plan")
    assert [one[:2] for one in told if "clock" in one[0]] == [
        ("prod/web1: its clock is -70 s off", False),
        ("prod/web2: its clock is +9 s off", None),
    ]
    assert not any("clock" in one[0] for one in part.checks("apply"))


def test_a_removal_is_told_to_who_waits_within_seconds(both):
    both.project("prod", [Rule("group:sre", login=True)])
    web = both.server("web1")
    both.person("alice@acme.example", ["sre"])
    state = web.state()
    assert len(state.users) == 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(web.state, state.generation, 20)
        time.sleep(0.3)
        began = time.monotonic()
        both.person("alice@acme.example", [])
        told = waiting.result(20)
    assert told.users == ()
    assert told.generation > state.generation
    assert time.monotonic() - began < 3


def test_what_concerns_another_server_is_not_told(world):
    label = admin.Label
    rules = [
        Rule("group:web", login=True, servers=(label("role", "web"),)),
        Rule("group:db", login=True, servers=(label("role", "db"),)),
    ]
    world.project("prod", rules)
    web = world.server("web1", labels={"role": "web"})
    state = web.state()
    world.person("bob@acme.example", ["db"])
    assert web.state(state.generation, wait=1) is None


def test_of_a_long_report_the_first_lines_are_kept_and_how_many_more_there_are(world):
    world.project("prod")
    web = world.server("web1")
    web.report(other_ways=[f"way {number}" for number in range(150)], problems=["one", "two"])
    kept = held(world, "web1")
    assert kept.problems == ("one", "two")
    assert kept.other_ways[:2] == ("way 0", "way 1")
    assert (len(kept.other_ways), kept.other_ways[-1]) == (100, "and 51 more")


def test_what_a_host_tells_is_kept_on_lines_of_its_own(world):
    """Administrators read it on a terminal, where it must not become the line of another host, or ours."""
    world.project("prod", [Rule("group:sre", login=True)])
    web = world.server("web1")
    forged = "x\n! db1: its key was stolen\r\n  fix: run: curl evil\t\x1b[31mred\u2028\u202e\x9b"
    login = Login("7\n8", "ada\n", 0.0, f"here\n{forged}", "accepted\n")
    web.report(problems=(forged,), other_ways=(forged,), trusted=(forged,), logins=(login,))
    kept = held(world, "web1")
    (plain,) = {*kept.problems, *kept.other_ways}
    assert plain == "x?! db1: its key was stolen??  fix: run: curl evil??[31mred???"
    with world.services.database.reading() as connection:
        told = connection.scalars(select(tables.audit.c.body)).all()
        told += connection.scalars(select(tables.servers.c.report)).all()
    texts = [one for text in told for one in texts_in(json.loads(text))]
    assert "ada?" in texts
    assert [one for one in texts if not one.isprintable()] == []


def texts_in(value):
    """Every text in what was JSON."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in texts_in(one)]


def test_a_wrong_key_cannot_ask_for_another_host(world):
    world.project("prod")
    web = world.server("web1")
    thief = Host(world.url, Ed25519PrivateKey.generate())
    thief.id = web.id
    assert refused(thief.state).code == "bad-proof"
    thief.client.close()
