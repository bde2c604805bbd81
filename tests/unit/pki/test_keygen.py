"""``python -m ostiary.pki`` beside ssh-keygen: the same exit codes, messages, files and certificates."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_world import FIDO, PLAIN, Authenticator, program, ssh_keygen

from ostiary.pki import ssh_certificate
from ostiary.pki.keygen.run import main
from ostiary.pki.ssh_certificate import Certificate

CA = ("-s", "ca")
NAMED = ("-I", "an id")
WARNING = "Warning: certificate will contain no principals (-n)\r\n"  # from OpenSSH 10 on


@pytest.fixture(params=["UTC", "America/New_York"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def both(tmp_path, keys, monkeypatch, capsys):
    """``both(arguments)``: run ssh-keygen and ours in folders with the same keys; what each left, but for chance.

    Times count from now, so both must have run within one second: else they run again. ssh-keygen's now is time(2)'s,
    of the coarse clock, which comes to a new second as much as a tick, 10 ms, late.
    """
    for side in ("theirs", "ours"):
        folder = tmp_path / side
        folder.mkdir()
        for name, kind in {
            "ca": "ssh-ed25519",
            "rsa": "ssh-rsa",
            "p256": "ecdsa-sha2-nistp256",
        }.items():
            shutil.copy(keys.file(kind), folder / name)
            shutil.copy(f"{keys.file(kind)}.pub", folder / f"{name}.pub")
        shutil.copy(keys.file("ssh-ed25519", b"secret"), folder / "locked")
        for number, kind in enumerate((*PLAIN, *FIDO)):
            (folder / f"k{number}.pub").write_text(
                keys.public(kind).text(f"comment {number}") + "\n"
            )

    def run(*arguments, stdin=b""):
        for _ in range(10):
            second = int(time.time() - 0.02)
            seen = once(arguments, stdin)
            if int(time.time()) == second:
                return seen
        pytest.fail("both were never done within one second")

    def once(arguments, stdin):
        place = tmp_path / "theirs"
        program("ssh-keygen")
        theirs = subprocess.run(
            ["ssh-keygen", *arguments], cwd=place, capture_output=True, check=False, input=stdin
        )
        seen = {
            "theirs": (theirs.returncode, os.fsdecode(theirs.stdout), os.fsdecode(theirs.stderr))
        }
        monkeypatch.chdir(tmp_path / "ours")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main(arguments)
        seen["ours"] = (code, *capsys.readouterr())
        if "-L" in arguments:
            return {side: (*said, {}) for side, said in seen.items()}
        return {side: (*said, _left(tmp_path / side)) for side, said in seen.items()}

    return run


def _left(folder: Path) -> dict[str, object]:
    """Every certificate there: its mode, its comment, all but nonce and signature; and ssh-keygen's view of all."""
    left: dict[str, object] = {}
    texts = []
    for path in sorted(folder.glob("*-cert.pub")):
        text = os.fsdecode(path.read_bytes())
        one = ssh_certificate.parse(text)
        ssh_certificate.verify(one)
        assert len(one.nonce) == 32
        comment = text.split(" ")[2:]
        left[path.name] = (path.stat().st_mode, comment, replace(one, nonce=b"", signature=b""))
        texts.append(text)
    if texts:
        left["shown"] = ssh_keygen("-L", "-f", "-", input="".join(texts)).stdout
    return left


def _same(seen, *, stderr=True):
    code, out, err, left = seen["ours"]
    assert (code, out, left) == (*seen["theirs"][:2], seen["theirs"][3])
    if stderr:
        assert err.replace(WARNING, "") == seen["theirs"][2].replace(WARNING, "")


