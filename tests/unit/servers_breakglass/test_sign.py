"""A way in signed offline: what stands in it, that stock sshd takes it, where the key goes, and the slip before it."""

import json
import subprocess
import time

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ssh_world import program, ssh_keygen

from ostiary.cli import root
from ostiary.doors.servers.breakglass import certificate, slips
from ostiary.doors.servers.breakglass.certificate import Wanted
from ostiary.doors.servers.breakglass.hand_over import to_agent, to_files
from ostiary.doors.servers.breakglass.sign import sign
from ostiary.errors import NotFound, OstiaryError, UsageError
from ostiary.pki import ssh_certificate

REASON = "db1 is down, ticket 4711"
SERVER = "srv_abcdefghjkmnpqrs"
WANTED = Wanted("ada", "srv-1", REASON)


@pytest.fixture
def signed(three_of_five, tmp_path):
    def signed(wanted=WANTED, shares=three_of_five[1:4]):
        return sign(shares, wanted, tmp_path / "slips.jsonl", int(time.time()))

    return signed


def shown(made, tmp_path):
    (tmp_path / "shown-cert.pub").write_text(ssh_certificate.to_text(made) + "\n")
    return ssh_keygen("-L", "-f", tmp_path / "shown-cert.pub").stdout


def test_openssh_reads_what_was_asked_for(signed, three_of_five, tmp_path):
    wanted = Wanted("ada", "srv-1", REASON, 300, False, ("203.0.113.0/24",), "/usr/bin/uptime")
    made = signed(wanted).certificate
    text = shown(made, tmp_path)
    assert f'Key ID: "break-glass {made.serial}: {REASON}"' in text
    assert f"Signing CA: ED25519 {three_of_five[0].authority.fingerprint}" in text
    assert "Principals: \n                ada@srv-1\n" in text
    assert "force-command /usr/bin/uptime" in text
    assert "source-address 203.0.113.0/24" in text
    assert made.valid_before - made.valid_after == 360
    assert certificate.reason_of(made) == REASON


def test_a_hop_gives_a_way_through_and_no_terminal(signed, tmp_path):
    made = signed(Wanted("ada", "srv-1", REASON, hop=True)).certificate
    assert made.principals == ("ada@srv-1.hop",)
    assert {name for name, _ in made.extensions if "@" not in name} == {"permit-port-forwarding"}


def test_the_sshd_of_the_distribution_lets_it_in(signed, sshd, three_of_five, tmp_path):
    got = signed()
    to_files(tmp_path / "key", got.key, got.certificate)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "trusted").write_text(three_of_five[0].authority.text() + "\n")
    (tmp_path / "principals").write_text("restrict,pty ada@srv-1\n")
    done = sshd.login(
        (tmp_path / "key-cert.pub").read_text().strip(),
        tmp_path / "key",
        "echo in",
        TrustedUserCAKeys=str(tmp_path / "trusted"),
        AuthorizedPrincipalsFile=str(tmp_path / "principals"),
    )
    assert (done.returncode, done.stdout) == (0, "in\n"), sshd.log
    assert f"ID break-glass {got.certificate.serial}: {REASON} (serial" in sshd.log


def test_the_agent_holds_key_and_certificate_for_their_time(signed, agent, tmp_path):
    got = signed()
    to_agent(str(agent), got.key, got.certificate, "break-glass", 3)
    listed = subprocess.run([program("ssh-add"), "-L"], capture_output=True, text=True, check=True)
    assert listed.stdout.split()[:2] == ssh_certificate.to_text(got.certificate).split()
    (tmp_path / "c-cert.pub").write_text(listed.stdout)
    subprocess.run([program("ssh-add"), "-T", tmp_path / "c-cert.pub"], check=True)  # it signs
    end = time.monotonic() + 10
    while "no identities" not in listed.stdout:
        assert time.monotonic() < end, listed.stdout
        time.sleep(0.1)
        listed = subprocess.run(
            [program("ssh-add"), "-L"], capture_output=True, text=True, check=False
        )


def test_no_agent_is_said_and_nothing_is_there_twice(signed, tmp_path):
    got = signed()
    with pytest.raises(OstiaryError, match="cannot give the key to the SSH agent"):
        to_agent(str(tmp_path / "none"), got.key, got.certificate, "", 5)
    to_files(tmp_path / "key", got.key, got.certificate)
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(UsageError, match="it is there already"):
        to_files(tmp_path / "key", Ed25519PrivateKey.generate(), got.certificate)
    (tmp_path / "key-cert.pub").unlink()
    with pytest.raises(UsageError, match="it is there already"):
        to_files(tmp_path / "key", Ed25519PrivateKey.generate(), got.certificate)
    assert (tmp_path / "key").read_bytes() == before
    assert not (tmp_path / "key-cert.pub").exists()


def test_the_slip_says_what_was_signed_and_no_slip_is_no_certificate(signed, tmp_path):
    first, second = signed(), signed()
    kept = slips.read(tmp_path / "slips.jsonl")
    assert [one.reason for one in kept] == [REASON, REASON]
    assert [one.certificates[0] for one in kept] == [
        ssh_certificate.to_text(one.certificate) for one in (first, second)
    ]
    assert (tmp_path / "slips.jsonl").stat().st_mode & 0o777 == 0o600
    with pytest.raises(OstiaryError, match="cannot write the slip"):
        slips.append(tmp_path / "slips.jsonl" / "below", kept[0])
    with pytest.raises(NotFound):
        slips.read(tmp_path / "none")
    (tmp_path / "slips.jsonl").write_text("{}\n")
    with pytest.raises(UsageError):
        slips.read(tmp_path / "slips.jsonl")


