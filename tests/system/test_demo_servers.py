"""The demo's server act, in each form that a machine allows; afterwards the machine is as it was."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
ACT = """
import json, sys, tempfile
from pathlib import Path
from ostiary.cli.demo import _booted
from ostiary.cli.demo_servers import servers_act
told = []
with tempfile.TemporaryDirectory() as folder, _booted(Path(folder)) as (listeners, seed):
    shown = servers_act(listeners, seed, Path(folder), told.append)
print(json.dumps({"shown": shown, "told": told}))
"""
WATCHED = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/pam.d/sshd", "/etc/ssh/sshd_config")


def files():
    found = {name: Path(name).read_bytes() for name in WATCHED if Path(name).exists()}
    return found | {
        name: sorted(Path(name).iterdir()) for name in ("/etc/ssh", "/etc/sudoers.d", "/home")
    }


def act(*before, **env):
    done = subprocess.run(
        [*before, sys.executable, "-c", ACT],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def unchanged():
    if os.geteuid() != 0:
        text = "not run: needs root for namespaces"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    before = files()
    yield
    assert files() == before


def test_as_root_somebody_enters_a_host_once():
    done = act(OSTIARY_CONTROL="https://control.acme.example", OSTIARY_CONTROL_TOKEN_FILE="/none")
    shown = done["shown"]
    assert (shown["form"], shown["left_out"]) == ("whole", {})
    assert shown["said"] == "ada on web1, as administrator root"
    assert (shown["second_use"], shown["refused"]) == ("refused", "no-server")
    assert shown["certificate"]["seconds"] == 180
    assert {"certificate.issued", "server.enrolled", "local-user.created"} <= set(
        shown["audit"]["events"]
    )
    assert any("a second time" in line for line in done["told"])


def test_where_no_namespace_can_be_made_a_private_sshd_is_entered():
    done = act("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all")
    shown = done["shown"]
    assert (shown["form"], shown["second_use"], shown["refused"]) == (
        "private sshd",
        "not tried",
        "no-server",
    )
    assert shown["said"] == "in"


def test_where_no_sshd_can_run_it_says_why():
    """As in many containers: root without the right to namespaces, and without the folder that sshd wants."""
    empty = (
        'mount -t tmpfs empty /run && exec setpriv --bounding-set=-sys_admin --inh-caps=-all "$@"'
    )
    done = act("unshare", "--mount", "sh", "-c", empty, "sh")
    assert "/run/sshd" in done["shown"]["left_out"]["a private sshd"]
    assert "cannot start an sshd: Missing privilege separation" in done["told"][-1]


def test_where_the_agent_cannot_work_a_private_sshd_is_entered():
    """A host without groupadd: the agent says so, and the demo goes on with what needs no root."""
    broken = 'mount --bind /bin/false /usr/sbin/groupadd && exec "$@"'
    done = act("unshare", "--mount", "sh", "-c", broken, "sh")
    assert done["shown"]["form"] == "private sshd"
    assert "a host of its own" in done["shown"]["left_out"]


def test_where_openssh_is_missing_it_says_what_installs_it(tmp_path, monkeypatch):
    from ostiary.cli import demo_servers, demo_sshd  # noqa: PLC0415

    (tmp_path / "ssh").symlink_to(shutil.which("ssh"))
    monkeypatch.setattr(demo_sshd, "PATHS", str(tmp_path))
    told = []
    shown = demo_servers.servers_act(None, None, tmp_path, told.append)
    assert shown == {"left_out": {"OpenSSH": "apt-get install openssh-server"}}
    assert "apt-get install openssh-server" in told[-1]