EVERY = tuple(f"k{number}.pub" for number in range(7))
GOOD = {
    "many files": (*CA, *NAMED, "-n", "a,b", *EVERY),
    "counting": (*CA, *NAMED, "-n", "a", "-z", "+18446744073709551614", *EVERY[:3]),
    "serial": (*CA, *NAMED, "-z", "007", "k0.pub"),
    "quiet": ("-q", *CA, *NAMED, "-n", "a", "k0.pub"),
    "clusters": ("-qhsca", "-Ian id", "-na.example.com", "-V+52w", "k0.pub"),
    "host": (*CA, *NAMED, "-h", "-n", "*.example.com", "k0.pub"),
    "by base name": (*CA, *NAMED, "-n", "a", "rsa"),
    "self": ("-s", "p256", *NAMED, "-n", "a", "p256.pub"),
    "RSA": ("-s", "rsa", *NAMED, "-n", "a", "k0.pub"),
    "RSA with SHA-256": ("-s", "rsa", *NAMED, "-t", "rsa-sha2-256", "-n", "a", "k0.pub"),
    "P-256 by name": ("-s", "p256", *NAMED, "-t", "ecdsa-sha2-nistp256", "k0.pub"),
    "dots": (*CA, *NAMED, "-n", "a", "./k0.pub"),
    "empty id": (*CA, "-I", "", "k0.pub"),
    "passphrase": ("-s", "locked", "-P", "secret", *NAMED, "k0.pub"),
    "every -O": (
        *CA,
        *NAMED,
        *(
            part
            for option in (
                "clear",
                "PERMIT-x11-forwarding",
                "permit-agent-forwarding",
                "permit-port-forwarding",
                "permit-pty",
                "permit-user-rc",
                "no-touch-required",
                "verify-required",
                "force-command=echo a=b, c",
                "Source-Address=10.0.0.0/8,::1,192.0.2.1",
                "critical:b@c=d=e",
                "critical:flag@c",
                "extension:z",
                "Extension:empty=",
                "extension:a@b=ü",
            )
            for part in ("-O", option)
        ),
        "k0.pub",
    ),
    "every no": (
        *CA,
        *NAMED,
        *(
            f"-O{option}"
            for option in (
                "no-touch-required",
                "verify-required",
                "no-x11-forwarding",
                "no-agent-forwarding",
                "no-port-forwarding",
                "no-pty",
                "no-user-rc",
                "touch-required",
                "no-verify-required",
            )
        ),
        "k0.pub",
    ),
    "host then permit": (*CA, *NAMED, "-O", "permit-pty", "-h", "k0.pub"),
}
TIMES = (
    "-1w:+2w",
    "+1h:+1d2h3m4s",
    "-0:+1",
    "20260101:20270630",
    "202601010203:202707040506",
    "20260101020304:20270704050607",
    "20260101Z:20270101utc",
    "20260701:20270701120000UTC",
    "20260231:20270101",
    "19800101:19900101",
    "always:forever",
    "always:+1h",
    "-1m:forever",
    "0x10:0xffffffffffffff",
    "0X10:forever",
    "0x0:0xffffffffffffffff",
)
BAD = {
    "no id": (*CA, "k0.pub"),
    "no file": (*CA, *NAMED),
    "nothing to sign": (*CA, *NAMED, "none.pub"),
    "no authority": ("-s", "none", *NAMED, "k0.pub"),
    "authority is public": ("-s", "k0.pub", *NAMED, "k1.pub"),
    "empty principal": (*CA, *NAMED, "-n", "a,", "k0.pub"),
    "no principal": (*CA, *NAMED, "-n", "", "k0.pub"),
    "257 principals": (*CA, *NAMED, "-n", ",".join("a" * 257), "k0.pub"),
    "other type": ("-s", "rsa", *NAMED, "-t", "ed25519", "k0.pub"),
    "short name": (*CA, *NAMED, "-t", "ed25519", "k0.pub"),
    "strange type": (*CA, *NAMED, "-t", "none", "k0.pub"),
    "wrong passphrase": ("-s", "locked", "-P", "other", *NAMED, "k0.pub"),
    **{
        f"-O {option}": (*CA, *NAMED, "-O", option, "k0.pub")
        for option in (
            "none",
            "",
            "permit-pty=1",
            "force-command",
            "force-command=",
            "source-address=",
            "source-address=10.0.0.0/33",
            "source-address=10.0.0.1/8",
            "source-address=10.0.0.0/8,",
            "source-address=example.com",
            "source-address=10.0.0.0/a",
            "source-address=::/129",
            f"source-address={'1' * 60}",
        )
    },
    "force-command twice": (*CA, *NAMED, "-Oforce-command=a", "-Oforce-command=b", "k0.pub"),
    **{
        f"-z {text}": (*CA, *NAMED, "-z", text, "k0.pub")
        for text in ("", "-1", "a", "1x", "+", "18446744073709551616")
    },
    **{
        f"-V {text}": (*CA, *NAMED, "-V", text, "k0.pub")
        for text in (
            "",
            "1h",
            "+",
            "+x",
            "+1y",
            "-1h",
            ":",
            "a:b",
            "always:",
            ":forever",
            "forever:always",
            "+1h:+1h",
            "+2h:+1h",
            "-99999999999:+1",
            "-2147483647:+1",
            "+2147483648:forever",
            "2026:2027",
            "20261301:20270101",
            "20260132:20270101",
            "202601012460:20270101",
            "2026010a:20270101",
            "always:20270101X",
            "0xg:forever",
            "0x:forever",
            "0x10000000000000000:forever",
            "always:always",
        )
    },
}


