"""Which session goes to which control plane, and what an estate may not ask of a project that exists."""

import json
import os
import subprocess
import sys
from datetime import date

import pytest
from joserfc import jwk

from ostiary.doors.servers import kinds
from ostiary.doors.servers.control import projects
from ostiary.doors.servers.control.machine_faults import faults
from ostiary.doors.servers.wire.admin import ProjectWanted
from ostiary.doors.servers.wire.message import decode
from ostiary.errors import Denied, EstateError, UsageError
from ostiary.model.estate_text import parse
from ostiary.plan.change import Change, Plan

HEAD = 'estate: acme\nversion: 1\norg: {url: "https://acme.okta.com"}\n'
HERE = "http://127.0.0.1:9"


def estate(control=HERE, more=""):
    text = f'{HEAD}servers: {{control: "{control}", projects: {{prod: {{}}}}{more}}}\n'
    return parse(text, file="e.yaml")


@pytest.fixture
def environ(tmp_path):
    """Somebody who signed in to HERE by ``ostiary login``, with a token in a file."""
    folder = tmp_path / "ostiary"
    folder.mkdir()
    (folder / "client.json").write_text(json.dumps({"control": HERE}))
    (tmp_path / "token").write_text("secret")
    return {"XDG_CONFIG_HOME": str(tmp_path), "OSTIARY_CONTROL_TOKEN_FILE": str(tmp_path / "token")}


def token_for(url, environ):
    part = kinds.open_part(estate(url), environ)
    return part.control._authorize("GET", "/", b"")["Authorization"]


def test_the_session_goes_to_who_was_signed_in_to(environ):
    assert token_for(HERE, environ) == "Bearer secret"
    assert token_for(f"{HERE}/", environ) == "Bearer secret"


@pytest.mark.parametrize("url", ["http://127.0.0.1:10", "https://control.acme.example", "http://localhost:9"])  # fmt: skip
def test_and_to_nobody_else(url, environ):
    with pytest.raises(Denied) as refused:
        token_for(url, environ)
    assert refused.value.fix == f"export OSTIARY_CONTROL={url}"
    del environ["OSTIARY_CONTROL_TOKEN_FILE"]
    with pytest.raises(Denied) as refused:
        token_for(url, environ)
    assert refused.value.fix == f"run: ostiary login --control {url}"


def test_a_control_plane_in_the_environment_must_be_one(environ):
    named = estate("${env:WHERE}")
    with pytest.raises(UsageError, match="plain http only"):
        kinds.open_part(named, {**environ, "WHERE": "http://control.acme.example"})
    with pytest.raises(EstateError, match="environment variable is not set"):
        kinds.open_part(named, environ)


def test_an_estate_without_servers_has_no_part():
    with pytest.raises(EstateError, match="no servers"):
        kinds.open_part(parse(HEAD, file="e.yaml"), {})


def test_what_is_given_once_is_a_problem_of_the_estate(environ):
    part = kinds.open_part(estate(), environ)
    (wanted,) = part.resources(date(2026, 11, 27))
    before = {**wanted.wanted, "uid_start": 5000}
    change = Change("update", wanted.key, before, dict(wanted.wanted), ("uid_start",))
    made = Plan("acme", "", "", (), (change,))
    assert part.problems(made) == (
        "e.yaml:4: uid_start of project 'prod' is 5000 and is given once, not 60001",
    )
    assert part.problems(Plan("acme", "", "", (), ())) == ()


def test_machines_and_rules_that_have_ended_are_told(environ):
    text = HEAD + (
        f'servers: {{control: "{HERE}", projects: {{prod: {{}}}}, machines: {{ci: {{project: prod, kind: aws, owner: a@b,'
        ' until: 2026-01-01, arn: "arn:aws:iam::111122223333:role/Ci"}}}\n'
        "assignments:\n  - {machine: ci, may: {login: prod}}\n"
        "  - {user: k@b, may: {login: prod}, until: 2026-02-01, reason: audit}\n"
    )
    part = kinds.open_part(parse(text, file="e.yaml"), environ)
    told = part.warnings(date(2026, 3, 1), Plan("acme", "", "", (), ()))
    assert [line.partition(": ")[2].partition(":")[0] for line in told] == [
        "the assignment of user k@b ended on 2026-02-01",
        "machine ci ended on 2026-01-01",
    ]
    (wanted,) = part.resources(date(2026, 3, 1))
    assert (wanted.wanted["access"], wanted.wanted["machines"]) == ([], {})


