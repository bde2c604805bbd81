"""``ostiary servers certificate`` against a control plane as it is served: what it writes, for whom, and what it says else."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from client_world import Person
from control_world import ADMINS, ControlWorld
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from free_port import free_port
from robot import Robot
from sqlalchemy import select

from ostiary.doors.servers.control.tables import audit
from ostiary.doors.servers.wire import admin

TOP = Path(__file__).resolve().parents[3]
STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
NAMES = ["authority.pem", "certificate.pem", "key.pem"]
RULES = [
    admin.Rule("group:sre", login=True),
    admin.Rule("machine:robot", login=True),
    admin.Rule("group:near", login=True, source_address=("192.0.2.0/24",)),
]
SIGN_IN = """
import sys
from ostiary.doors.servers.client import begin
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.client.issuer import Tokens
from ostiary.doors.servers.client.place import Profile
with Control(sys.argv[1]) as control:
    session = begin.person(control, Tokens(sys.argv[2], ""))
begin.hold(begin.profile_of(Profile(sys.argv[1]), session), session)
"""


@pytest.fixture
def homes():
    """A folder with a short name: that of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="ost-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def world(tmp_path):
    """A control plane that is called as it is reached: devices sign in to that name."""
    address = f"127.0.0.1:{free_port()}"
    named = {"listen": address, "url": f"http://{address}"}
    world = ControlWorld(f"sqlite:///{tmp_path}/control.db", tmp_path, settings=named)
    yield world
    world.close()


@pytest.fixture
def sign_in(world, homes):
    """``sign_in(login, groups)``: somebody whose real resident agent holds a session that is bound to their device."""
    people = []

    def sign_in(login, groups, **claims):
        person = Person(homes / f"home{len(people)}")
        people.append(person)
        token = world.issuer.token(login, groups, **claims)
        code = SIGN_IN.replace("sys.argv[1]", repr(world.url)).replace("sys.argv[2]", repr(token))
        person.python(code)
        return person

    yield sign_in
    for one in people:
        one.ostiary("logout")


@pytest.fixture
def prod(world):
    """A project with an X.509 authority, and web1 in it; the authority's certificate."""
    world.project("prod", RULES)
    web1 = world.server("web1")
    asked = admin.Rotation("x509", "begin")
    made = world.admin().call("POST", "/v1/projects/prod/authorities", asked, admin.Project)
    (authority,) = [one for one in made.authorities if one.use == "x509"]
    return web1, authority


def events(world):
    with world.services.database.reading() as connection:
        return connection.execute(select(audit).order_by(audit.c.number)).all()


def issued(world):
    return [json.loads(one.body) for one in events(world) if one.event == "certificate.issued"]


def loaded(folder):
    """Leaf, authority and key of the three files, as another reader of PEM takes them."""
    leaf, authority = (
        x509.load_pem_x509_certificate((folder / name).read_bytes())
        for name in ("certificate.pem", "authority.pem")
    )
    return leaf, authority, load_pem_private_key((folder / "key.pem").read_bytes(), None)


def test_three_files_for_one_server_and_a_row_of_it(world, prod, sign_in, tmp_path):
    web1, authority = prod
    ada, out = sign_in("ada@acme.example", ["sre"]), tmp_path / "pass"
    done = ada.ostiary("servers", "certificate", "web1", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    leaf, own, key = loaded(out)
    assert own == x509.load_pem_x509_certificate(authority.public_key.encode())
    leaf.verify_directly_issued_by(own)
    assert leaf.public_key() == key.public_key()
    assert key.curve.name == "secp256r1"
    assert leaf.subject.rfc4514_string() == f"CN=ada@{web1.id}" == f"CN={told['name']}"
    assert told["expires"] == leaf.not_valid_after_utc.timestamp() < time.time() + 121
    assert (told["server"], told["server_id"], told["project"]) == ("web1", web1.id, "prod")
    (row,) = issued(world)
    assert (row["serial"], row["purpose"]) == (told["serial"], "x509")
    assert int(row["serial"]) == leaf.serial_number
    assert row["device"], "the device of the session has proven itself"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(told["certificate"], told["key"])


def test_the_key_is_for_its_owner_alone_and_nothing_else_is_left(world, prod, sign_in, tmp_path):
    ada, out = sign_in("ada@acme.example", ["sre"]), tmp_path / "pass"
    before = os.umask(0)
    try:
        done = ada.ostiary("servers", "certificate", "web1", "--out", out)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in out.iterdir()}
    assert modes == {"authority.pem": 0o644, "certificate.pem": 0o644, "key.pem": 0o600}
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    secret = (out / "key.pem").read_text().splitlines()[2]
    assert secret not in done.stdout + done.stderr
    others = [one for one in ada.home.rglob("*") if one.is_file()]
    assert not [one for one in others if secret in one.read_text()]
    assert "for web1 of prod, good until " in done.stdout
    assert (
        f"curl --cert {out}/certificate.pem --key {out}/key.pem https://192.0.2.10/" in done.stderr
    )


