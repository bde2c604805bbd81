"""Whatever was asked of a project that was deleted before it is written: refused, and nothing of it is kept."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from control_world import Refused
from joserfc import jwk
from sqlalchemy import func, select

from ostiary.doors.servers.control.tables import (
    audit,
    enrollment_tokens,
    entitlements,
    machines,
    preauthorizations,
)
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Machine, NewProject, ProjectWanted, Rule, Settings

OWNER = "olga@acme.example"


@pytest.fixture
def owner(both):
    both.project("prod", [], Settings(owners=("platform",)))
    return both.person(OWNER, ["platform"])


def robot():
    key = jwk.ECKey.generate_key("P-256", {"kid": "own"})
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    return Machine("robot", "private-key-jwt", OWNER, time.time() + 86400, public_keys=public)


@contextmanager
def held_up(world, monkeypatch, who):
    """What somebody asks waits before it is written: the events are set when it does, and to let it go on."""
    writer = type(world.services.writer)
    write, there, go = writer.write, threading.Event(), threading.Event()

    def late(self, ids, work, by=""):
        if by == who and not there.is_set():
            there.set()
            assert go.wait(20)
        return write(self, ids, work, by)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", late)
        try:
            yield there, go
        finally:
            go.set()


def put(owner):
    now = owner.call("GET", "/v1/projects/prod", kind=admin.Project)
    rules = (Rule("machine:robot", login=True),)
    return (
        "PUT",
        "/v1/projects/prod",
        ProjectWanted(now.generation, now.settings, rules, (robot(),)),
    )


def token(_):
    return "POST", "/v1/projects/prod/tokens", admin.NewToken(1, 600)


def preauthorization(_):
    asked = admin.NewPreauthorization(OWNER, 600, "deploy")
    return "POST", "/v1/projects/prod/preauthorizations", asked


def rotation(_):
    return "POST", "/v1/projects/prod/authorities", admin.Rotation("user", "begin")


@pytest.mark.parametrize("ask", [put, token, preauthorization, rotation])
def test_what_is_written_after_the_deletion_is_refused(both, owner, monkeypatch, ask):
    asked = ask(owner)
    by = both.admin()
    old = by.call("GET", "/v1/projects/prod", kind=admin.Project)
    with ThreadPoolExecutor(1) as pool, held_up(both, monkeypatch, OWNER) as (there, go):
        answer = pool.submit(owner.call, *asked)
        assert there.wait(20)
        by.call("DELETE", "/v1/projects/prod")
        go.set()
        with pytest.raises(Refused) as no:
            answer.result()
    assert (no.value.status, no.value.code) == (404, "no-project")
    with both.services.database.reading() as connection:
        events = select(audit.c.event).where(audit.c.project_id == old.id)
        last = connection.scalars(events.order_by(audit.c.number.desc()).limit(1)).one()
        left = [
            connection.scalar(select(func.count()).where(table.c.project_id == old.id))
            for table in (machines, entitlements, enrollment_tokens, preauthorizations)
        ]
    assert last == "project.deleted"
    assert left == [0, 0, 0, 0]
    new = by.call("POST", "/v1/projects", NewProject("prod", 60001, 63001), admin.Project)
    wanted = ProjectWanted(new.generation, new.settings, (), (robot(),))
    assert by.call("PUT", "/v1/projects/prod", wanted, admin.Project).machines[0].name == "robot"


def test_a_project_is_deleted_once(both, owner, monkeypatch):
    first, second = both.admin(), both.person("bea@acme.example", ["ostiary-admins"])
    with (
        ThreadPoolExecutor(1) as pool,
        held_up(both, monkeypatch, "bea@acme.example") as (there, go),
    ):
        answer = pool.submit(second.call, "DELETE", "/v1/projects/prod")
        assert there.wait(20)
        first.call("DELETE", "/v1/projects/prod")
        go.set()
        with pytest.raises(Refused) as no:
            answer.result()
    assert no.value.code == "no-project"
    with both.services.database.reading() as connection:
        events = connection.scalars(select(audit.c.event)).all()
    assert events.count("project.deleted") == 1
