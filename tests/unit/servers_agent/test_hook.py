"""The hook's own reader of certificates, and its ledger."""

from __future__ import annotations

import posix
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ssh_world import FIDO, PLAIN, Keys

from ostiary.doors.servers.agent import hook, ledger, spool
from ostiary.doors.servers.agent.files import Paths
from ostiary.pki import ssh_certificate
from ostiary.pki.ssh_certificate import Certificate
from ostiary.pki.ssh_option import flag, valued


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


def made(keys, subject="ssh-ed25519", authority="ecdsa-sha2-nistp256", **fields):
    options = (valued("source-address", "10.0.0.0/8"),)
    before = int(time.time()) + 120
    fields = {"serial": 2**63 - 1, "valid_before": before, "principals": ("a@b", "c@d"), **fields}
    unsigned = Certificate(
        keys.public(subject),
        "someone",
        critical_options=options,
        extensions=(flag("permit-pty"), valued("device@ostiary", "x")),
        **fields,
    )
    return ssh_certificate.sign(unsigned, keys.signer(authority))


@pytest.mark.parametrize("subject", [*PLAIN, *FIDO])
def test_it_reads_what_the_product_writes(keys, subject):
    one = made(keys, subject)
    found = hook.certificate(ssh_certificate.encode(one))
    assert found == (one.serial, one.valid_before, one.authority.blob)


def test_a_cut_certificate_is_an_error_at_every_length(keys):
    blob = ssh_certificate.encode(made(keys))
    end = blob.rindex(made(keys).authority.blob[-20:]) + 20
    for length in range(end):
        with pytest.raises(ValueError, match="certificate"):
            hook.certificate(blob[:length])


def test_lengths_that_lie_are_errors(keys):
    blob = bytearray(ssh_certificate.encode(made(keys)))
    for at in range(0, len(blob) - 4, 7):
        lying = bytes(blob[:at]) + b"\xff\xff\xff\xff" + bytes(blob[at + 4 :])
        try:
            hook.certificate(lying)
        except ValueError:
            continue


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ledger").mkdir()
    return tmp_path


@pytest.fixture
def judged(keys, folder):
    """``judged(text)``: the exit code of the hook, its authority being the P-256 one."""

    def judged(text):
        trusted = folder / "authorities"
        trusted.write_text("# a comment\n" + keys.public("ecdsa-sha2-nistp256").text() + "\n")
        posix.environ[b"SSH_AUTH_INFO_0"] = text.encode()
        try:
            return hook.judged([str(folder), str(trusted)])
        finally:
            del posix.environ[b"SSH_AUTH_INFO_0"]

    return judged


def info(certificate):
    return f"publickey {ssh_certificate.to_text(certificate)}"


def test_once(keys, judged, folder):
    one = info(made(keys, serial=5))
    assert [judged(one), judged(one), judged(one)] == [0, 1, 1]
    assert judged(info(made(keys, serial=6))) == 0
    assert {path.name for path in (folder / "ledger").iterdir()} == {"5", "6"}


def test_of_many_at_once_one(keys, folder):
    def take(_):
        try:
            hook.take(str(folder), 7, 8)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(64))) == 1


@pytest.mark.parametrize(
    "text", ["", "publickey ssh-ed25519 AAAA", "password", "publickey x-cert-v01@openssh.com AAAA"]
)
def test_whatever_is_not_one_certificate_of_ours_is_refused_here(judged, text):
    """The guard in front asks only about ours, so this is a certificate that hides from one of the two."""
    assert judged(text) == 1


def test_two_certificates_or_another_authority_are_refused(keys, judged):
    assert judged(info(made(keys, authority="ssh-ed25519"))) == 1
    assert judged(f"{info(made(keys, serial=1))}\n{info(made(keys, serial=2))}") == 1


def test_a_link_in_the_ledger_is_not_followed(keys, judged, folder):
    (folder / "ledger" / "9").symlink_to(folder / "elsewhere")
    assert judged(info(made(keys, serial=9))) == 1
    assert not (folder / "elsewhere").exists()


