"""What is written for sshd to read: principals, authorities, configuration. No text of others becomes more than it is."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ssh_world import PLAIN, Keys

from ostiary.doors.servers.agent import principals, sshd_text, trust
from ostiary.doors.servers.agent.files import HostError, Paths
from ostiary.doors.servers.wire.host import Entry, HostUser

LINES = {
    "shell": (Entry("alice@srv_1"), "restrict,pty alice@srv_1"),
    "hop": (
        Entry("alice@srv_1.hop", hop=True, forward=("10.0.0.5:22",)),
        f'restrict,command="{principals.NOTHING}",port-forwarding,permitopen="10.0.0.5:22" alice@srv_1.hop',
    ),
    "targets": (
        Entry("a@srv_1", forward=("db:5432", "[::1]:*")),
        'restrict,pty,port-forwarding,permitopen="db:5432",permitopen="[::1]:*" a@srv_1',
    ),
    "sftp": (Entry("a@s", sftp_only=True), 'restrict,command="internal-sftp" a@s'),
    "all": (
        Entry("a@s", agent_forwarding=True, x11=True),
        "restrict,pty,agent-forwarding,X11-forwarding a@s",
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_says_what_the_entry_permits(name):
    entry, line = LINES[name]
    assert principals.line(entry) == line


@pytest.mark.parametrize(
    "principal",
    ["", "alice", "*", "alice@*", "alice,root@s", "alice@s,root", "a@s\nroot", "a@s\0", "A@s", "a b@s",
     "-a@s", "a@s.hop", "a@s x", '"a"@s', "a@" + "s" * 65, "root", "a@s#", "é@s"],
)  # fmt: skip
def test_a_principal_that_could_be_read_as_another_is_refused(principal):
    """Negative 4 on the host: whatever the control plane says."""
    with pytest.raises(HostError):
        principals.line(Entry(principal))


@pytest.mark.parametrize(
    "target", ["", "db", "db:", ":22", 'db:22",command="x', "db:22 x", "db:22\n", "a,b:22", "db:abc", "::1:22"]
)  # fmt: skip
def test_a_target_that_could_be_more_is_refused(target):
    with pytest.raises(HostError):
        principals.line(Entry("a@s", forward=(target,)))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "127.8.9.1", "0177.1", "0x7f.1", "0x7f000001", "2130706433", "0", "0.0.0.0", "localhost", "LocalHost",
     "localhost.", "db.localhost", "localhost.localdomain", "ip6-localhost", "169.254.169.254", "0xa9fea9fe", "224.0.0.1",
     "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1]", "[ff02::1]",
     "[fd00:ec2::254]", "web-7", "web-7.acme.example"],
)  # fmt: skip
def test_a_hop_leads_away_from_this_host_only(tmp_path, monkeypatch, host):
    """The control plane may say otherwise; the other targets stay, and so do the other ways of who has this one."""
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="web-7.acme.example"))
    hop = Entry("a@s.hop", hop=True, forward=(f"{host}:22", "10.0.0.5:22"))
    plain = principals.line(replace(hop, forward=("10.0.0.5:22",)))
    assert principals.line(hop) == plain
    alone = principals.line(replace(hop, forward=(f"{host}:22",)))
    assert alone == f'restrict,command="{principals.NOTHING}" a@s.hop'
    paths = Paths(etc=tmp_path)
    user = HostUser("a", 60001, 63001, "", entries=(Entry("a@s"), hop))
    (problem,) = principals.bring_in_line((user, replace(user, login="b")), paths, {})
    assert problem == f"nobody passes to {host}:22 through this host: that is itself"
    text = (paths.principals / "a").read_text()
    assert text == f"restrict,pty a@s\n{plain}\n"


@pytest.mark.parametrize(
    "host",
    ["10.0.0.5", "db", "web-70", "1.127.0.0", "[2001:db8::1]", "[fd00::1]", "mylocalhost", "*"],
)
def test_a_hop_leads_to_others(host):
    entry = Entry("a@s.hop", hop=True, forward=(f"{host}:22",))
    assert f'permitopen="{host}:22"' in principals.line(entry)


def test_files_of_others_go_and_a_bad_one_takes_nobody_with_it(tmp_path):
    paths = Paths(etc=tmp_path)
    good = HostUser("alice", 60001, 63001, "", entries=(Entry("alice@s"),))
    bad = HostUser("bob", 60002, 63002, "", entries=(Entry("bob,root@s"),))
    worse = HostUser("../../shadow", 60003, 63003, "", entries=(Entry("x@s"),))
    (paths.principals).mkdir()
    (paths.principals / "gone").write_text("x")
    problems = principals.bring_in_line((good, bad, worse), paths, {"root": "root@s"})
    assert {one.name for one in paths.principals.iterdir()} == {"alice", "root"}
    assert len(problems) == 2
    assert (paths.principals / "root").read_text() == "root@s\n"
    principals.close(paths, {"root"})
    assert {one.name for one in paths.principals.iterdir()} == {"root"}


def test_break_glass_of_a_local_user_widens_nothing_of_his(tmp_path):
    paths = Paths(etc=tmp_path)
    sftp = HostUser("alice", 60001, 63001, "", entries=(Entry("alice@s", sftp_only=True),))
    principals.bring_in_line((sftp,), paths, {"alice": "alice@s"})
    assert (paths.principals / "alice").read_text() == 'restrict,command="internal-sftp" alice@s\n'
    hop = HostUser("alice", 60001, 63001, "", entries=(Entry("alice@s.hop", hop=True),))
    principals.bring_in_line((hop,), paths, {"alice": "alice@s"})
    assert (paths.principals / "alice").read_text().endswith(" alice@s.hop\nalice@s\n")


def test_a_way_that_changed_is_closed_and_targets_are_not(tmp_path):
    paths = Paths(etc=tmp_path)
    one = lambda *entries: HostUser("alice", 60001, 63001, "", entries=entries)  # noqa: E731
    hop = Entry("alice@s.hop", hop=True, forward=("a:22",))
    principals.bring_in_line((one(Entry("alice@s"), hop),), paths, {})
    file = paths.principals / "alice"
    before = file.read_text()
    principals.narrow(paths, (one(Entry("alice@s"), Entry("alice@s.hop", hop=True)),))
    assert file.read_text() == before
    principals.narrow(paths, (one(Entry("alice@s", sftp_only=True), hop),))
    assert file.read_text() == before.partition("\n")[2]
    principals.narrow(paths, (one(Entry("alice@s,root", sftp_only=True)),))
    assert not file.exists()


@pytest.mark.parametrize("kind", PLAIN)
def test_a_key_of_every_type_is_an_authority(tmp_path, kind):
    text = Keys(tmp_path).public(kind).text()
    assert trust.key(f"{text} a comment\n") == text


def test_what_is_no_key_is_none(tmp_path):
    text = Keys(tmp_path).public("ssh-ed25519").text()
    blob = text.split()[1]
    rsa = base64.b64encode(b"\0\0\0\x07ssh-rsa" + b"x" * 60).decode()
    for wrong in ("", "cert-authority " + text, f"{text}\n{text}", f"ssh-ed25519-cert-v01@openssh.com {blob}",
                  f"ssh-rsa {blob}", f"ssh-ed25519 {rsa}", f"ssh-ed25519 {blob[:-3]}", f"ssh-dss {blob}"):  # fmt: skip
        with pytest.raises(HostError):
            trust.key(wrong)


DEBIAN = (
    "# comment\n\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nMatch User x\n  PermitTTY no\n"
)


@pytest.mark.parametrize(
    ("main", "included"),
    [
        (DEBIAN, True),
        ("include /etc/ssh/sshd_config.d/*.conf\n", True),
        ("Include sshd_config.d/*.conf\n", True),
        ("UsePAM yes\n", False),
        ("#Include /etc/ssh/sshd_config.d/*.conf\n", False),
        ("Match User x\nInclude /etc/ssh/sshd_config.d/*.conf\n", False),
        ("Include /etc/other.conf\n", False),
    ],
)
def test_whether_drop_ins_are_read(main, included):
    assert sshd_text.includes_drop_ins(main) is included


@pytest.mark.parametrize("main", ["UsePAM yes\n", "Port 22\nMatch User x\n  PermitTTY no", ""])
def test_blocks_come_once_and_go_without_a_trace(main):
    held = sshd_text.trust(Paths(), certificate=True, everybody=True)
    blocks = sshd_text.with_blocks(main, held)
    assert sshd_text.with_blocks(blocks, held) == blocks
    assert sshd_text.without_blocks(blocks).rstrip("\n") == main.rstrip("\n")
    assert blocks.index("TrustedUserCAKeys") < blocks.index("Match Group ostiary-managed")
