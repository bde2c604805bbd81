"""An import on a real terminal: the bar goes through all states with the service's own words, and Ctrl-C ends cleanly."""

from __future__ import annotations

import re

import pytest
from test_cli_terminal import Terminal


@pytest.fixture
def ready(own_sandbox):
    own_sandbox.up()
    made = own_sandbox.ostiary("sandbox", "appliance", "oag.ova")
    assert made.returncode == 0, made.stderr
    return own_sandbox


def imported(sandbox, route):
    terminal = Terminal(
        sandbox, "gateway", "import", "oag.ova", "--route", route, "--region", "eu-west-1"
    )
    assert terminal.end() == 0, terminal.seen
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.seen)


def in_order(text, *words):
    positions = [text.find(word) for word in words]
    assert -1 not in positions, (words, positions, text)
    assert positions == sorted(positions), (words, positions)


def test_the_bar_goes_through_all_states_of_a_task(ready):
    seen = imported(ready, "import-image")
    in_order(seen, "verifying", "uploading", "pending", "converting", "; SHA-256")
    assert re.search(r"\d+%", seen)
    assert "━" in seen


def test_the_bar_counts_bytes_of_a_direct_import(ready):
    seen = imported(ready, "ebs-direct")
    in_order(seen, "verifying", "sending", "completing", "registering", "; SHA-256")
    assert re.search(r"[\d.]+/67\.1 MB", seen)


def test_an_interrupt_leaves_the_task_and_the_next_run_finds_it(ready):
    words = ("gateway", "import", "oag.ova", "--route", "import-image", "--region", "eu-west-1")
    terminal = Terminal(ready, *words)
    terminal.wait_for("import-ami-")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "gateway cancel --region eu-west-1 import-ami-" in terminal.seen
    task = re.search(r"import-ami-[0-9a-f]+", terminal.seen)[0]
    again = ready.ostiary(*words, "--json")
    assert again.returncode == 0, again.stderr
    assert f'"task": "{task}"' in again.stdout