def test_events_reach_the_spool_and_leave_it_once_shipped(keys, judged, folder):
    one = info(made(keys, serial=11))
    posix.environ.update({b"PAM_USER": b"alice", b"PAM_RHOST": b"10.0.0.1"})
    try:
        judged(one)
        judged(one)
    finally:
        del posix.environ[b"PAM_USER"], posix.environ[b"PAM_RHOST"]
    shipping = spool.Spool(Paths(var=folder))
    first, offset = shipping.take()
    assert [(each.serial, each.login, each.outcome) for each in first] == [
        ("11", "alice", "accepted"),
        ("11", "alice", "replayed"),
    ]
    assert shipping.take() == (first, offset)  # not shipped yet
    judged(info(made(keys, serial=12)))
    shipping.shipped(offset)
    second, offset = shipping.take()
    assert [each.serial for each in second] == ["12"]
    shipping.shipped(offset)
    assert shipping.take() == ((), 0)


def test_what_comes_into_the_file_that_is_being_shipped_is_shipped_next(folder):
    shipping = spool.Spool(Paths(var=folder))
    (folder / "spool").write_text("1\ta\t1.0\tx\taccepted\n")
    _, offset = shipping.take()
    with (folder / "spool.sending").open("a") as late:
        late.write("2\ta\t1.0\tx\taccepted\nbroken line\n3\ta\tnan?\tx\taccepted\n")
    shipping.shipped(offset)
    found, offset = shipping.take()
    assert [each.serial for each in found] == ["2"]
    shipping.shipped(offset)
    assert not (folder / "spool.sending").exists()


def test_what_another_shipped_meanwhile_hides_no_event_of_the_next_file(folder):
    """The service has shipped a part when somebody's ``once`` ships all and begins another file, of whatever inode."""
    service, once = spool.Spool(Paths(var=folder)), spool.Spool(Paths(var=folder))
    lines = [f"{number}\ta\t{number}.5\tx\taccepted\n" for number in range(9)]
    (folder / "spool").write_text("".join(lines[:2]))
    _, offset = service.take()
    with (folder / "spool.sending").open("a") as late:
        late.write(lines[2])
    service.shipped(offset)
    once.shipped(once.take()[1])
    assert not (folder / "spool.sending").exists()
    (folder / "spool").write_text("".join(lines[3:]))
    once.take()
    assert [each.serial for each in service.take()[0]] == ["3", "4", "5", "6", "7", "8"]


@pytest.fixture
def paths(tmp_path):
    """A host that has counted before."""
    return Paths(etc=tmp_path / "etc", var=tmp_path)


def test_a_clock_that_goes_back_brings_no_certificate_back(keys, judged, folder):
    used = info(made(keys, serial=7))
    assert judged(used) == 0
    assert ledger.prune(folder / "ledger", time.time() + 2 * 86_400) == 1
    assert not (folder / "ledger/7").exists()
    assert judged(used) == 1
    later = int(time.time()) + 121
    assert judged(info(made(keys, serial=8, valid_before=later))) == 0


def test_a_ledger_that_was_lost_lets_in_what_is_made_afterwards(keys, judged, folder, paths):
    used = info(made(keys, serial=7))
    assert judged(used) == 0
    shutil.rmtree(folder / "ledger")
    assert judged(used) == 1
    ledger.begin(paths, ["an authority whose certificates were counted"])
    assert judged(used) == 1
    later = int(time.time()) + 181
    assert judged(info(made(keys, serial=8, valid_before=later))) == 0


@pytest.mark.parametrize("left", ["", "x", "9" * 400])
def test_a_floor_that_cannot_be_read_refuses_until_it_is_made_anew(
    keys, judged, folder, paths, left
):
    (folder / "ledger/floor").write_text(left)
    late = {"valid_before": int(time.time()) + 200}
    assert judged(info(made(keys, serial=7, **late))) == (0 if left[:1] == "9" else 1)
    ledger.begin(paths, ["an authority"])
    assert judged(info(made(keys, serial=8, **late))) == 0


def test_the_first_ledger_of_a_host_makes_nobody_wait(keys, judged, folder, paths):
    shutil.rmtree(folder / "ledger")
    ledger.begin(paths, [])
    assert (folder / "ledger").stat().st_mode & 0o777 == 0o700
    assert judged(info(made(keys))) == 0


def test_a_floor_of_a_clock_that_was_ahead_keeps_nobody_out(keys, judged, folder):
    (folder / "ledger/floor").write_text(f"{int(time.time()) + 4000}\n")
    assert judged(info(made(keys))) == 0


def test_where_the_floor_cannot_be_written_no_serial_is_forgotten(folder):
    (folder / "ledger/7").write_text("1\n")
    (folder / "ledger/floor").mkdir()
    assert ledger.prune(folder / "ledger", time.time()) == 0
    assert (folder / "ledger/7").exists()