def test_numbers_that_meet_those_of_systemd_are_told_before_they_are_given(environ):
    """Once: when the project is to be made. Afterwards they are given, and a plan has nothing new to say."""
    more = f'servers: {{control: "{HERE}", projects: {{prod: {{}}, dev: {{uid_start: 70001, gid_start: 73001}}}}}}\n'
    part = kinds.open_part(parse(HEAD + more, file="e.yaml"), environ)
    created, kept = (
        tuple(Change(action, one.key) for one in part.resources(date(2026, 3, 1)))
        for action in ("create", "update")
    )
    told = part.warnings(date(2026, 3, 1), Plan("acme", "", "", (), created))
    assert [line.partition(", which")[0] for line in told] == [
        "e.yaml:4: project prod: UIDs from 60001 reach 60001-60513",
        "e.yaml:4: project prod: GIDs from 63001 reach 61184-65519",
    ]
    assert part.warnings(date(2026, 3, 1), Plan("acme", "", "", (), kept)) == ()


def test_an_estate_without_servers_loads_nothing_of_them(tmp_path):
    """Who only federates accounts pays nothing for the server door: neither its client nor its database."""
    (tmp_path / "e.yaml").write_text(HEAD)
    program = """
import sys
from pathlib import Path
from ostiary.cli.work import with_servers
from ostiary.doors.federation.work import open_estate
from ostiary.settings import load
work = with_servers(open_estate(load(estate_file=sys.argv[1]), "plan"))
assert not work.connected.parts
print([one for one in sys.modules if one.startswith(("ostiary.doors.servers", "sqlalchemy"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "e.yaml"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OKTA_CLIENT_TOKEN": "t", "AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_that_hosts_will_have_nobody_for_break_glass_is_told_with_the_plan_that_makes_it_so(
    environ,
):
    text = f'{HEAD}servers: {{control: "{HERE}", projects: {{prod: {{uid_start: 70001, gid_start: 73001, preauthorization: required}}}}}}\n'
    part = kinds.open_part(parse(text, file="e.yaml"), environ)
    (wanted,) = part.resources(date(2026, 3, 1))
    open_ = {**wanted.wanted, "settings": {**wanted.wanted["settings"], "preauthorization": "none"}}
    told = {}
    for name, action, before in (
        ("new", "create", None),
        ("turned on", "update", open_),
        ("other", "update", wanted.wanted),
        ("not ours", "foreign", open_),
    ):
        change = Change(action, wanted.key, before, dict(wanted.wanted))
        told[name] = part.warnings(date(2026, 3, 1), Plan("acme", "", "", (), (change,)))
    assert told["other"] == told["not ours"] == ()
    for name in ("new", "turned on"):
        (line,) = told[name]
        assert line.startswith("e.yaml:4: project prod: while nobody is preauthorized"), line


def test_that_access_is_standing_again_is_told_with_the_plan_that_makes_it_so(environ):
    text = f'{HEAD}servers: {{control: "{HERE}", projects: {{prod: {{uid_start: 70001, gid_start: 73001}}}}}}\n'
    part = kinds.open_part(parse(text, file="e.yaml"), environ)
    (wanted,) = part.resources(date(2026, 3, 1))
    shut = {
        **wanted.wanted,
        "settings": {**wanted.wanted["settings"], "preauthorization": "required"},
    }
    told = {}
    for name, action, before in (
        ("opened", "update", shut),
        ("open", "update", wanted.wanted),
        ("not ours", "foreign", shut),
    ):
        change = Change(action, wanted.key, before, dict(wanted.wanted))
        told[name] = part.warnings(date(2026, 3, 1), Plan("acme", "", "", (), (change,)))
    assert told["open"] == told["not ours"] == ()
    (line,) = told["opened"]
    assert line.startswith("e.yaml:4: project prod: nobody needs a preauthorization any more"), line


MACHINES = """
    oidc: {project: prod, kind: oidc, owner: a@b, until: 2027-01-31, issuer: "https://ci.example", audience: ostiary,
           claims: {sub: "repo:acme/web:ref:refs/heads/main", environment: prod}}
    key: {project: prod, kind: private-key-jwt, owner: a@b, until: 2027-01-31, public_keys_file: jwks.json}
    role: {project: prod, kind: aws, owner: a@b, until: 2027-01-31, arn: "arn:aws:iam::111122223333:role/path/Ci", rate: 7}
"""


def test_what_the_estate_takes_the_control_plane_takes(environ):
    key = jwk.ECKey.generate_key("P-256", {"kid": "k1"}).as_dict(private=False)
    text = f'{HEAD}servers:\n  control: "{HERE}"\n  projects: {{prod: {{accounts: ["111122223333/eu-west-1"]}}}}\n  machines:{MACHINES}'
    read = parse(text, file="e.yaml", read_file=lambda _: json.dumps({"keys": [dict(key)]}))
    (wanted,) = kinds.open_part(read, environ).resources(date(2026, 11, 27))
    asked = {name: wanted.wanted[name] for name in ("settings", "rules")}
    asked |= {"v": 1, "generation": 1, "machines": list(wanted.wanted["machines"].values())}
    message = decode(ProjectWanted, json.dumps(asked).encode())
    assert {one.name for one in message.machines} == {"oidc", "key", "role"}
    assert [fault for one in message.machines for fault in faults(one)] == []
    assert projects._faults(message.settings) == []
