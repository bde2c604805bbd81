"""Runs every transcript beside this file.

``OSTIARY_SCRIPTS=write`` writes into it what came out where that differs; look at the difference before you commit.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from pathlib import Path

import pytest
from transcript import RUN, Step, matches, parse, rewritten, shown

from ostiary.cli import run

HERE = Path(__file__).parent
SCRIPTS = sorted(HERE.glob("*.txt"))
WRITE = os.environ.get("OSTIARY_SCRIPTS") == "write"


@pytest.mark.filterwarnings("ignore:subprocess .* is still running")  # after a login it is
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_transcript(script, acme, tmp_path, monkeypatch, request):
    transcript = parse(script.read_text())
    (tmp_path / "estate.yaml").write_text((HERE / "estate.yaml").read_text())
    for name, text in transcript.files.items():
        (tmp_path / name).write_text(text)
    session = Session(acme, monkeypatch)
    if script.stem.startswith("servers"):
        for name in ("control", "pipelines", "sits"):
            session.names[name] = request.getfixturevalue(name)
    came = [(step, session.perform(step)) for step in transcript.steps]
    wrong = [(step, text) for step, text in came if text]
    if wrong and WRITE:
        script.write_text(rewritten(script.read_text(), wrong))
        return
    step, text = wrong[0] if wrong else (None, "")
    assert step is None, f"{script.name}:{step.line} came out as\n{text}"


class Session:
    """Somebody at the command line, in one folder; remembers the last run that was named."""

    def __init__(self, listeners, monkeypatch) -> None:
        self.world = listeners.world
        self.names = {
            "world": self.world,
            "Path": Path,
            "aws_url": listeners.aws_url,
            "as_role": self.as_role,
        }
        self.monkeypatch = monkeypatch
        self.run_id = "[RUN]"

    def perform(self, step: Step) -> str:
        """What came out, if it is not what the transcript says."""
        text = step.text[2:].replace("[RUN]", self.run_id)
        if not step.is_command:
            with self.world.lock:
                exec(text, self.names)
            return ""
        code, stdout, stderr = self.call(text)
        if found := RUN.findall(stdout + stderr):
            self.run_id = found[-1]
        right = code == step.code and matches(step.stdout, stdout) and matches(step.stderr, stderr)
        return "" if right else shown(step, code, stdout, stderr)

    def as_role(self, account_id: str, role: str) -> None:
        """What follows runs with temporary credentials of this role, as a build in AWS does."""
        account = self.world.aws.account(account_id)
        held = self.world.aws.new_session(account, account.roles.get(role), "build-1", 3600)
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", held.access_key)
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", held.secret)
        self.monkeypatch.setenv("AWS_SESSION_TOKEN", held.token)

    def call(self, text: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command line: ``[NAME=value…] ostiary … [< FILE] [> FILE]``."""
        words = shlex.split(text.replace("OKTA_URL", os.environ["OKTA_CLIENT_ORGURL"]))
        source = sink = None
        if len(words) > 2 and words[-2] == ">":
            *words, _, sink = words
        if len(words) > 2 and words[-2] == "<":
            *words, _, source = words
        stdout, stderr = io.StringIO(), io.StringIO()
        stdin = io.StringIO(Path(source).read_text() if source else "")
        with self.monkeypatch.context() as patch:
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", stdin)
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                code = COMMANDS[words[0]](words[1:])
        if sink:
            Path(sink).write_text(stdout.getvalue())
            stdout = io.StringIO()
        return code, stdout.getvalue(), stderr.getvalue()


def cat(names: list[str]) -> int:
    for name in names:
        sys.stdout.write(Path(name).read_text())
    return 0


COMMANDS = {"ostiary": run, "cat": cat}
