"""What somebody of a host chooses himself (the name of a process, a comment, a key's options, a mount) hides nothing and makes no line."""

import os
import signal
import subprocess
import sys

import pytest
from ssh_world import Keys

from ostiary.doors.servers.agent import cutting, other_ways_beside, other_ways_keys
from ostiary.doors.servers.agent.accounts_files import places
from ostiary.doors.servers.agent.accounts_lookup import local_names
from ostiary.doors.servers.agent.accounts_repair import read, repairs
from ostiary.doors.servers.agent.cutting_processes import is_dead, processes

NAMES = {
    "no UTF-8": b"\xff\xfe",
    "a carriage return": b"a\rPPid:\tx",
    "another end of a line": b"a\x1cUid:\tx",
    "the next line of Unicode": b"a\xc2\x85Uid:\tx",
    "a bracket": b"a) Z 1",
}
NAMED = """
import os, sys, time
open("/proc/self/comm", "wb").write(bytes.fromhex(sys.argv[1]))
if len(sys.argv) > 2:  # here, as not everybody may reach this Python
    os.setresgid(*[int(sys.argv[2])] * 3)
    os.setresuid(*[int(sys.argv[2])] * 3)
print(flush=True)
time.sleep(100)
"""
PASSWD = b"root:x:0:0:root:/root:/bin/bash\nmallory:x:1500:1500:a%bcarol:/home/mallory:/bin/bash\n"
ENDS = (b"\r", b"\x0b", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8")


@pytest.fixture
def named():
    running = []

    def start(name, *uid):
        argv = [sys.executable, "-I", "-c", NAMED, name.hex(), *uid]
        running.append(subprocess.Popen(argv, stdout=subprocess.PIPE))
        running[-1].stdout.readline()
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_process_is_seen_however_it_is_called(named, name):
    process = named(name)
    seen = processes()[process.pid]
    assert seen.uids == os.getresuid()
    assert seen.name == name.decode("utf-8", "replace")
    assert not is_dead(process.pid)
    process.kill()
    process.wait()
    assert is_dead(process.pid)


@pytest.mark.root
def test_whoever_is_cut_off_leaves_no_process_by_calling_it_so(named):
    uid = 60998
    process = named(b"\xff\xfe", str(uid))
    cutting.end_all({"nobody-of-this-name": uid})
    assert process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("end", ENDS)
def test_a_comment_makes_no_line(tmp_path, end):
    (tmp_path / "etc").mkdir()
    passwd = tmp_path / "etc/passwd"
    passwd.write_bytes(PASSWD % end)
    (tmp_path / "etc/shadow").write_text("root:*:1::::::\nmallory:!:1::::::\n")
    assert local_names(passwd) == {"root", "mallory"}
    assert other_ways_beside.with_password(tmp_path) == ()
    assert repairs(read(tmp_path / "etc"), ["carol"], [], []) == []


@pytest.mark.parametrize("end", ENDS)
def test_options_of_a_key_make_no_comment_of_it(tmp_path, end):
    """sshd takes it for one line, so the key lets in."""
    key = Keys(tmp_path).public("ssh-ed25519").text().encode()
    file = tmp_path / "authorized_keys"
    file.write_bytes(b'command="x' + end + b'#" ' + key + b"\n")
    assert len(other_ways_keys.read(file)) == 1


def test_the_place_of_a_mount_is_no_kind_of_file_system(tmp_path):
    file = tmp_path / "mountinfo"
    line = b"1 0 0:%d / %b rw - %b x rw\n"
    file.write_bytes(
        line % (1, b"/srv/\xc3\xa9\\040b", b"ext4")
        + line % (2, b"/home/mallory/\xff", b"fuse")
        + line % (3, b"/home/mallory/a\xc2\xa0-\xc2\xa0ext4", b"fuse")
        + line % (4, b"/home/mallory/a\r-\rext4", b"fuse")
    )
    assert places(file) == ("/srv/é b",)
