"""kill -9 of a real process in the middle of an apply."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ostiary.plan.resume import list_runs, show_run
from ostiary.plan.runs import FolderStore

KILLABLE = Path(__file__).with_name("killable.py")
FULL = os.environ.get("OSTIARY_CHAOS") == "full"
POINTS = 200 if FULL else 4
ACCOUNTS = 20 if FULL else 5
MOMENTS = 10 * ACCOUNTS  # five mutations in each account, before and after; the appends come on top


def run(folder, size, point=0):
    command = [sys.executable, str(KILLABLE), str(folder), str(ACCOUNTS), str(size), str(point)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def world(folder):
    return {path.name: path.read_bytes() for path in (folder / "world").iterdir()}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Size 1, applied, with a foreign role beside it."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "world").mkdir()
    (folder / "world" / "role!000000000111!Theirs").write_text(
        json.dumps({"mark": None, "id": "0", "data": {"size": 9}})
    )
    done = run(folder, 1)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["moments"] >= 20
    return folder


@pytest.mark.chaos
@pytest.mark.parametrize("point", [1 + number * MOMENTS // POINTS for number in range(POINTS)])
def test_a_killed_apply_is_made_good_by_the_next(template, tmp_path, point):
    subprocess.run(["cp", "-r", f"{template}/.", str(tmp_path)], check=True)
    before = world(tmp_path)
    (tmp_path / "world.log").unlink()
    killed = run(tmp_path, 2, point)
    assert killed.returncode == -9, (killed.returncode, killed.stderr)
    foreign = "role!000000000111!Theirs"
    assert world(tmp_path)[foreign] == before[foreign]

    again = run(tmp_path, 2)
    assert again.returncode == 0, again.stderr
    after = world(tmp_path)
    accounts = [f"{number:012}" for number in range(111, 111 + ACCOUNTS)]
    wanted = {f"{kind}!{account}!Role2" for kind in ("role", "trust") for account in accounts}
    wanted |= {f"role!{account}!Kept" for account in accounts} | {"app!main!AWS", foreign}
    assert after.keys() == wanted
    log = (tmp_path / "world.log").read_text().split("\n")
    repeated = sum(number - 1 for line, number in Counter(log).items() if line)
    assert repeated <= 4, "more than was in flight was done twice"

    third = run(tmp_path, 2)
    assert json.loads(third.stdout)["writes"] == 0
    store = FolderStore(tmp_path / "runs")
    runs = list_runs(store, "acme")
    assert {one.state for one in runs} <= {"finished", "settled"}
    for one in runs:
        show_run(store, "acme", one.run_id)
