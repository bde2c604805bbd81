"""``ostiary login`` and ``logout`` as commands: what they say, leave and start."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import socket

import pytest
from client_world import LOGIN, PROOF_KEY, TOKEN

from ostiary.pki import sshsig

WHO = (
    "from ostiary.doors.servers.client import place, talk;"
    "print(talk.ask(place.run_folder(), 'who')['login'])"
)


@pytest.fixture
def signing_in(peer, org, person):
    """The org lets in whoever asks."""
    peer.issuer = org.url
    org.answers["/device"][0][1]["interval"] = 0.01
    org.answers["/token"] = [(200, {"id_token": "an-id-token", "refresh_token": "a-refresh-token"})]
    yield lambda *more: person.ostiary("login", "--control", peer.url, *more)
    person.ostiary("logout")


def test_a_sign_in_is_told_held_and_ended(peer, person, signing_in):
    done = signing_in("--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["person"], told["login"], told["control"]) == (
        "alice@acme.example",
        LOGIN,
        peer.url,
    )
    assert TOKEN not in done.stdout + done.stderr
    assert "enter the code ABCD at: " in done.stderr
    (asked,) = peer.signed_in
    assert (asked.id_token, asked.refresh_token) == ("an-id-token", "a-refresh-token")
    hashed = [hashlib.sha256(one).hexdigest() for one in (b"an-id-token", b"a-refresh-token")]
    signed = "\n".join((peer.url, *hashed, socket.gethostname()))
    key = sshsig.verify(asked.device_proof, "ostiary-sign-in@v1", signed.encode())
    assert key.type == "ssh-ed25519"
    assert person.ostiary("servers", "list").returncode == 0
    assert "signed out" in person.ostiary("logout").stderr
    assert peer.signed_out == 1
    assert "nobody is signed in here" in person.ostiary("logout").stderr
    gone = person.ostiary("servers", "list")
    assert (gone.returncode, gone.stdout) == (4, "")
    assert "fix: run: ostiary login" in gone.stderr


def test_nothing_secret_is_left_in_the_home(person, signing_in):
    signing_in()
    for file in (path for path in person.home.rglob("*") if path.is_file()):
        text = file.read_text()
        assert TOKEN not in text
        assert PROOF_KEY not in text
        assert "an-id-token" not in text
        assert "a-refresh-token" not in text
    written = {str(one.relative_to(person.home)) for one in person.home.rglob("*") if one.is_file()}
    assert written == {
        ".config/ostiary/client.json",
        ".config/ostiary/device.key",
        "run/ostiary/known_hosts",
        "run/ostiary/lock",
    } | ({".config/ostiary/servers"} & written)
    assert (person.home / ".config/ostiary/device.key").stat().st_mode & 0o777 == 0o600


def test_the_token_goes_to_the_control_plane_that_it_is_of_only(person, signing_in):
    signing_in()
    person.environ["OSTIARY_CONTROL"] = "https://evil.example"
    done = person.ostiary("servers", "list")
    del person.environ["OSTIARY_CONTROL"]
    assert done.returncode == 4
    assert "nobody is signed in at https://evil.example" in done.stderr
    assert "fix: see whether OSTIARY_CONTROL is yours" in done.stderr
    assert "--control https://evil" not in done.stderr


def test_another_sign_in_takes_the_place_of_the_first(peer, person, signing_in):
    assert signing_in().returncode == 0
    assert signing_in().returncode == 0
    again = person.ostiary("login")
    assert again.returncode == 0, "the control plane is remembered"
    assert f"on servers: {LOGIN}" in again.stdout
    assert person.ostiary("servers", "list").returncode == 0


def test_of_two_sign_ins_at_once_one_stays(person, peer):
    """The second would wait for ever for the first to go, which nobody told to."""
    person.sign_in(peer)
    first = person.resident
    person.sign_in(peer)
    assert first.wait(10) == 0
    first.stdout.close()
    first.stderr.close()
    assert person.python(WHO).stdout == f"{LOGIN}\n"


@pytest.mark.parametrize("seconds", [1e300, float(40 * 86_400)])
def test_a_session_that_does_not_end_is_refused(person, peer, signing_in, seconds):
    peer.seconds = seconds
    done = signing_in()
    assert done.returncode == 4
    assert "says that it ends in more than a month" in done.stderr
    assert "nobody is signed in here" in person.ostiary("logout").stderr


def test_a_sign_out_that_the_control_plane_does_not_hear_is_told(peer, person, signing_in):
    signing_in()
    peer.stop()
    peer.close_connections()
    done = person.ostiary("logout")
    assert done.returncode == 8
    assert "signed out here only" in done.stderr
    assert "nobody is signed in here" in person.ostiary("logout").stderr


def test_a_folder_for_sockets_that_others_may_enter_is_refused(person, signing_in):
    person.folder.mkdir()
    person.folder.chmod(0o777)
    done = signing_in()
    assert done.returncode == 6
    assert "others may enter it" in done.stderr


def test_a_session_that_is_over_is_no_sign_in(peer, person, signing_in):
    peer.seconds = -1
    signing_in()
    assert person.ostiary("servers", "list").returncode == 4


def test_ssh_is_told_of_a_new_login(person, signing_in):
    assert person.ostiary("ssh-config", "--install").returncode == 0
    assert f"User {LOGIN}" not in (person.home / ".config/ostiary/ssh_config").read_text()
    assert "ssh-config --install" not in signing_in().stderr
    assert f"User {LOGIN}" in (person.home / ".config/ostiary/ssh_config").read_text()
    assert person.ostiary("ssh-config", "--remove").returncode == 0
    assert "nothing to change" in person.ostiary("ssh-config", "--remove").stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "cannot tell which control plane"),
        (["--control", "http://control.example"], 2, "in the clear"),
        (["--control", "http://127.0.0.1:1"], 8, "cannot reach the control plane"),
        (["--control", "http://127.0.0.1:1", "--ca", "/nowhere"], 8, "cannot reach"),
        (["--control", "https://127.0.0.1:1", "--ca", "/nowhere"], 2, "authority"),
        (["--machine", "robot"], 2, "exactly one of --token-file"),
        (["--machine", "robot", "--aws", "--key-file", "k"], 2, "exactly one of --token-file"),
        (["--token-file", "f"], 2, "exactly one of --token-file"),
        (["--control", "http://127.0.0.1:1", "--step-up"], 8, "cannot reach"),
        (["--control", "http://127.0.0.1:1", "--browser", "--port", "65536"], 2, "1<=x<=65535"),
    ],
)
def test_what_cannot_be_is_said_with_its_code(person, words, code, says):
    done = person.ostiary("login", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert not (person.home / ".config/ostiary/client.json").exists()


def test_a_step_up_that_nobody_asked_for_is_said_so(person, signing_in):
    signing_in()
    done = person.ostiary("login", "--step-up")
    assert done.returncode == 4
    assert "cannot tell what a stronger sign-in is" in done.stderr


def test_nobody_is_asked_to_sign_in_where_it_could_not_be_kept(peer, person, signing_in):
    (person.home / ".config").symlink_to("nowhere")
    done = signing_in()
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "sign in at" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not peer.signed_in


def test_whoever_has_another_home_than_ssh_thinks_is_told_so(person):
    """ssh takes the home of the list of users, whatever HOME says."""
    config = person.home / ".ssh/config"
    done = person.ostiary("ssh-config", "--install")
    assert f"call it as ssh -F {config}" in done.stderr
    person.environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    assert "ssh -F" not in person.ostiary("ssh-config").stderr


def test_install_and_remove_at_once_make_no_sense(person):
    assert person.ostiary("ssh-config", "--install", "--remove").returncode == 2
