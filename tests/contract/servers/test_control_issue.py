"""What is in a certificate, by ``ssh-keygen -L``; and who gets none."""

import json
import re
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest
from control_world import Refused
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from ostiary.doors.servers.control.chain import Row, faults
from ostiary.doors.servers.control.tables import audit, certificates, people
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Label, Rule
from ostiary.doors.servers.wire.host import SudoRule
from ostiary.doors.servers.wire.person import CertificateRequest, Issued, Servers
from ostiary.pki import ssh_certificate, ssh_key


def shown(certificate):
    """The lines of ``ssh-keygen -L``, without the first, which names the file."""
    done = subprocess.run(
        ["ssh-keygen", "-L", "-f", "-"],
        input=certificate,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.strip() for line in done.stdout.splitlines()[1:]]


def listed(lines, heading):
    """What follows a heading of ``ssh-keygen -L``."""
    at = next(n for n, line in enumerate(lines) if line.startswith(heading))
    found = []
    for line in lines[at + 1 :]:
        if re.match(r"[A-Z][A-Za-z ]+:", line):
            break
        found.append(line)
    return found if "(none)" not in lines[at] else []


FLAGS = {"permit-pty", "permit-port-forwarding", "permit-agent-forwarding", "permit-X11-forwarding"}
CASES = {
    "login": (Rule("group:sre", login=True), {"permit-pty"}, []),
    "admin": (Rule("group:sre", admin=True), {"permit-pty"}, []),
    "forward": (
        Rule("group:sre", login=True, forward=("db.internal:5432",)),
        {"permit-pty", "permit-port-forwarding"},
        [],
    ),
    "agent": (
        Rule("group:sre", login=True, agent_forwarding=True, x11=True),
        {"permit-pty", "permit-agent-forwarding", "permit-X11-forwarding"},
        [],
    ),
    "sftp": (Rule("group:sre", login=True, sftp_only=True), set(), ["force-command internal-sftp"]),
    "command": (
        Rule("group:sre", login=True, force_command="/usr/bin/uptime"),
        {"permit-pty"},
        ["force-command /usr/bin/uptime"],
    ),
    "address": (
        Rule("group:sre", login=True, source_address=("192.0.2.0/24", "2001:db8::/32")),
        {"permit-pty"},
        ["source-address 192.0.2.0/24,2001:db8::/32"],
    ),
}


class Place:
    """A project of its own with one server, in a control plane that others use too; who is in ``group`` may log in."""

    def __init__(self, world, rule=None):
        self.world = world
        self.name = self.group = f"p{secrets.token_hex(5)}"
        rule = replace(rule or Rule("", login=True), subject=f"group:{self.group}")
        self.project = world.project(self.name, [rule])
        self.web = world.server("web1", self.name)

    def person(self, login="alice@acme.example", **more):
        return self.world.person(login, [self.group], **more)

    def count(self):
        """The certificates that were issued here."""
        table = certificates
        query = select(table.c.serial).where(table.c.project_id == self.project.id)
        with self.world.services.database.reading() as connection:
            return len(connection.execute(query).all())


@pytest.fixture
def place(lasting):
    return Place(lasting)


@pytest.mark.parametrize("case", CASES)
def test_ssh_keygen_shows_what_the_rules_say(lasting, case):
    rule, flags, critical = CASES[case]
    place = Place(lasting, rule)
    project, web = place.project, place.web
    alice = place.person()
    before = int(time.time())
    issued = alice.certificate("web1")
    lines = shown(issued.certificate)
    authority = next(one for one in project.authorities if one.use == "user")
    assert lines[0] == "Type: ssh-ed25519-cert-v01@openssh.com user certificate"
    assert f"Signing CA: ED25519 {ssh_key.parse(authority.public_key).fingerprint}" in lines[2]
    assert lines[3] == f'Key ID: "alice@acme.example {issued.serial}"'
    assert lines[4] == f"Serial: {issued.serial}"
    assert listed(lines, "Principals:") == [f"alice@{web.id}"]
    assert listed(lines, "Critical Options:") == critical
    extensions = listed(lines, "Extensions:")
    assert {one for one in extensions if one in FLAGS} == flags
    custom = {one.split(" ")[0] for one in extensions if one not in FLAGS}
    assert custom == {"person@ostiary", "device@ostiary", "project@ostiary", "purpose@ostiary"}
    made = ssh_certificate.parse(issued.certificate)
    assert before - 60 <= made.valid_after <= time.time() - 60 + 1
    assert made.valid_before - made.valid_after == 180
    assert 0 < made.serial < 2**63