@pytest.mark.parametrize("name", GOOD)
def test_signs_as_ssh_keygen_does(both, name):
    _same(both(*GOOD[name]))


@pytest.mark.parametrize("text", TIMES)
def test_times_mean_the_same(both, zone, text):
    _same(both("-q", *CA, *NAMED, "-n", "a", "-V", text, "k0.pub"))


@pytest.mark.parametrize("name", BAD)
def test_refuses_as_ssh_keygen_does(both, name):
    seen = both(*BAD[name])
    assert seen["ours"][0] != 0
    usage = seen["ours"][0] == 1
    _same(seen, stderr=not usage)
    if usage:
        first = [seen[side][2].splitlines()[0] for side in ("ours", "theirs")]
        assert first[0] == first[1]


def test_refuses_an_authority_that_others_may_read(both, tmp_path):
    for side in ("theirs", "ours"):
        (tmp_path / side / "ca").chmod(0o640)
    seen = both(*CA, *NAMED, "-n", "a", "k0.pub")
    assert "bad permissions" in seen["ours"][2]
    _same(seen)


def test_refuses_a_certificate_as_subject(both):
    both("-q", *CA, *NAMED, "-n", "a", "k0.pub")
    _same(both(*CA, *NAMED, "-n", "a", "k0-cert.pub"))
    _same(both("-s", "k0-cert.pub", *NAMED, "-n", "a", "k0.pub"))


def test_stops_at_the_first_bad_file_and_keeps_what_was_made(both):
    seen = both(*CA, *NAMED, "-n", "a", "k0.pub", "none.pub", "k1.pub")
    _same(seen)
    assert list(seen["ours"][3]) == ["k0-cert.pub", "shown"]


def test_asks_standard_input_for_a_passphrase(both):
    seen = both("-q", "-s", "locked", *NAMED, "-n", "a", "k0.pub", stdin=b"secret\n")
    assert seen["ours"][0] == seen["theirs"][0] == 0
    assert seen["ours"][3] == seen["theirs"][3]


