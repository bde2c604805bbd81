"""The agent in one file: the same bytes each time, the standard library only, and Python 3.9 really runs it."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ostiary.doors.servers.agent import bundle, interpreter, unit
from ostiary.doors.servers.agent.commands import parser
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.agent.typed import as_typed

AGENT = Path(bundle.__file__).parent
FILES = sorted([*AGENT.glob("*.py"), *(AGENT.parent / "wire").glob("*.py")])
OWN = ("ostiary.doors.servers.agent", "ostiary.doors.servers.wire")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_each_file_is_python_3_9_of_the_standard_library(file):
    tree = ast.parse(file.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module]
        for name in names:
            assert name.startswith(OWN) or name.partition(".")[0] in sys.stdlib_module_names, name


def test_the_same_sources_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "one.pyz", tmp_path / "two.pyz"
    digest = bundle.bundle(first)
    os.utime(AGENT / "hook.py")
    assert bundle.bundle(second) == digest == hashlib.sha256(first.read_bytes()).hexdigest()
    assert first.stat().st_mode & 0o777 == 0o755
    names = zipfile.ZipFile(first).namelist()
    assert names == sorted(names)
    assert not [one for one in names if "control/" in one or "client/" in one or "pyc" in one]


def python(version):
    """That Python, wherever pyenv or the system has it; None if it is nowhere."""
    found = [shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")]
    found += Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    return next((str(one) for one in found if one and Path(one).exists()), None)


def python_is_new(program):
    argv = [program, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
    return shutil.which(program) and subprocess.run(argv, check=False).returncode == 0


@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_it_runs(tmp_path, version):
    program = python(version)
    if program is None:
        pytest.skip(f"not run: no Python {version} here")
    file = tmp_path / "agent.pyz"
    bundle.bundle(file)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    run = lambda *argv: subprocess.run(  # noqa: E731
        [program, "-I", file, *argv], env=env, capture_output=True, text=True, check=False
    )
    assert "enroll" in run("--help").stdout
    made = run("bundle", str(tmp_path / "again.pyz"))
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "again.pyz").read_bytes() == file.read_bytes()  # a bundle bundles itself
    told = run("selinux", str(tmp_path / "policy"))
    assert "semodule --install" in told.stderr
    for name in ("ostiary.te", "ostiary.fc"):
        assert (tmp_path / "policy" / name).read_bytes() == (AGENT / name).read_bytes()
    service = run("unit").stdout
    found = re.search(rf"^ExecStart=(/\S+) -I {re.escape(str(file))} run$", service, re.MULTILINE)
    assert found[1] == (
        interpreter.DISTRIBUTION if python_is_new(interpreter.DISTRIBUTION) else program
    )
    hook = "import ostiary.doors.servers.agent.reconcile as r; print(len(r.hook_text()))"
    script = f"import sys; sys.path.insert(0, {str(file)!r}); {hook}"
    said = subprocess.run([program, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert int(said.stdout) == len((AGENT / "hook.py").read_text())


def test_what_is_started_by_its_name_asks_neither_path_nor_environment(tmp_path):
    """root runs it: another ``python3`` of a PATH, or a module of a PYTHONPATH, would be root too."""
    if not python_is_new(interpreter.DISTRIBUTION):
        pytest.skip(f"not run: no {interpreter.DISTRIBUTION} that is new enough")
    file = tmp_path / "agent.pyz"
    bundle.bundle(file)
    for name, text in (
        ("python3", "#!/bin/sh\necho theirs\n"),
        ("argparse.py", "print('theirs')\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    said = subprocess.run([file, "--help"], env=env, capture_output=True, text=True, check=True)
    assert "enroll" in said.stdout
    assert "theirs" not in said.stdout + said.stderr


@pytest.mark.parametrize(("text", "taken"), [("exit 0", True), ("exit 1", False), ("", False)])
def test_the_distributions_name_is_taken_where_its_python_is_new_enough(tmp_path, text, taken):
    name = tmp_path / "python3"
    if text:
        name.write_text(f"#!/bin/sh\n{text}\n")
        name.chmod(0o755)
    assert interpreter.interpreter(str(name)) == (str(name) if taken else sys.executable)


def test_an_older_python_is_told_so(tmp_path):
    program = python("3.8")
    if program is None:
        pytest.skip("not run: no Python 3.8 here")
    file = tmp_path / "agent.pyz"
    bundle.bundle(file)
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "ostiary: error: the agent needs Python 3.9 or later\n",
    )


def test_no_service_is_written_for_what_no_host_can_run(monkeypatch):
    """The distribution's Python has no package of ours, and ``ostiary run`` is no command."""
    monkeypatch.setattr(
        sys, "argv", [str(Path(sys.executable).parent / "ostiary"), "agent", "unit"]
    )
    given = parser().parse_args(["unit"])
    with pytest.raises(HostError, match="is not the agent's one file"):
        given.work(given, Paths())


def test_systemd_takes_the_unit(tmp_path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("not run: no systemd-analyze here")
    path = tmp_path / unit.NAME
    path.write_text(unit.text(sys.executable, "/usr/local/lib/ostiary/agent.pyz"))
    done = subprocess.run([verify, "verify", path], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr, done.stderr


def test_what_to_run_is_named_as_the_bundle_was(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/lib/ostiary-agent.pyz", "prepare-image"])
    assert as_typed("run: ostiary agent remove") == "run: /usr/local/lib/ostiary-agent.pyz remove"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ostiary", "agent"])
    assert as_typed("run: ostiary agent remove") == "run: ostiary agent remove"