def test_again_in_the_same_folder_is_another_key(world, prod, sign_in, tmp_path):
    ada, out = sign_in("ada@acme.example", ["sre"]), tmp_path / "pass"
    assert ada.ostiary("servers", "certificate", "web1", "--out", out).returncode == 0
    (out / "notes").write_text("of somebody")
    first = loaded(out)[2].public_key()
    assert ada.ostiary("servers", "certificate", "web1", "--out", out).returncode == 0
    leaf, _, key = loaded(out)
    assert leaf.public_key() == key.public_key() != first
    assert sorted(one.name for one in out.iterdir()) == [*NAMES[:2], "key.pem", "notes"]
    assert len(issued(world)) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_not_ours_stays_and_nothing_is_asked_for(
    world, prod, sign_in, tmp_path, name, kind
):
    ada, out = sign_in("ada@acme.example", ["sre"]), tmp_path / "pass"
    out.mkdir()
    theirs = out / name
    if kind == "folder":
        theirs.mkdir()
    elif kind == "link":
        (tmp_path / "other").write_text("theirs")
        theirs.symlink_to(tmp_path / "other")
    else:
        theirs.write_text("theirs")
    done = ada.ostiary("servers", "certificate", "web1", "--out", out)
    assert (done.returncode, done.stdout) == (6, "")
    assert f"cannot write {theirs}" in done.stderr
    assert "fix: name another folder" in done.stderr
    assert [one.name for one in out.iterdir()] == [name]
    assert kind == "folder" or theirs.read_text() == "theirs"
    assert issued(world) == []


def test_a_folder_that_cannot_be_is_said_so(world, prod, sign_in, tmp_path):
    ada = sign_in("ada@acme.example", ["sre"])
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/below", tmp_path / "none/below"):
        done = ada.ostiary("servers", "certificate", "web1", "--out", out)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        assert "fix: name another folder" in done.stderr
    assert issued(world) == []


def refused(person, out, host="web1", *more):
    """Exit code and what was said, of a refusal that leaves nothing."""
    done = person.ostiary("servers", "certificate", host, "--out", out, *more)
    assert done.stdout == ""
    assert not out.exists(), "what was made for it is gone"
    assert done.stderr.count("\n") == 3, done.stderr
    return done.returncode, done.stderr


def test_a_project_without_such_an_authority_names_the_owners_command(world, sign_in, tmp_path):
    world.project("prod", RULES)
    world.server("web1")
    code, said = refused(sign_in("ada@acme.example", ["sre"]), tmp_path / "pass")
    assert code == 5
    assert "project prod has no X.509 authority" in said
    assert "ostiary servers project rotate prod --use x509 --step begin\n" in said


def test_who_may_not_gets_none(world, prod, sign_in, tmp_path):
    out = tmp_path / "pass"
    code, said = refused(sign_in("bob@acme.example", ["others"]), out)
    assert (code, "may enter no server named 'web1'" in said) == (5, True)
    code, said = refused(sign_in("ada@acme.example", ["sre"]), out, "web2")
    assert (code, "may enter no server named 'web2'" in said) == (5, True)
    code, said = refused(sign_in("eve@acme.example", ["near"]), out)
    assert (code, "X.509 can hold no such bound" in said) == (4, True)
    assert "fix: run: ostiary ssh web1; or ask an owner" in said
    assert issued(world) == []


def test_a_step_up_is_asked_for_and_remembered_for_the_login(world, prod, sign_in, tmp_path):
    by = world.admin()
    project = by.call("GET", "/v1/projects/prod", kind=admin.Project)
    strong = admin.Settings(acr_values="phr")
    wanted = admin.ProjectWanted(project.generation, strong, tuple(RULES))
    by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
    ada = sign_in("ada@acme.example", ["sre"])
    code, said = refused(ada, tmp_path / "pass")
    assert code == 4
    assert "fix: run: ostiary login --step-up\n" in said
    who = ada.python(
        "from ostiary.doors.servers.client import place, talk;"
        "print(talk.ask(place.run_folder(), 'who')['acr_values'])"
    )
    assert who.stdout == "phr\n"
    strong = sign_in("ada@acme.example", ["sre"], acr="phr")
    done = strong.ostiary("servers", "certificate", "web1", "--out", tmp_path / "pass")
    assert done.returncode == 0, done.stderr


def test_a_device_that_was_revoked_gets_none(world, prod, sign_in, tmp_path):
    ada, by = sign_in("ada@acme.example", ["sre"]), world.admin()
    every = by.call("GET", "/v1/devices", kind=admin.Devices).devices
    (held,) = (one for one in every if one.person == "ada@acme.example")
    by.call("DELETE", f"/v1/devices/{held.id}")
    code, said = refused(ada, tmp_path / "pass")
    assert (code, "fix: run: ostiary login\n" in said) == (4, True)
    assert issued(world) == []


