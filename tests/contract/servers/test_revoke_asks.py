"""``device revoke``, ``token revoke`` and ``preauthorization revoke``: they say what goes, ask at a terminal, and take ``--yes`` elsewhere."""

import io
import sys

import pytest
from held_session import held

from ostiary.cli import run
from ostiary.doors.servers.wire.admin import Devices, Preauthorizations, Settings, Tokens


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def ostiary(world, monkeypatch, capsys):
    """A command line of an administrator: exit code and stderr; ``says`` is typed at a terminal."""

    def typed(*arguments, says=None):
        with monkeypatch.context() as patch:
            talk = Terminal()
            if says is not None:
                patch.setattr(sys, "stdin", Terminal(f"{says}\n"))
                patch.setattr(sys, "stderr", talk)
            code = run(arguments)
        return code, talk.getvalue() + capsys.readouterr().err

    with held(world.url, world.admin().session) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield typed


def device(world):
    by = world.person("linus@acme.example", ["developers"])
    return by, by.session.device


def devices(world):
    held = world.admin().call("GET", "/v1/devices", kind=Devices).devices
    return [one.state for one in held if one.person == "linus@acme.example"]


def tokens(world):
    path = "/v1/projects/prod/tokens"
    return world.admin().call("GET", path, kind=Tokens).tokens


def preauthorizations(world):
    path = "/v1/projects/prod/preauthorizations"
    return world.admin().call("GET", path, kind=Preauthorizations).preauthorizations


def test_a_device_is_not_revoked_unasked(world, ostiary):
    _, device_id = device(world)
    code, said = ostiary("servers", "device", "revoke", device_id)
    assert code == 2
    assert f"whether to revoke laptop of linus@acme.example ({device_id}), and end its" in said
    assert "fix: add --yes" in said
    code, said = ostiary("servers", "device", "revoke", device_id, says="no")
    assert (code, "nothing was written" in said) == (2, True)
    assert devices(world) == ["active"]


def test_a_device_is_revoked_when_somebody_says_yes(world, ostiary):
    _, device_id = device(world)
    assert ostiary("servers", "device", "revoke", device_id, says="yes")[0] == 0
    assert devices(world) == ["revoked"]
    assert ostiary("servers", "device", "revoke", device_id, "--yes")[0] == 0


def test_a_token_is_not_revoked_unasked_and_is_with_yes(world, ostiary):
    world.project("prod")
    world.token(uses=20)
    (one,) = tokens(world)
    code, said = ostiary("servers", "token", "revoke", one.id, "--project", "prod")
    assert (code, "fix: add --yes" in said) == (2, True)
    assert f"revoke token {one.id} of project prod, good for 20 more hosts" in said
    assert not tokens(world)[0].revoked
    assert ostiary("servers", "token", "revoke", one.id, "--project", "prod", "--yes")[0] == 0
    assert tokens(world)[0].revoked


def test_a_preauthorization_is_not_revoked_unasked_and_is_when_somebody_says_yes(world, ostiary):
    world.project("prod", settings=Settings(preauthorization="required"))
    create = ("servers", "preauthorization", "create", "linus@acme.example", "--project", "prod")
    assert ostiary(*create, "--reason", "change 4711")[0] == 0
    assert ostiary(*create, "--reason", "change 4712")[0] == 0
    one, other = preauthorizations(world)
    revoke = ("servers", "preauthorization", "revoke", one.id, "--project", "prod")
    code, said = ostiary(*revoke)
    assert (code, "fix: add --yes" in said) == (2, True)
    assert f"revoke preauthorization {one.id} of linus@acme.example (good, until" in said
    assert ostiary(*revoke, says="no")[0] == 2
    assert [one.state for one in preauthorizations(world)] == ["good", "good"]
    code, said = ostiary(*revoke, says="yes")
    still = f"! {other.id} lets the rules of linus@acme.example count on every server still, until"
    assert (code, still in said) == (0, True)
    assert [one.state for one in preauthorizations(world)] == ["revoked", "good"]
    code, said = ostiary(*revoke[:3], other.id, *revoke[4:], "--yes")
    assert (code, "still" in said) == (0, False)
    assert [one.state for one in preauthorizations(world)] == ["revoked", "revoked"]


def test_what_is_not_there_is_said_before_anybody_is_asked(world, ostiary):
    world.project("prod")
    code, said = ostiary("servers", "token", "revoke", "tok_none", "--project", "prod")
    assert (code, "ostiary servers token list --project prod" in said) == (5, True)
    code, said = ostiary("servers", "device", "revoke", "dev_none")
    assert (code, "ostiary servers device list" in said) == (5, True)
