"""What the command line does when its streams are not what they should be."""

import os
import subprocess
import sys

FILTER = r"^aws\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$"
GROUPS = ["groups", "preview", "--filter", FILTER, "--pattern", "x", "--names", "-"]


def ostiary(*arguments, redirect=""):
    line = f'exec "$0" -m ostiary "$@" {redirect}'
    return subprocess.run(
        ["/bin/sh", "-c", line, sys.executable, *arguments],
        input='["a"]',
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_full_disk_under_stdout_is_an_error_and_no_defect():
    ended = ostiary(*GROUPS, redirect="> /dev/full")
    assert ended.returncode == 1
    assert "cannot write the result to stdout" in ended.stderr
    assert "no space left" in ended.stderr


def test_closed_streams_are_no_defect_and_errors_do_not_go_to_stdout():
    assert ostiary(*GROUPS, redirect=">&-").stderr == ""
    assert ostiary("no-such-verb", redirect="2>&-").stdout == ""


def test_debug_adds_a_traceback_and_keeps_the_error_and_its_exit_code():
    ended = ostiary("--debug", "plan", "--estate", "/nonexistent.yaml")
    assert ended.returncode == 3
    assert "Traceback" in ended.stderr
    assert ended.stderr.endswith("or write one with: ostiary init --okta-url URL\n")


def test_names_that_the_terminal_cannot_show_are_escaped():
    ended = subprocess.run(
        [sys.executable, "-m", "ostiary", *GROUPS],
        input='["aws#\\u00c4#\\ud800"]',
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert ended.returncode == 0
    assert r"\xc4#\ud800" in ended.stdout