TRUSTED = """ostiary servers project show prod --json | jq -r '.authorities[] | select(.use == "x509" and .state != "retired") | .public_key' > authority.pem"""


def test_another_key_as_the_guide_has_it_and_services_take_both(world, prod, sign_in, tmp_path):
    """What an owner pastes gives the services what they have to trust, at each step."""
    owner, ada = sign_in("admin@acme.example", [ADMINS]), sign_in("ada@acme.example", ["sre"])
    guide = (TOP / "docs/how-to/servers-tls.md").read_text("utf-8")
    assert TRUSTED in guide
    if not shutil.which("jq"):
        (pytest.fail if STRICT else pytest.skip)("jq is needed: requirements/debian.txt")

    def certificate(name):
        done = ada.ostiary("servers", "certificate", "web1", "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
        return loaded(tmp_path / name)[:2]

    def rotate(step):
        words = ("servers", "project", "rotate", "prod", "--use", "x509", "--step", step, "--yes")
        assert f"ostiary {shlex.join(words[:-1])}\n" in guide
        return owner.ostiary(*words)

    def trusted():
        code = TRUSTED.replace("ostiary", f"{sys.executable} -P -m ostiary", 1)
        subprocess.run(["sh", "-c", code], env=owner.environ, cwd=owner.home, check=True)
        return x509.load_pem_x509_certificates((owner.home / "authority.pem").read_bytes())

    _, first = certificate("first")
    assert trusted() == [first]
    assert rotate("begin").returncode == 0
    assert certificate("again")[1] == first, "the new one does not sign yet"
    assert rotate("sign").returncode == 0
    leaf, second = certificate("second")
    assert second != first
    assert trusted() == [first, second]
    leaf.verify_directly_issued_by(second)
    early = rotate("finish")
    assert (early.returncode, "may be good for" in early.stderr) == (6, True)


def test_of_two_servers_of_a_name_the_project_says_which(world, prod, sign_in, tmp_path):
    world.project("lab", RULES, uid_start=61001, gid_start=64001)
    there = world.server("web1", "lab")
    ada, out = sign_in("ada@acme.example", ["sre"]), tmp_path / "pass"
    code, said = refused(ada, out)
    assert (code, "one is in each of lab, prod" in said) == (2, True)
    assert refused(ada, out, "web1", "--project", "lab")[0] == 5, "it has no authority yet"
    asked = admin.Rotation("x509", "begin")
    world.admin().call("POST", "/v1/projects/lab/authorities", asked, admin.Project)
    done = ada.ostiary("servers", "certificate", "web1", "--out", out, "--project", "lab")
    assert done.returncode == 0, done.stderr
    assert loaded(out)[0].subject.rfc4514_string() == f"CN=ada@{there.id}"


def test_nobody_signed_in_or_elsewhere(world, prod, sign_in, tmp_path):
    out = tmp_path / "pass"
    ada = sign_in("ada@acme.example", ["sre"])
    ada.environ["OSTIARY_CONTROL"] = "https://evil.example"
    code, said = refused(ada, out)
    assert (code, "nobody is signed in at https://evil.example" in said) == (4, True)
    del ada.environ["OSTIARY_CONTROL"]
    ada.ostiary("logout")
    code, said = refused(ada, out)
    assert (code, "fix: run: ostiary login\n" in said) == (4, True)
    assert issued(world) == []


def test_a_session_of_a_pipeline_in_a_file_needs_no_resident_agent(world, prod, tmp_path):
    pipeline = Person(tmp_path / "pipeline")
    file = pipeline.home / "token"
    robot = Robot("robot", "admin@acme.example")
    by = world.admin()
    made = by.call("GET", "/v1/projects/prod", kind=admin.Project)
    wanted = admin.ProjectWanted(made.generation, made.settings, made.rules, (robot.machine,))
    by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
    file.write_text(robot.sign_in(world).token)
    pipeline.environ |= {"OSTIARY_CONTROL": world.url, "OSTIARY_CONTROL_TOKEN_FILE": str(file)}
    out = tmp_path / "pass"
    done = pipeline.ostiary("servers", "certificate", "web1", "--out", out)
    assert done.returncode == 0, done.stderr
    assert sorted(one.name for one in out.iterdir()) == NAMES
    file.write_text(world.person("ada@acme.example", ["sre"]).token)
    code, said = refused(pipeline, tmp_path / "none")
    assert (code, "a request of the session" in said) == (4, True), "a stolen token opens nothing"


def test_a_control_plane_that_is_away_is_said_so(world, prod, sign_in, tmp_path):
    ada = sign_in("ada@acme.example", ["sre"])
    world._server.should_exit = True
    world._thread.join()
    code, said = refused(ada, tmp_path / "pass")
    assert code == 8
    assert "cannot get a certificate for web1: cannot reach the control plane" in said
    assert "breakglass" not in said, "that is for ssh"