NOT_SIGNED = {
    "nobody": Wanted("", "srv-1", REASON),
    "two": Wanted("ada,root", "srv-1", REASON),
    "star": Wanted("*", "srv-1", REASON),
    "nul": Wanted("ada\0", "srv-1", REASON),
    "no server": Wanted("ada", "", REASON),
    "server with a space": Wanted("ada", "srv 1", REASON),
    "no reason": Wanted("ada", "srv-1", ""),
    "two lines": Wanted("ada", "srv-1", "a\nb"),
    "long reason": Wanted("ada", "srv-1", "x" * 201),
    "too long": Wanted("ada", "srv-1", REASON, 3601),
    "no time": Wanted("ada", "srv-1", REASON, 0),
    "no network": Wanted("ada", "srv-1", REASON, source_address=("10.0.0.1/8",)),
    "command of two lines": Wanted("ada", "srv-1", REASON, command="a\nb"),
}


@pytest.mark.parametrize("name", NOT_SIGNED)
def test_what_no_certificate_can_be_for_leaves_no_slip(signed, tmp_path, name):
    with pytest.raises(UsageError):
        signed(NOT_SIGNED[name])
    assert not (tmp_path / "slips.jsonl").exists()


@pytest.fixture
def share_files(three_of_five, tmp_path):
    files = []
    for one in three_of_five[:3]:
        file = tmp_path / f"share-{one.number}"
        file.write_text(one.text())
        files.append(file)
    return files


def run(*arguments, code=0):
    done = CliRunner().invoke(root, ["servers", "breakglass", "sign", *map(str, arguments)])
    if isinstance(done.exception, OstiaryError):
        assert done.exception.exit_code == code, done.exception
        return str(done.exception)
    assert done.exit_code == code, done.output
    return done.output


def test_the_command_signs_offline_into_the_agent(share_files, agent, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shares = [part for file in share_files for part in ("--share", file)]
    asked = ("--login", "ada", "--server", SERVER, "--reason", REASON)
    out = run(*shares, *asked)
    assert f"enter with: ssh -F none -o HostKeyAlias={SERVER} -l ada ADDRESS" in out
    assert "ostiary servers breakglass submit --project prod" in out
    assert len(slips.read(tmp_path / "state/ostiary/break-glass/prod.jsonl")) == 1
    told = json.loads(run(*shares, *asked, "--json").partition("when all")[0])
    assert told["principal"] == f"ada@{SERVER}"
    listed = subprocess.run([program("ssh-add"), "-L"], capture_output=True, text=True, check=True)
    assert told["certificate"].split()[1] in listed.stdout


def test_the_command_refuses_before_it_signs(share_files, tmp_path, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    slip = tmp_path / "slips"
    shares = [part for file in share_files for part in ("--share", file)]
    asked = ("--login", "ada", "--server", SERVER, "--reason", REASON, "--slips", slip)
    assert "SSH_AUTH_SOCK is not set" in run(*shares, *asked, code=2)
    out = ("--out", tmp_path / "key")
    assert "3 different ones are needed" in run(*shares[:4], *asked, *out, code=2)
    share_files[0].write_text("hello")
    assert "cannot read the share" in run(*shares, *asked, *out, code=2)
    share_files[0].unlink()
    assert "no such file" in run(*shares, *asked, *out, code=2)
    assert not slip.exists()
    assert not (tmp_path / "key").exists()


def test_a_name_is_no_server_because_no_host_would_take_it(share_files, tmp_path):
    shares = [part for file in share_files for part in ("--share", file)]
    asked = ("--login", "ada", "--server", "web1", "--reason", REASON)
    files = ("--out", tmp_path / "key", "--slips", tmp_path / "slips")
    assert "it is no id as srv_abcdefghjkmnpqrs" in run(*shares, *asked, *files, code=2)
    assert not (tmp_path / "slips").exists()
    assert not (tmp_path / "key").exists()


def test_a_hop_says_how_to_go_through_it(share_files, agent, tmp_path):
    shares = [part for file in share_files for part in ("--share", file)]
    asked = ("--login", "ada", "--server", SERVER, "--reason", REASON, "--hop")
    slip = ("--slips", tmp_path / "slips")
    out = run(*shares, *asked, *slip)
    assert f"lets ada@{SERVER}.hop through until" in out
    assert "ssh -F none -J ada@BASTION -l ada ADDRESS" in out
    out = run(*shares, *asked, *slip, "--out", tmp_path / "key")
    inner = f"ssh -F none -o HostKeyAlias={SERVER} -i {tmp_path / 'key'} -W %h:%p ada@BASTION"
    assert f"ssh -F none -i KEY -o ProxyCommand='{inner}' -l ada ADDRESS" in out


def test_root_is_signed_for_because_a_host_may_have_been_enrolled_so(signed):
    assert signed(Wanted("root", "srv-1", REASON)).certificate.principals == ("root@srv-1",)


def test_a_slip_that_cannot_be_written_signs_nothing(share_files, tmp_path):
    shares = [part for file in share_files for part in ("--share", file)]
    asked = ("--login", "ada", "--server", SERVER, "--reason", REASON)
    out = tmp_path / "key"
    said = run(*shares, *asked, "--out", out, "--slips", share_files[0] / "x", code=1)
    assert "cannot write the slip" in said
    assert not out.exists()
    said = run(*shares, *asked, "--out", out, "--slips", "/dev/full", code=1)
    assert "cannot write the slip to /dev/full: no space left on device" in said
    assert not out.exists()
