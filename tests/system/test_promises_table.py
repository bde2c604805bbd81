"""PROMISES.md names tests that exist, and every promise test is in it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("PROMISES.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)
PROMISES = {
    *(f"A{number}" for number in (*range(1, 9), *range(10, 15), *range(17, 23))),
    *(f"O{number}" for number in range(1, 9)),
    *(f"C{number}" for number in range(1, 15)),
    *(f"G{number}" for number in range(1, 11)),
    *(f"N{number}" for number in range(1, 26)),
}


def test_every_test_that_is_named_exists():
    for file, name in NAMED:
        text = (TESTS / file).read_text()
        assert re.search(rf"^\s*def {name}\(", text, re.MULTILINE), f"{file}::{name}"


def test_every_promise_has_a_test():
    rows = re.findall(r"^\| ([ACGNO]\d+) \|.*`[\w/]+\.py::\w+`", TABLE, re.MULTILINE)
    assert set(rows) == PROMISES


def test_every_promise_test_is_in_the_table():
    for path in sorted(TESTS.glob("system/test_promises_*.py")):
        for name in re.findall(r"^def (test_a\d+_\w+)\(", path.read_text(), re.MULTILINE):
            assert (f"system/{path.name}", name) in NAMED, name
