"""Images of which many hosts are made, sessions with an end, cloned identities, and the bundle as the host's own file."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from host_control import Peer, Person, admin, user
from hosts import PYTHON, TOP, Fleet, wait_for
from hosts_net import connected, copy

from ostiary.doors.servers.agent import bundle

pytestmark = pytest.mark.root


@pytest.fixture
def fleet():
    with Fleet(["web1"]) as fleet:
        yield fleet


@pytest.fixture
def peer(fleet, tmp_path):
    with Peer(fleet, tmp_path) as peer:
        yield peer


@pytest.fixture
def host(fleet):
    fleet["web1"].start_sshd()
    return fleet["web1"]


def test_an_image_carries_nothing_of_the_host_it_was_made_on(host, peer):
    passwd, group, main = (
        host.read(f"/etc/{one}") for one in ("passwd", "group", "ssh/sshd_config")
    )
    key, machine = host.host_key, host.read("/etc/machine-id")
    server_id = peer.enroll(host)
    peer.state(server_id, admin(server_id=server_id), user("carol", 60002, server_id=server_id))
    assert host.agent("once").stderr == ""
    peer.state(server_id, admin(server_id=server_id))
    host.agent("once")  # carol is closed, but still there
    assert "homes" in host.agent("prepare-image", check=False).stderr
    assert host.agent("prepare-image", "--yes").stderr == ""
    assert sorted(host.read("/etc/passwd").splitlines()) == sorted(passwd.splitlines())
    assert sorted(host.read("/etc/group").splitlines()) == sorted(group.splitlines())
    assert host.read("/etc/ssh/sshd_config") == main
    assert host.run(["ls", "-A", "/home"]).stdout == ""
    for path in ("/var/lib/ostiary", "/etc/ssh/ostiary", "/etc/ssh/ssh_host_ed25519_key"):
        assert not (host.root / path[1:]).exists(), path
    assert not list((host.root / "etc/sudoers.d").glob("ostiary-*"))
    assert host.read("/etc/machine-id") == ""
    assert machine
    assert server_id not in peer.enrolled
    for command in (["remove"], ["prepare-image", "--yes"]):
        done = host.agent(*command, check=False)
        assert (done.returncode, done.stderr.count("; run: ssh-keygen -A")) == (1, 1)
    host.run(["ssh-keygen", "-A"])
    assert host.agent("remove").stderr.startswith("ostiary agent: left")
    again = peer.enroll(host)  # as a host of that image does at its first boot
    assert host.host_key != key
    assert again != server_id


@pytest.mark.parametrize("command", [["remove"], ["prepare-image", "--yes"]])
def test_a_host_that_was_retired_there_already_leaves_all_the_same(host, peer, command):
    server_id = peer.enroll(host)
    peer.state(server_id, admin(server_id=server_id))
    assert host.agent("once").stderr == ""
    del peer.enrolled[server_id]
    refused = host.agent("once", check=False)
    assert refused.returncode == 1
    assert f"cannot ask who may enter web1 at control:{peer.port}" in refused.stderr
    assert "fix: run: ostiary agent remove --offline" in refused.stderr
    said = host.agent(*command).stderr
    assert "the server is retired; if it is still listed, run there: ostiary servers retire" in said
    assert not (host.root / "var/lib/ostiary/identity.json").exists()
    assert peer.enroll(host) != server_id


def test_a_session_ends_at_its_bound(fleet, host, peer, tmp_path):
    server_id = peer.enroll(host)
    peer.state(server_id, user(server_id=server_id, max_session=2))
    host.agent("once")
    person = Person(fleet, tmp_path)
    made = person.certificate(peer.user, f"alice@{server_id}")
    env = {"PATH": "/usr/sbin:/usr/bin:/bin", "PYTHONPATH": str(TOP / "src")}
    argv = [PYTHON, "-m", "ostiary.doors.servers.agent", "run"]
    service = host.popen(argv, env=env, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    assert person.ssh(host, made, "sleep 60").returncode == 255
    assert 2 <= time.monotonic() - began < 20
    host.run(["pkill", "-TERM", "-f", "servers.agent run"])
    assert service.wait(10) == 0


OLDEST = next(iter(sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))), None)
PYTHONS = [PYTHON] + ([OLDEST] if OLDEST else [])


@pytest.mark.parametrize("program", PYTHONS, ids=lambda path: Path(path).name)
def test_someone_removed_is_out_of_his_session_within_seconds(fleet, host, peer, tmp_path, program):
    """The agent as one file, under the distribution's Python and the oldest that will do, as it is installed."""
    path = "usr/local/lib/ostiary-agent.pyz"
    bundle.bundle(tmp_path / "agent.pyz")
    (host.root / path).write_bytes((tmp_path / "agent.pyz").read_bytes())
    server_id = peer.enroll(host)
    peer.state(server_id, admin(server_id=server_id))
    service = host.popen(
        [program, "-I", f"/{path}", "run"],
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    principals = host.root / "etc/ssh/ostiary/principals/alice"
    wait_for(principals.exists, "the first state", 20)
    for command, verb in (
        (["run"], "status"),
        (["remove"], "disable"),
        (["prepare-image", "--yes"], "disable"),
    ):
        done = host.agent(*command, check=False)
        assert (done.returncode, f"systemctl {verb}" in done.stderr) == (1, True)
    person = Person(fleet, tmp_path)
    made = person.certificate(peer.user, f"alice@{server_id}")
    argv = [*person.options(made), f"alice@{host.address}", "echo in; exec sleep 60"]
    with fleet.client.popen(argv, stdout=subprocess.PIPE) as session:
        assert session.stdout.readline() == "in\n"
        began = time.monotonic()
        peer.state(server_id)
        assert session.wait(15) == 255
        assert time.monotonic() - began < 10
    wait_for(lambda: peer.reports and peer.reports[-1][1].generation == 2, "the report")
    assert {one.outcome for _, report in peer.reports for one in report.logins} == {"accepted"}
    host.run(["pkill", "-TERM", "-f", "ostiary-agent.pyz"])
    assert service.wait(10) == 0


def test_a_report_says_by_what_a_clone_shows(host, peer):
    """Not the disk: a product UUID where the machine has one, and the boot."""
    server_id = peer.enroll(host)
    peer.state(server_id)
    host.agent("once")
    report = peer.reports[-1][1]
    assert report.boot == host.read("/proc/sys/kernel/random/boot_id").strip()
    uuid = host.root / "sys/class/dmi/id/product_uuid"
    assert (report.machine != "") == uuid.exists()
    assert peer.enrolled[server_id].machine == report.machine


def test_a_disk_that_is_full_uses_up_no_token(host, peer):
    host.run(["mkdir", "-p", "/var/lib/ostiary"])
    host.run(["mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib/ostiary"])
    host.write("/root/ca.pem", peer.ca_file.read_text())
    argv = ["enroll", "--url", peer.url, "--token-file", "-", "--ca-file", "/root/ca.pem"]
    done = host.agent(*argv, stdin="a-token", check=False)
    assert (done.returncode, "Read-only" in done.stderr) == (1, True)
    assert peer.tokens == {"a-token"}
    host.run(["umount", "/var/lib/ostiary"])
    assert host.agent(*argv, stdin="a-token").stdout.startswith("srv_")


def test_the_token_is_nowhere_to_be_seen(fleet, host, peer):
    """Negative 10, on the host: not in argv, files or logs."""
    host.write("/root/token", "a-token\n", 0o600)
    host.write("/root/ca.pem", peer.ca_file.read_text())
    argv = ["enroll", "--url", peer.url, "--token-file", "/root/token", "--ca-file", "/root/ca.pem"]
    done = host.agent(*argv)
    (host.root / "root/token").unlink()
    places = ["/etc", "/var/lib/ostiary", "/var/log", "/run"]
    found = host.run(["grep", "-rlD", "skip", "a-token", *places], check=False)
    assert found.stdout == ""
    assert "a-token" not in done.stdout + done.stderr
    second = host.agent(*argv[:3], "--token-file", "-", *argv[5:], check=False, stdin="a-token")
    assert "enrolled already" in second.stderr


def test_where_the_hook_is_taken_away_nobody_enters_until_it_is_back(fleet, host, peer, tmp_path):
    """An upgrade of sshd's package may put its own PAM file there."""
    pam = host.read("/etc/pam.d/sshd")
    server_id = peer.enroll(host, "--break-glass-account", "root")
    peer.state(server_id, user(server_id=server_id))
    person = Person(fleet, tmp_path)
    env = {"PATH": "/usr/sbin:/usr/bin:/bin", "PYTHONPATH": str(TOP / "src")}
    argv = [PYTHON, "-m", "ostiary.doors.servers.agent", "run"]
    with host.popen(argv, env=env, stderr=subprocess.DEVNULL) as service:
        principals = host.root / "etc/ssh/ostiary/principals"
        wait_for((principals / "alice").exists, "the first state", 20)
        hooked = host.read("/etc/pam.d/sshd")
        host.write("/etc/pam.d/sshd", pam)
        wait_for(lambda: not (principals / "alice").exists(), "the door to close", 8)
        assert (principals / "root").exists()
        peer.state(server_id, user(server_id=server_id, max_session=3600))
        wait_for((principals / "alice").exists, "the hook to be back", 20)
        assert host.read("/etc/pam.d/sshd") == hooked
        made = person.certificate(peer.user, f"alice@{server_id}")
        assert [person.ssh(host, made, "true").returncode for _ in range(2)] == [0, 254]
        host.run(["pkill", "-TERM", "-f", "servers.agent run"])
    assert service.returncode == 0


class Proxy:
    """Passes CONNECT on, on the control plane's network; ``asked`` is for which host."""

    def __init__(self, fleet) -> None:
        self.fleet, self.asked = fleet, []
        self.listener = fleet.listener(address="10.99.0.1")
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self.pass_on, args=(near,), daemon=True).start()

    def pass_on(self, near):
        head = b""
        while b"\r\n\r\n" not in head:
            head += near.recv(4096)
        where = head.split()[1].decode()
        self.asked.append(where)
        port = int(where.rpartition(":")[2])
        with near, connected(self.fleet.control.pid, "10.99.0.1", port) as far:
            far.settimeout(None)
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(far, near), daemon=True)
            back.start()
            copy(near, far)
            back.join()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def test_a_proxy_of_the_environment_is_used_and_no_proxy_is_heeded(fleet, host, peer):
    proxy = Proxy(fleet)
    env = {"https_proxy": f"http://10.99.0.1:{proxy.port}"}
    host.write("/root/ca.pem", peer.ca_file.read_text())
    hosts = host.read("/etc/hosts")
    host.write("/etc/hosts", hosts.replace("control", "elsewhere"))  # only the proxy knows it
    argv = ["enroll", "--url", peer.url, "--token-file", "-", "--ca-file", "/root/ca.pem"]
    server_id = host.agent(*argv, stdin="a-token", env=env).stdout.split()[0]
    assert set(proxy.asked) == {f"control:{peer.port}"}
    peer.state(server_id)
    assert host.agent("once", env={**env, "no_proxy": "control"}, check=False).returncode == 1
    assert host.agent("once", env=env).returncode == 0
    proxy.close()
