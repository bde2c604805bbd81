"""Who is not root may run the tests: what needs root is listed as not run, with the reason, and under CI it fails."""

from __future__ import annotations

import re
import sys

import pytest
from hosts import TOP, Fleet

pytestmark = pytest.mark.root
USER = "developer"
PASSED, FAILED = 0, 1  # exit codes of pytest
FEW = ("tests/system/test_hosts.py", "tests/system/test_control_disk.py")


@pytest.fixture(scope="module")
def host():
    with Fleet(["laptop"]) as fleet:
        fleet["laptop"].run(["useradd", "-m", "-s", "/bin/bash", "-p", "*", USER])
        yield fleet["laptop"]


def as_developer(host, *options, ci=""):
    """The tests that are marked as needing root, by an ordinary user: pytest's exit code and what it printed."""
    env = {
        "PYTHONPATH": str(TOP / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": f"/home/{USER}",
        "LC_ALL": "C.UTF-8",
        "CI": ci,
    }
    pytest_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n0", "-m", "root"]
    options = (f"--rootdir={TOP}", "-c", TOP / "pyproject.toml", *options)
    argv = ["runuser", "-u", USER, "--", *pytest_, *options]
    done = host.run(argv, check=False, env=env, seconds=110)
    return done.returncode, done.stdout


def test_without_root_each_test_that_needs_it_is_listed_with_the_reason(host):
    code, said = as_developer(host, "-rs", TOP / "tests/system")
    assert code == PASSED, said[-2000:]
    lines = re.findall(r"^SKIPPED \[(\d+)\] \S+: (.*)$", said, re.MULTILINE)
    assert lines
    assert [why for _, why in lines if not re.match(r"not run: .*needs root", why)] == []
    total = re.search(r"^(\d+) skipped, \d+ deselected", said, re.MULTILINE)
    assert total, said[-500:]
    assert sum(int(number) for number, _ in lines) == int(total[1])


def test_under_ci_that_is_a_failure(host):
    files = [TOP / one for one in FEW]
    code, said = as_developer(host, "--tb=line", *files, ci="true")
    assert code == FAILED
    assert "skipped" not in said
    assert re.search(r"Failed: not run: .*needs root", said), said[-2000:]
    assert not re.search(r"\d+ passed", said)