def test_a_hop_is_for_the_bastion_alone_and_gives_no_shell(world):
    rule = Rule(
        "group:sre",
        login=True,
        servers=(Label("role", "web"),),
        source_address=("192.0.2.0/24",),
        force_command="/usr/bin/uptime",
    )
    world.project("prod", [rule])
    gate = world.server("gate", address="192.0.2.1")
    web = world.server("web1", labels={"role": "web"}, bastion="gate", address="10.0.0.5")
    alice = world.person("alice@acme.example", ["sre"])
    (by_name,) = [
        one for one in alice.call("GET", "/v1/servers", kind=Servers).servers if one.name == "gate"
    ]
    assert by_name.may == ("hop",)
    hop = alice.certificate("gate", "hop", "web1")
    lines = shown(hop.certificate)
    assert listed(lines, "Principals:") == [f"alice@{gate.id}.hop"]
    assert listed(lines, "Critical Options:") == ["source-address 192.0.2.0/24"]
    assert "permit-pty" not in listed(lines, "Extensions:")
    assert "permit-port-forwarding" in listed(lines, "Extensions:")
    shell = shown(alice.certificate("web1").certificate)
    assert listed(shell, "Critical Options:") == ["force-command /usr/bin/uptime"]
    with pytest.raises(Refused) as no:
        alice.certificate("gate")
    assert (no.value.status, no.value.code) == (403, "hop-only")
    (entry,) = gate.state().users[0].entries
    assert (entry.hop, entry.forward) == (True, ("10.0.0.5:22",))
    assert [one.principal for one in web.state().users[0].entries] == [f"alice@{web.id}"]


def test_who_may_only_pass_through_is_told_so_and_where_to(world):
    world.project("prod", [Rule("group:sre", login=True, servers=(Label("role", "web"),))])
    gate = world.server("gate")
    for number in range(7):
        world.server(f"web{number}", labels={"role": "web"}, bastion="gate")
    world.server("db1", labels={"role": "db"}, bastion="gate")
    alice = world.person("alice@acme.example", ["sre"])
    for name in ("gate", gate.id):
        with pytest.raises(Refused) as no:
            alice.certificate(name)
        assert no.value.refusal.why == (
            "alice@acme.example may pass through gate, not enter it: no rule lets you in there;"
            " behind it you may enter web0, web1, web2, web3, web4 and 2 more"
        )
        assert no.value.refusal.fix == "run: ostiary ssh web0"
    bob = world.person("bob@acme.example", ["others"])
    with pytest.raises(Refused) as no:
        bob.certificate("gate")
    assert no.value.code == "no-server"


def test_no_hop_for_who_may_not_enter_behind_or_by_another_bastion(world):
    world.project("prod", [Rule("group:sre", login=True, servers=(Label("role", "web"),))])
    world.server("gate")
    world.server("other")
    world.server("web1", labels={"role": "web"}, bastion="gate")
    world.server("db1", labels={"role": "db"}, bastion="gate")
    alice = world.person("alice@acme.example", ["sre"])
    for bastion, behind, code in (
        ("gate", "db1", "no-server"),
        ("other", "web1", "not-entitled"),
        ("gate", "gate", "no-server"),
        ("web1", "web1", "not-entitled"),
    ):
        with pytest.raises(Refused) as no:
            alice.certificate(bastion, "hop", behind)
        assert no.value.code == code, (bastion, behind)


HOSTILE = {
    "RSA of 1024 bits": lambda: key_text(rsa.generate_private_key(65537, 1024)),
    "DSA": lambda: "ssh-dss AAAAB3NzaC1kc3MAAAAEAAAAAwAAAAQAAAAFAAAABgAAAAQAAAAH",
    "no base64": lambda: "ssh-ed25519 ????",
    "two lines": lambda: f"{plain()}\n{plain()}",
    "options in front": lambda: f'command="/bin/sh" {plain()}',
    "another type in front": lambda: plain().replace("ssh-ed25519", "ssh-rsa"),
    "bytes behind": lambda: plain() + "AAAA",
    "nothing": lambda: "",
}


def key_text(key):
    return ssh_key.of(key.public_key()).text()


def plain():
    return key_text(Ed25519PrivateKey.generate())


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_key_gets_no_certificate(place, what):
    asked = CertificateRequest("web1", HOSTILE[what](), "login")
    with pytest.raises(Refused) as no:
        place.person().call("POST", "/v1/certificates", asked, Issued)
    assert no.value.status == 400
    assert place.count() == 0


def test_a_certificate_is_no_key(place):
    alice = place.person()
    asked = CertificateRequest("web1", alice.certificate("web1").certificate, "login")
    with pytest.raises(Refused) as no:
        alice.call("POST", "/v1/certificates", asked, Issued)
    assert no.value.status == 400
    assert place.count() == 1


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ed25519", "p256", "p521", "rsa"],
)
def test_a_key_keeps_its_type(place, key):
    issued = place.person().certificate("web1", key=key)
    assert ssh_certificate.parse(issued.certificate).key == ssh_key.of(key.public_key())


