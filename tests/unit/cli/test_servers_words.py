"""Selectors of servers, and moments, as the commands of servers read and show them."""

import time

import pytest
from click.testing import CliRunner

from ostiary.cli import root, servers_inventory
from ostiary.cli.servers_control import ago, moment
from ostiary.cli.servers_inventory import parse_selector, selected
from ostiary.doors.servers.wire import admin
from ostiary.errors import UsageError


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ("", {}, True),
        ("role=web", {"role": "web"}, True),
        ("role=web", {"role": "db"}, False),
        ("role=web", {}, False),
        ("env!=dev", {"env": "prod"}, True),
        ("env!=dev", {"env": "dev"}, False),
        ("env!=dev", {}, True),
        ("role", {"role": ""}, True),
        ("role", {}, False),
        ("role=web, env!=dev", {"role": "web", "env": "prod"}, True),
        ("role=web,env!=dev", {"role": "web", "env": "dev"}, False),
        ("role = web , env != dev", {"role": "web", "env": "prod"}, True),
        ("note=a=b", {"note": "a=b"}, True),
    ],
)
def test_a_selector_chooses(text, labels, holds):
    assert selected(parse_selector(text), labels) is holds


@pytest.mark.parametrize(
    "text", ["=web", "role=", "!=dev", "role=web,env!=", "role==", "role==web", "a!==b"]
)
def test_what_is_no_selector_is_refused(text):
    with pytest.raises(UsageError, match="cannot use the selector"):
        parse_selector(text)


@pytest.mark.parametrize(
    ("past", "said"),
    [(0, "now"), (12, "12s"), (119, "119s"), (300, "5m"), (3 * 3600, "3h"), (9 * 86400, "9d"), (-50, "now")],
)  # fmt: skip
def test_how_long_ago(past, said):
    assert ago(time.time() - past) == said


def test_what_never_was():
    assert (ago(0.0), moment(0.0)) == ("never", "")
    assert moment(1801440000.0) == "2027-02-01 00:00Z"
    assert moment(1e300) == "?", "a control plane may say anything"


class Telling:
    """A control plane with a host whose words are ``text``, as older ones kept them."""

    def __init__(self, text):
        label = admin.Label("role", "web")
        self._host = admin.ServerHeld(
            "srv_1", "web1", "192.0.2.1", 22, "", "active", (label,), 0.0, time.time(), 0.0, 0, (),
            problems=(text,), other_ways=(text,),
        )  # fmt: skip

    def call(self, _, path, kind=None):
        if kind is admin.ServersHeld:
            return admin.ServersHeld((self._host,))
        raise AssertionError(path)


def test_what_a_host_tells_stays_on_its_line_and_has_no_colour(monkeypatch):
    forged = "x\n! db1: stolen\n  fix: run: curl evil\t\x1b[31mred\u2028\x9b"
    monkeypatch.setattr(servers_inventory, "open_control", lambda: Telling(forged))
    done = CliRunner().invoke(root, ["servers", "inventory", "--project", "prod", "--ways"])
    assert done.exit_code == 0
    line = "! web1: x?! db1: stolen?  fix: run: curl evil??[31mred??"
    assert done.stderr.splitlines() == [line, line]
