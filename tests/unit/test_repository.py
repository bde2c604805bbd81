"""The repository's own promises: locks, names, links, pictures."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LOCKS = sorted(TOP.glob("requirements/**/*.lock.txt"))
BANNED = {"utils", "helpers", "common", "manager", "base", "core", "handlers"}


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [TOP / name for name in names if name and (TOP / name).exists()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_version_and_hash_and_name_no_address(lock):
    text = lock.read_text()
    assert not re.search(r"^\s*(#|-i|--index|--find|--extra)", text, re.MULTILINE)
    assert "://" not in text
    assert "@ file" not in text
    requirements = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==", requirement), requirement[:60]
        assert "--hash=sha256:" in requirement, requirement[:60]


def test_each_environment_has_one_lock():
    assert {lock.name for lock in LOCKS} == {
        "ostiary.lock.txt",
        "build.lock.txt",
        "test.lock.txt",
        "ansible.lock.txt",
        "asyncssh.lock.txt",
        "awscli.lock.txt",
        "aws-okta-processor.lock.txt",
        "gimme-aws-creds.lock.txt",
        "okta-awscli.lock.txt",
        "openbao.lock.txt",
        "rclone.lock.txt",
        "tokendito.lock.txt",
    }


def test_what_runs_is_what_is_tested():
    def pins(name: str) -> dict[str, str]:
        text = (TOP / "requirements" / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))

    runtime, test = pins("ostiary.lock.txt"), pins("test.lock.txt")
    assert runtime.items() <= test.items()


def test_names_say_what_they_hold():
    for path in tracked():
        assert path.stem not in BANNED, path


def test_no_path_of_a_machine_in_any_file():
    """The hosts of the tests and of the guides have a root and people of their own."""
    everywhere = r"/work/"
    elsewhere = everywhere + r"|/root/|/home/(?!amazon_aws|other)[a-z]+/"
    hosts = (
        "tests/system/",
        "tests/unit/servers_agent",
        "bench/ssh.py",
        "docs/how-to/servers",
        "docs/reference/hosts.md",
    )
    own = Path(__file__).resolve()
    for path in tracked():
        name = str(path.relative_to(TOP))
        if path == own or path.suffix in {".png", ".svg"}:
            continue
        found = re.search(
            rf"""["' =(]({everywhere if name.startswith(hosts) else elsewhere})""",
            path.read_text(errors="ignore"),
        )
        assert not found, f"{path}: {found and found.group()}"


def test_decisions_are_listed():
    folder = TOP / "docs/adr"
    index = (folder / "README.md").read_text()
    for path in folder.glob("0*.md"):
        assert f"({path.name})" in index, path.name
        assert path.read_text().startswith(f"# {path.name[:4]} ")
    for name in re.findall(r"\((0\d+-[^)]+\.md)\)", index):
        assert (folder / name).exists(), name


def test_links_between_pages_lead_somewhere():
    for page in tracked():
        if page.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(TOP)} -> {target}"


def test_picture_of_the_doors_is_current():
    spec = importlib.util.spec_from_file_location("docs_make", TOP / "docs/make.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_make"] = module
    spec.loader.exec_module(module)
    assert (TOP / "docs/doors.svg").read_text() == module.picture()


def test_every_full_form_is_in_a_layer_that_make_chaos_runs():
    spec = importlib.util.spec_from_file_location("tests_run", TOP / "tests/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = tuple(f"{one}/" for folders in module.CHAOS.values() for one in folders)
    for path in tracked():
        if path.suffix == ".py" and "@pytest.mark." + "chaos" in path.read_text():
            assert str(path.relative_to(TOP)).startswith(run), path