def test_a_fido_key_keeps_its_type(place):
    body = ssh_key.of(Ed25519PrivateKey.generate().public_key()).body
    key = ssh_key.PublicKey(ssh_key.SK_ED25519, body + b"\0\0\0\4ssh:")
    asked = CertificateRequest("web1", key.text(), "login")
    issued = place.person().call("POST", "/v1/certificates", asked, Issued)
    assert shown(issued.certificate)[0].startswith("Type: sk-ssh-ed25519-cert-v01@openssh.com")


LOGINS = {
    "root@acme.example": "user",
    "ALL@acme.example": "user",
    "0@acme.example": "user",
    "-rf@acme.example": "rf",
    "deploy,root@acme.example": "deploy-root",
    "*@acme.example": "user",
    "a;b@acme.example": "a-b",
    "$(id)@acme.example": "id",
    "../../etc@acme.example": "etc",
    "ünï@acme.example": "n",
    "x" * 300 + "@acme.example": "x" * 32,
}


@pytest.mark.parametrize("login", LOGINS)
def test_hostile_logins_become_names_that_nobody_has(place, login):
    with place.world.services.database.reading() as connection:
        taken = set(connection.scalars(select(people.c.local_login)))
    name = LOGINS[login]
    if name == "user":  # with the first number that nobody of any project has
        name = next(one for number in count(1) if (one := f"user{number}") not in taken)
    issued = place.person(login).certificate("web1")
    assert issued.login == name
    assert listed(shown(issued.certificate), "Principals:") == [f"{name}@{place.web.id}"]


@pytest.mark.parametrize(
    "login",
    ["machine:ci", "a\nb@acme.example", "a\0b@acme.example", "", None],
)
def test_who_is_called_like_no_person_does_not_sign_in(lasting, login):
    with pytest.raises(Refused) as no:
        lasting.person("x@acme.example", preferred_username=login)
    assert no.value.status in (401, 403)


def test_step_up_says_what_is_asked(world):
    settings = admin.Settings(acr_values="urn:okta:loa:2fa:any phr", max_age=600)
    world.project("prod", [Rule("group:sre", login=True)], settings)
    world.server("web1")
    weak = world.person("alice@acme.example", ["sre"], acr="urn:okta:loa:1fa:any")
    with pytest.raises(Refused) as no:
        weak.certificate("web1")
    assert (no.value.status, no.value.code) == (403, "step-up")
    assert no.value.refusal.acr_values == settings.acr_values
    assert no.value.refusal.max_age == 600
    old = world.person("alice@acme.example", ["sre"], acr="phr", auth_time=int(time.time()) - 700)
    with pytest.raises(Refused) as no:
        old.certificate("web1")
    assert "700 s old" in no.value.refusal.why or "701 s old" in no.value.refusal.why
    assert world.person("alice@acme.example", ["sre"], acr="phr").certificate("web1")


def test_two_servers_of_one_name_are_told_apart(world):
    rules = [Rule("group:sre", login=True)]
    world.project("prod", rules)
    world.project("test", rules)
    world.server("web1", "prod")
    there = world.server("web1", "test")
    alice = world.person("alice@acme.example", ["sre"])
    with pytest.raises(Refused) as no:
        alice.certificate("web1")
    assert no.value.code == "ambiguous"
    assert alice.certificate("web1", project="test").server.server_id == there.id
    assert alice.certificate(there.id).server.project == "test"
    with pytest.raises(Refused):
        alice.certificate("web1", project="none")


def test_many_at_once_get_serials_of_their_own_and_one_whole_chain(both):
    both.project("prod", [Rule("group:sre", login=True, sudo=(SudoRule("all", ("ALL",)),))])
    both.server("web1")
    people = [both.person(f"p{n}@acme.example", ["sre"]) for n in range(16)]

    def ask(person):
        return [person.certificate("web1") for _ in range(8)]

    with ThreadPoolExecutor(16) as pool:
        issued = [one for some in pool.map(ask, people) for one in some]
    assert len({one.serial for one in issued}) == 128
    assert len({one.login for one in issued}) == 16
    with both.services.database.reading() as connection:
        serials = {str(one) for one in connection.scalars(select(certificates.c.serial))}
        rows = [Row(*one) for one in connection.execute(select(audit).order_by(audit.c.number))]
    assert serials == {one.serial for one in issued}
    assert list(faults(rows)) == []
    told = [json.loads(one.body) for one in rows if one.event == "certificate.issued"]
    assert {one["serial"] for one in told} == serials
    assert {one["because"][0] for one in told} == {"group:sre"}
    assert all(one["source"] == "127.0.0.1" and one["key"].startswith("SHA256:") for one in told)
