"""``ostiary servers certificate`` as people use it: OpenSSL and PostgreSQL let in who it is for, and nobody else."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import time
from subprocess import DEVNULL

import pytest
from door_proofs import rows
from door_world import Client, Door, Site, certificate_for, listens, until
from free_port import free_port
from postgres_world import server

pytestmark = pytest.mark.root
EVERYBODY = [
    {"subject": "group:platform-engineering", "login": True},
    {"subject": "machine:deploy", "login": True},
]
SITE = Site(
    {"web1": "prod", "web2": "prod", "lab1": "lab"},
    {},
    {"prod": EVERYBODY, "lab": EVERYBODY[:1]},
    ("ken",),
)
PORT = 8443
PID = "/run/service.pid"


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door"), SITE) as door:
        door.fill()
        yield door


@pytest.fixture(scope="module")
def ada(door):
    """Administrator of both projects: she does what the refusal says, and each project has an X.509 authority."""
    ada = door.people["ada"]
    for host, project in (("web1", "prod"), ("lab1", "lab")):
        refused = ada.ostiary("servers", "certificate", host, "--out", "none", check=False)
        assert refused.returncode == 5, refused.stderr
        said = re.search(r"fix: ask an owner of the project for: ostiary (.+)\n", refused.stderr)
        assert f" {project} " in said[1]
        ada.ostiary(*shlex.split(said[1]), "--yes")
    assert not (ada.home / "none").exists()
    return ada


@pytest.fixture(scope="module")
def https(door, ada):
    """The files of a service on web1 for whoever has a certificate, and its authority as an administrator reads it."""
    host, folder = door["web1"], door.folder / "service"
    folder.mkdir()
    trusted, own = certificate_for(folder, "web1", host.address)
    shown = json.loads(ada.ostiary("servers", "project", "show", "prod", "--json").stdout)
    (authority,) = [one["public_key"] for one in shown["authorities"] if one["use"] == "x509"]
    host.write("/root/service.pem", own.read_text(), 0o600)
    host.write("/root/authority.pem", authority)
    shutil.copy(trusted, ada.home / "service-ca.pem")
    shutil.copy(trusted, door.people["ken"].home / "service-ca.pem")
    return host


@contextlib.contextmanager
def serving(host, *options):
    """OpenSSL's own server on a host; ``options`` are further ones of its verification."""
    argv = ["openssl", "s_server", "-accept", PORT, "-www", "-cert", "/root/service.pem"]
    verify = ["-CAfile", "/root/authority.pem", "-Verify", "1", "-verify_return_error", *options]
    run = f"echo $$ > {PID}; exec {shlex.join(map(str, [*argv, *verify]))}"
    process = host.popen(["sh", "-c", run], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    try:
        there = ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"]
        until(lambda: host.run(there, check=False).returncode == 0)
        yield
    finally:
        host.run(["kill", host.read(PID).strip()])
        process.wait(10)


def curl(person, host, *options):
    """What curl says to the service, from the person's home: exit code, page, talk."""
    options = ("--silent", "--show-error", "--cacert", "service-ca.pem", *options)
    done = person.run("curl", *options, f"https://{host.address}:{PORT}/", check=False)
    return done.returncode, done.stdout, done.stderr


def test_curl_enters_as_it_was_told_and_the_audit_has_it(door, ada, https):
    done = ada.ostiary("servers", "certificate", "web1", "--out", "pass")
    said = re.search(r"use it: (curl .+) https://(\S+)/\n", done.stderr)
    assert said[2] == https.address
    with serving(https):
        code, page, talk = curl(ada, https, *shlex.split(said[1])[1:])
        assert code == 0, talk
        assert re.search(rf"Subject: CN ?= ?ada@{door.ids['web1']}\n", page), page
        code, page, talk = curl(ada, https)
        assert (page, "alert certificate required" in talk) == ("", True), talk
        assert code != 0
    shown = ada.run(
        "openssl", "x509", "-in", "pass/certificate.pem", "-noout", "-serial", "-subject"
    ).stdout
    serial = str(int(re.search(r"serial=([0-9A-F]+)", shown)[1], 16))
    assert f"CN = ada@{door.ids['web1']}" in shown
    (row,) = rows(door, serial=serial)
    assert (row["purpose"], row["person_login"]) == ("x509", "ada@acme.example")
    assert (row["server"], row["server_name"]) == (door.ids["web1"], "web1")
    assert row["device"] != ""
    reconciled = ada.ostiary("audit", "reconcile", "--project", "prod", check=False)
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr


def test_of_another_project_or_after_its_time_nobody_enters(door, ada, https):
    ada.ostiary("servers", "certificate", "web1", "--out", "mine")
    ada.ostiary("servers", "certificate", "lab1", "--out", "lab")
    mine, lab = (
        ("--cert", f"{one}/certificate.pem", "--key", f"{one}/key.pem") for one in ("mine", "lab")
    )
    with serving(https):
        assert curl(ada, https, *mine)[0] == 0
        assert "alert unknown ca" in curl(ada, https, *lab)[2]
    later = int(time.time()) + 130
    with serving(https, "-attime", str(later)):
        assert "alert certificate expired" in curl(ada, https, *mine)[2]
    judged = {
        (authority, when): ada.run(
            *("openssl", "verify", "-purpose", "sslclient", "-attime", when),
            *("-CAfile", f"{authority}/authority.pem", "mine/certificate.pem"),
            check=False,
        )
        for authority in ("mine", "lab")
        for when in (str(int(time.time())), str(later))
    }
    good = [key for key, done in judged.items() if done.returncode == 0]
    assert [authority for authority, _ in good] == ["mine"]
    assert "certificate has expired" in judged["mine", str(later)].stderr
    no_server = ("openssl", "verify", "-purpose", "sslserver", "-CAfile", "mine/authority.pem")
    assert ada.run(*no_server, "mine/certificate.pem", check=False).returncode != 0


def test_who_may_not_enter_the_server_gets_no_certificate_for_it(door, ada):
    ken = door.people["ken"]
    done = ken.ostiary("servers", "certificate", "web1", "--out", "pass", check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert not (ken.home / "pass").exists()


def test_a_machine_gets_one_by_its_own_key_and_bounds(door, ada):
    machine = Client(door, "deploy")
    signing_in = ("--control", door.url, "--ca", door.ca_file, "--machine", "deploy")
    machine.ostiary("login", *signing_in, "--key-file", door.machine_key)
    done = machine.ostiary("servers", "certificate", "web1", "--out", "pass", "--json")
    told = json.loads(done.stdout)
    (row,) = rows(door, serial=told["serial"])
    assert (row["person_login"], row["purpose"]) == ("machine:deploy", "x509")
    assert told["name"] == f"{told['login']}@{door.ids['web1']}"
    elsewhere = machine.ostiary("servers", "certificate", "lab1", "--out", "lab", check=False)
    assert elsewhere.returncode == 5


@pytest.fixture(scope="module")
def database(door, ada):
    """A PostgreSQL for web1, as the guide sets it up; ``psql`` of a user with the files of a folder."""
    with server() as one:
        trusted, own = certificate_for(one.folder, "localhost", "127.0.0.1")
        ada.ostiary("servers", "certificate", "web1", "--out", "pass")
        authority = one.folder / "authority.pem"
        authority.write_bytes((ada.home / "pass/authority.pem").read_bytes())
        for file in (trusted, own, authority):
            shutil.chown(file, "nobody")
        one.make()
        (one.folder / "data/pg_hba.conf").write_text(
            "local all ostiary trust\nhostssl all all 127.0.0.1/32 cert map=people\n"
        )
        ours = re.escape(door.ids["web1"])
        (one.folder / "data/pg_ident.conf").write_text(f"people /^(.*)@{ours}$ \\1\n")
        port = free_port()
        one.start(
            "listen_addresses=127.0.0.1",
            f"port={port}",
            "ssl=on",
            f"ssl_cert_file={own}",
            f"ssl_key_file={own}",
            f"ssl_ca_file={authority}",
        )
        assert listens(port)
        for user in ("ada", "grace"):
            made = f"create role {user} login"
            psql(f"host={one.folder} port={port} user=ostiary dbname=postgres", made)

        def ask(user, folder):
            files = f"sslcert={folder}/certificate.pem sslkey={folder}/key.pem"
            there = f"host=127.0.0.1 port={port} user={user} dbname=postgres"
            trust = f"sslmode=verify-full sslrootcert={trusted}"
            return psql(f"{there} {trust} {files}", "select current_user", check=False)

        yield ask


def psql(where, statement, *, check=True):
    argv = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, where]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_psql_enters_the_server_that_the_certificate_is_for_as_oneself(door, ada, database):
    for host in ("web1", "web2", "lab1"):
        ada.ostiary("servers", "certificate", host, "--out", f"at-{host}")
    entered = database("ada", ada.home / "at-web1")
    assert (entered.returncode, entered.stdout) == (0, "ada\n"), entered.stderr
    other = database("grace", ada.home / "at-web1")
    assert (other.returncode, "certificate authentication failed" in other.stderr) == (2, True)
    beside = database("ada", ada.home / "at-web2")
    assert (beside.returncode, "certificate authentication failed" in beside.stderr) == (2, True)
    foreign = database("ada", ada.home / "at-lab1")
    assert (foreign.returncode, foreign.stdout) == (2, "")
    assert "unknown ca" in foreign.stderr, foreign.stderr