HELPERS = {
    "right": ("#!/bin/sh\necho secret\n", {"SSH_ASKPASS_REQUIRE": "force"}),
    "wrong": ("#!/bin/sh\necho other\n", {"SSH_ASKPASS_REQUIRE": "force"}),
    "fails": ("#!/bin/sh\necho secret\nexit 1\n", {"SSH_ASKPASS_REQUIRE": "force"}),
    "with a display": ("#!/bin/sh\necho secret\n", {"DISPLAY": ":0"}),
    "preferred": ("#!/bin/sh\necho secret\n", {"DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "prefer"}),
    "by its first line": ("#!/bin/sh\necho secret; echo more\n", {"SSH_ASKPASS_REQUIRE": "force"}),
    "without a display": ("#!/bin/sh\necho secret\n", {}),
    "never": ("#!/bin/sh\necho secret\n", {"DISPLAY": ":0", "SSH_ASKPASS_REQUIRE": "never"}),
}


@pytest.mark.parametrize("name", HELPERS)
def test_asks_the_program_of_ssh_askpass(tmp_path, keys, name):
    text, more = HELPERS[name]
    helper = tmp_path / "askpass"
    helper.write_text(text)
    helper.chmod(0o755)
    left_out = ("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS_REQUIRE")
    known = {key: value for key, value in os.environ.items() if key not in left_out}
    shutil.copy(keys.file("ssh-ed25519", b"secret"), tmp_path / "locked")
    shutil.copy(f"{keys.file('ssh-ed25519')}.pub", tmp_path / "key.pub")
    program("ssh-keygen")
    ends = []
    for command in (["ssh-keygen"], [sys.executable, "-m", "ostiary.pki"]):
        made = tmp_path / "key-cert.pub"
        made.unlink(missing_ok=True)
        done = subprocess.run(
            [*command, "-q", "-s", "locked", *NAMED, "-n", "a", "key.pub"],
            cwd=tmp_path,
            env=known | {"SSH_ASKPASS": str(helper)} | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,  # without a terminal
        )
        ends.append((done.returncode, made.exists()))
    assert ends[0] == ends[1]
    assert ends[0][1] is (name in ("right", "with a display", "preferred", "by its first line"))


def test_a_certificate_that_was_there_keeps_its_mode(both, tmp_path):
    for side in ("theirs", "ours"):
        (tmp_path / side / "k0-cert.pub").write_text("old\n" * 1000)
        (tmp_path / side / "k0-cert.pub").chmod(0o600)
    seen = both("-q", *CA, *NAMED, "-n", "a", "k0.pub")
    _same(seen)
    assert seen["ours"][3]["k0-cert.pub"][0] & 0o777 == 0o600


def test_says_where_it_cannot_write(both, tmp_path):
    for side in ("theirs", "ours"):
        (tmp_path / side / "k0-cert.pub.d").mkdir()
        (tmp_path / side / "k0-cert.pub.d").rename(tmp_path / side / "x-cert.pub")
        shutil.copy(tmp_path / side / "k0.pub", tmp_path / side / "x.pub")
    program("ssh-keygen")
    theirs = subprocess.run(
        ["ssh-keygen", *CA, *NAMED, "-n", "a", "x.pub"],
        cwd=tmp_path / "theirs",
        capture_output=True,
        text=True,
        check=False,
    )
    os.chdir(tmp_path / "ours")
    assert main([*CA, *NAMED, "-n", "a", "x.pub"]) == theirs.returncode == 255


def test_key_files_are_read_as_ssh_keygen_reads_them(both, tmp_path, keys):
    """Comments and junk before the key, no comment, tabs, a private key alone."""
    line = keys.public("ssh-ed25519").text()
    for side in ("theirs", "ours"):
        folder = tmp_path / side
        (folder / "a.pub").write_text(f"# hello\n\nno key\n  {line}\nssh-ed25519 AAAA\n")
        (folder / "b.pub").write_text(line.replace(" ", "\t ") + "  two words \r\n")
        (folder / "c").write_bytes((folder / "rsa").read_bytes())
        (folder / "d").write_text(line)
        (folder / "e.pub").write_text(f"no-pty {line}\n")
    for name in ("a.pub", "b.pub", "d", "e.pub"):
        _same(both(*CA, *NAMED, "-n", "a", name))
    assert both("-q", *CA, *NAMED, "-n", "a", "c")["ours"][0] == 0


SHOWN = {
    "user": (*CA, *NAMED, "-n", "a,b c,ü"),
    "host": (*CA, *NAMED, "-h"),
    "options": (
        *CA,
        "-I",
        'quote " and \\',
        "-Overify-required",
        "-Oforce-command=a b",
        "-Osource-address=::/0",
        "-Oextension:x@y=1",
        "-Ocritical:flag",
        "-Ocritical:permit-pty",
        "-Oextension:force-command=z",
        "-Ono-touch-required",
    ),
    "far": (*CA, *NAMED, "-V", "0x7fffffffffff:forever", "-z", "18446744073709551615"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_shows_what_ssh_keygen_shows(both, zone, name):
    both("-q", *SHOWN[name], *EVERY)
    for number in range(7):
        _same(both("-L", "-f", f"k{number}-cert.pub"))
    for hash_name in ("md5", "sha1", "sha256", "SHA384", "sha512"):
        _same(both("-L", "-E", hash_name, "-f", "k0-cert.pub"))


@pytest.mark.parametrize("authority", FIDO)
def test_shows_what_a_fido_authority_signed(both, tmp_path, keys, authority):
    made = ssh_certificate.sign(
        Certificate(keys.public(authority), "id", ("a",)), Authenticator(authority)
    )
    for side in ("theirs", "ours"):
        (tmp_path / side / "sk.pub").write_text(ssh_certificate.to_text(made) + "\n")
    _same(both("-L", "-f", "sk.pub"))


def test_shows_many_from_a_file_and_from_standard_input(both, tmp_path):
    both("-q", *CA, *NAMED, "-n", "a", "k0.pub", "k1.pub")
    for side in ("theirs", "ours"):
        folder = tmp_path / side
        first, second = ((folder / f"k{number}-cert.pub").read_text() for number in (0, 1))
        broken = first.replace("AAAA", "AAAB", 1)
        forged = first[:-30] + ("A" if first[-30] != "A" else "B") + first[-29:]
        plain = (folder / "k0.pub").read_text()
        text = f"{first}# a comment\n\n  {second}{plain}hello\n{broken}{forged}{first.strip()}"
        (folder / "many").write_text(text)
    _same(both("-L", "-f", "many"))
    text = (tmp_path / "ours" / "many").read_bytes()
    (tmp_path / "theirs" / "many").write_bytes(text)
    _same(both("-L", "-f", "-", stdin=text))
    _same(both("-L", "-f", "k0.pub"))
    _same(both("-L", "-f", "/dev/null"))
    _same(both("-L", "-f", "none"))
    _same(both("-L", "-E", "none", "-f", "k0.pub"))


def test_a_time_beyond_the_calendar_has_no_name(both):
    """OpenSSH 9.2 prints what was in memory, 10 the same as ours."""
    shown = []
    for text in ("always:0xfffffffffffffffe", "always:0x7fffffffffffffff"):
        both("-q", *CA, *NAMED, "-n", "a", "-V", text, "k0.pub")
        shown.append(both("-L", "-f", "k0-cert.pub")["ours"][1])
    assert all("Valid: before UNKNOWN-TIME\n" in text for text in shown)


def test_runs_by_itself_with_ids_that_are_not_utf8(both, tmp_path):
    raw = b'latin \xfc \x1b[1m \x07\x7f\t \\ " \xc3\xbc'
    words = (*CA, "-I", raw, "-n", raw, "-O", b"force-command=" + raw, "k0.pub")
    said = []
    for side, command in {
        "theirs": ("ssh-keygen",),
        "ours": (sys.executable, "-m", "ostiary.pki"),
    }.items():
        for asked in (words, ("-L", "-f", "k0-cert.pub")):
            done = subprocess.run(
                [*command, *asked], cwd=tmp_path / side, capture_output=True, check=False
            )
            said.append((done.returncode, done.stdout, done.stderr))
    assert said[0] == said[2]
    assert said[1] == said[3]
    assert said[0][0] == said[1][0] == 0


def test_hands_other_calls_to_the_ssh_keygen_of_openssh(tmp_path):
    place = str(Path(program("ssh-keygen")).parent)
    made = tmp_path / "made"
    asked = ("-q", "-t", "ed25519", "-N", "", "-f", str(made))
    command = [sys.executable, "-m", "ostiary.pki"]
    subprocess.run([*command, *asked], env={"PATH": place}, check=True)
    assert made.exists()
    wrapper = tmp_path / "ssh-keygen"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m ostiary.pki "$@"\n')
    wrapper.chmod(0o755)
    looped = subprocess.run(
        [*command, "-l", "-f", str(made)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert looped.returncode == 255
    assert "is this program itself" in looped.stderr


@pytest.fixture
def agent(tmp_path, keys, monkeypatch):
    """An agent of OpenSSH that holds an RSA, a P-256 and an Ed25519 key."""
    place = tmp_path / "agent"
    running = subprocess.Popen([program("ssh-agent"), "-D", "-a", place], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    while not place.exists():
        assert running.poll() is None, "it has ended"
        time.sleep(0.01)
    for kind in ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"):
        subprocess.run(["ssh-add", "-q", keys.file(kind)], check=True)
    yield place
    running.terminate()
    running.wait(timeout=10)


@pytest.mark.parametrize("name", ["ca", "rsa", "p256"])
def test_signs_by_an_agent(both, agent, name):
    _same(both("-U", "-s", f"{name}.pub", *NAMED, "-n", "a", "k0.pub", "k1.pub"))


def test_signs_by_an_agent_with_sha256_and_refuses_what_it_has_not(
    both, agent, tmp_path, monkeypatch
):
    _same(both("-Us", "rsa.pub", *NAMED, "-t", "rsa-sha2-256", "-n", "a", "k0.pub"))
    _same(both("-Us", "k2.pub", *NAMED, "-n", "a", "k0.pub"))
    _same(both("-Us", "none.pub", *NAMED, "-n", "a", "k0.pub"))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    _same(both("-Us", "ca.pub", *NAMED, "-n", "a", "k0.pub"))
    monkeypatch.delenv("SSH_AUTH_SOCK")
    _same(both("-Us", "ca.pub", *NAMED, "-n", "a", "k0.pub"))


def test_says_what_is_left_out(both):
    code, _, said, left = both("-D", "/nonexistent.so", *CA, *NAMED, "-n", "a", "k0.pub")["ours"]
    assert (code, left) == (255, {})
    assert "-D is not served here" in said
