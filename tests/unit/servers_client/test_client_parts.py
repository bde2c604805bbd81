"""Smaller parts of the client: places, tokens, picking, lists, and the entry files by themselves."""

from __future__ import annotations

import hashlib
import os
import pwd
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ostiary.doors.servers.client import (
    connecting,
    credentials,
    device,
    entry_words,
    pick,
    place,
    resolve,
)
from ostiary.doors.servers.client.listed import Listed
from ostiary.doors.servers.wire.person import ServerEntry
from ostiary.errors import Conflict, Denied, NotFound, OstiaryError, Unreachable, UsageError
from ostiary.pki import ssh_key, sshsig


def entry(name, server_id="", project="prod", may=("login",), **labels):
    return ServerEntry(
        server_id or f"srv_{name}", name, project, "10.0.0.1", 22, "", labels, 0.0, may
    )


class TestPlace:
    def test_what_login_wrote_is_read_unless_the_environment_says_other(self, tmp_path):
        environ = {"XDG_CONFIG_HOME": str(tmp_path)}
        place.write_profile(place.Profile("https://a.example", "/ca.pem", "alice", "a@x"), environ)
        assert place.read_profile(environ).login == "alice"
        assert (tmp_path / "ostiary/client.json").stat().st_mode & 0o777 == 0o600
        environ["OSTIARY_CONTROL"] = "https://b.example/"
        assert place.read_profile(environ) == place.Profile("https://b.example")
        environ["OSTIARY_CONTROL_CA"] = "/other.pem"
        assert place.read_profile(environ).ca == "/other.pem"

    @pytest.mark.parametrize("text", ["", "[]", '{"strange": 1}', "\0"])
    def test_a_broken_file_is_said_to_be_so(self, tmp_path, text):
        (tmp_path / "ostiary").mkdir()
        (tmp_path / "ostiary/client.json").write_text(text)
        with pytest.raises(UsageError, match="not what ostiary login wrote"):
            place.read_profile({"XDG_CONFIG_HOME": str(tmp_path)})

    @pytest.mark.parametrize(
        "made", [lambda file: file.mkdir(), lambda file: file.write_bytes(b"\xff")]
    )
    def test_what_cannot_be_read_is_said_to_be_so(self, tmp_path, made):
        (tmp_path / "ostiary").mkdir()
        made(tmp_path / "ostiary/client.json")
        with pytest.raises(UsageError, match=r"cannot read .*client\.json"):
            place.read_profile({"XDG_CONFIG_HOME": str(tmp_path)})

    def test_a_relative_folder_is_none(self):
        """It would be another one in each folder that somebody types ssh in."""
        environ = {"HOME": "/srv/a", "XDG_CONFIG_HOME": "conf", "XDG_RUNTIME_DIR": "run"}
        assert place.config_folder(environ) == Path("/srv/a/.config/ostiary")
        assert place.run_folder(environ) == Path("/tmp", f"ostiary-{os.getuid()}")

    @pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "x"}])
    def test_who_has_no_home_in_the_environment_has_the_one_of_the_list_of_users(self, home):
        assert place.home(home) == Path(pwd.getpwuid(os.getuid()).pw_dir)

    @pytest.mark.parametrize(
        ("below", "why"), [("x" * 100, "too long for a socket"), ("file/x", "file exists")]
    )
    def test_a_folder_that_can_hold_no_socket_is_said_so(self, tmp_path, below, why):
        (tmp_path / "file").touch()
        with pytest.raises(Conflict, match=why):
            place.private_folder(tmp_path / below)

    def test_a_folder_that_nothing_can_be_written_in_is_said_so(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OstiaryError, match="file exists"):
            place.check_writable(tmp_path / "file")
        place.check_writable(tmp_path / "made")
        with pytest.raises(OstiaryError, match=r"cannot write .*client\.json"):
            place.write_profile(place.Profile(), {"XDG_CONFIG_HOME": str(tmp_path / "file")})

    def test_a_file_is_whole_or_as_before(self, tmp_path):
        file = tmp_path / "f"
        place.write_private(file, "before")
        with pytest.raises(UnicodeEncodeError):
            place.write_private(file, "\ud800")
        assert file.read_text() == "before"
        assert list(tmp_path.iterdir()) == [file]


class TestCredentials:
    def test_a_machine_has_it_in_a_file_that_may_change(self, tmp_path):
        file = tmp_path / "token"
        authorize = credentials.source({"OSTIARY_CONTROL_TOKEN_FILE": str(file)})
        for text in ("one\n", "two"):
            file.write_text(text)
            assert authorize("GET", "/", b"") == {"Authorization": f"Bearer {text.strip()}"}

    @pytest.mark.parametrize("text", ["", "a b", "a\nb", "é"])
    def test_what_is_no_token_is_refused(self, tmp_path, text):
        (tmp_path / "token").write_text(text)
        authorize = credentials.source({"OSTIARY_CONTROL_TOKEN_FILE": str(tmp_path / "token")})
        with pytest.raises(Denied):
            authorize("GET", "/", b"")
        (tmp_path / "token").unlink()
        with pytest.raises(Denied, match="no such file"):
            authorize("GET", "/", b"")

    def test_nobody_signed_in_is_said_so(self, tmp_path):
        environ = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        with pytest.raises(Denied, match="no resident agent"):
            credentials.source(environ)("GET", "/", b"")
        with pytest.raises(UsageError, match="which control plane"):
            credentials.signed_in(environ)


class TestDevice:
    def test_the_key_is_made_once(self, tmp_path):
        first = device.this_device(tmp_path / "d/key")
        again = device.this_device(tmp_path / "d/key")
        assert first.key.public_key() == again.key.public_key()
        assert "Ed25519PrivateKey" not in repr(first)

    def test_a_key_that_others_could_read_is_refused(self, tmp_path):
        device.this_device(tmp_path / "key")
        (tmp_path / "key").chmod(0o644)
        with pytest.raises(UsageError, match="others may read it"):
            device.this_device(tmp_path / "key")

    def test_what_is_no_such_key_is_refused(self, tmp_path):
        place.write_private(tmp_path / "key", "nonsense")
        with pytest.raises(UsageError, match="no private key"):
            device.this_device(tmp_path / "key")
        argv = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "ecdsa"]
        subprocess.run(argv, check=True)
        with pytest.raises(UsageError, match="no Ed25519 key"):
            device.this_device(tmp_path / "ecdsa")

    def test_it_signs_in_to_one_control_plane(self, tmp_path, monkeypatch):
        """By all that it sends; a name of the machine that is no text is made one."""
        monkeypatch.setattr(socket, "gethostname", lambda: "caf\udce9" + "x" * 70)
        mine = device.this_device(tmp_path / "key")
        asked = mine.sign_in("https://control.example", "id", "refresh")
        assert (asked.id_token, asked.refresh_token) == ("id", "refresh")
        assert asked.device == mine.name == "caf?" + "x" * 60
        hashed = [hashlib.sha256(one).hexdigest() for one in (b"id", b"refresh")]
        text = "\n".join(("https://control.example", *hashed, mine.name))
        key = sshsig.verify(asked.device_proof, "ostiary-sign-in@v1", text.encode())
        assert key == ssh_key.of(mine.key.public_key())


class TestPick:
    SERVERS = (
        entry("web1", role="web"),
        entry("web10", role="web"),
        entry("db-web", role="db"),
        entry("bastion", may=("hop",)),
        entry("lab1", project="lab"),
    )

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("web1", ["web1"]),
            ("srv_web10", ["web10"]),
            ("WEB", ["web1", "web10"]),
            ("-we", ["db-web"]),
            ("role=web", ["web1", "web10"]),
            ("lb1", ["lab1"]),
            ("bast", []),
            ("bastion", ["bastion"]),
            ("zzz", []),
        ],
    )
    def test_the_best_are_meant(self, pattern, names):
        assert [one.name for one in pick.matching(self.SERVERS, pattern)] == names

    def test_what_waits_for_a_preauthorization_is_meant_and_a_bastion_on_the_way_there_is_not(self):
        waiting = (
            entry("store1", may=("needs-preauthorization",)),
            entry("stop", may=("hop", "needs-preauthorization")),
        )
        assert [one.name for one in pick.matching(waiting, "sto")] == ["store1"]
        assert [one.name for one in pick.matching(waiting, "stop")] == ["stop"]

    def test_a_list_shows_all_that_are_like_it_best_first(self):
        found = [one.name for one in pick.matching(self.SERVERS, "web", every=True)]
        assert found == ["web1", "web10", "db-web"]
        assert len(pick.matching(self.SERVERS, "", every=True)) == 5


class TestListed:
    def make(self, tmp_path, *answers):
        left = list(answers)

        def read():
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Listed(read, tmp_path / "servers")

    def test_names_and_ids_are_known_and_kept_for_who_is_not_signed_in(self, tmp_path):
        listed = self.make(tmp_path, [entry("web1")])
        assert listed.known("web1")
        assert listed.known("srv_web1")
        assert not listed.known("web2")
        assert (tmp_path / "servers").read_text() == "srv_web1\nweb1\n"

    def test_two_of_one_name(self, tmp_path):
        listed = self.make(tmp_path, [entry("web1", "srv_1"), entry("web1", "srv_2", "test")])
        with pytest.raises(Conflict, match=r"srv_1 \(prod\) or srv_2 \(test\)"):
            listed.one("web1")
        assert listed.one("web1", "test").server_id == "srv_2"
        assert listed.one("srv_1").project == "prod"

    @pytest.mark.parametrize("name", ["github.com", "localhost", "-oProxyCommand=x", "10.0.0.1"])
    def test_no_control_plane_calls_a_server_as_what_people_reach_by_other_ways(
        self, tmp_path, name
    ):
        listed = self.make(tmp_path, [entry(name, "srv_1"), entry("web1")])
        assert not listed.known(name)
        assert [one.name for one in listed.every()] == ["web1"]

    @pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "web1.prod.example", "web_1"])
    def test_an_address_is_an_address(self, tmp_path, address):
        there = replace(entry("web1"), address=address)
        strange = [replace(there, address=f"{begin}{address}") for begin in ("-o", "a;", "a/")]
        assert self.make(tmp_path, [there, *strange]).every() == (there,)

    def test_none_of_a_name(self, tmp_path):
        with pytest.raises(NotFound):
            self.make(tmp_path, []).one("web1")

    def test_a_control_plane_that_is_away_makes_nothing_unknown(self, tmp_path, monkeypatch):
        listed = self.make(tmp_path, [entry("web1")], Unreachable("away"))
        assert listed.known("web1")
        monkeypatch.setattr("ostiary.doors.servers.client.listed.FRESH", -1)
        monkeypatch.setattr("ostiary.doors.servers.client.listed.AGAIN", -1)
        assert listed.one("web1").name == "web1"
        assert not listed.known("web2")
        with pytest.raises(Unreachable):
            listed.every()
        assert listed.known("web1")

    def test_without_a_first_list_it_is_said_why_for_names_of_the_last_sign_in(self, tmp_path):
        """Else ssh would look for them in DNS, and say that there is no such host."""
        (tmp_path / "servers").write_text("srv_web1\nweb1\n")
        listed = self.make(tmp_path, Unreachable("away", why="no route", fix="wait", code="c"))
        assert listed.known("web1")
        assert not listed.known("example.org")
        with pytest.raises(Unreachable, match="cannot enter web1: away: no route") as caught:
            listed.one("web1")
        assert (caught.value.fix, caught.value.code) == ("wait", "c")

    def test_a_list_decides_against_the_names_of_the_last_sign_in(self, tmp_path):
        (tmp_path / "servers").write_text("web1\n")
        assert not self.make(tmp_path, [entry("web2")]).known("web1")

    def test_an_empty_list_leaves_no_name_of_the_last_sign_in(self, tmp_path):
        (tmp_path / "servers").write_text("web1\n")
        assert self.make(tmp_path, []).every() == ()
        assert (tmp_path / "servers").read_text() == ""

    def test_a_list_that_is_read_slowly_holds_up_nobody_whose_server_is_known(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("ostiary.doors.servers.client.listed.AGAIN", -1)
        monkeypatch.setattr("ostiary.doors.servers.client.listed.PATIENCE", 0.1)
        going_on, first = threading.Event(), [True]

        def read():
            assert first.pop() if first else going_on.wait(10)
            return [entry("web1")]

        listed = Listed(read, tmp_path / "servers")
        listed.every()
        assert not listed.known("elsewhere")
        began = time.monotonic()
        assert listed.one("web1").name == "web1"
        assert time.monotonic() - began < 2
        going_on.set()

    def test_a_server_that_came_later_is_found(self, tmp_path, monkeypatch):
        listed = self.make(tmp_path, [entry("web1")], [entry("web1"), entry("web2")])
        assert listed.known("web1")
        assert not listed.known("web2"), "not asked again at once"
        monkeypatch.setattr("ostiary.doors.servers.client.listed.AGAIN", 0)
        assert listed.known("web2")

    def test_a_name_stays_ours_when_its_server_is_gone(self, tmp_path):
        """Else ssh would say that there is no such host, or go to another one of this name."""
        listed = self.make(tmp_path, [entry("web1")], [], [], [entry("web1")])
        listed.every()
        listed.every()
        assert listed.known("web1")
        with pytest.raises(NotFound, match="cannot enter web1: it has left project prod") as gone:
            listed.one("web1")
        assert gone.value.code == "no-server"
        assert listed.one("web1").name == "web1", "and is entered as soon as it is back"

    def test_a_control_plane_that_hangs_does_not_hold_up_other_hosts(self, tmp_path, monkeypatch):
        monkeypatch.setattr("ostiary.doors.servers.client.listed.FIRST", 0.1)
        going_on = threading.Event()

        def read():
            assert going_on.wait(10)
            return [entry("web1")]

        listed = Listed(read, tmp_path / "servers")
        began = time.monotonic()
        assert not listed.known("elsewhere.example")
        assert time.monotonic() - began < 2
        going_on.set()
        assert listed.one("web1").name == "web1"

    def test_a_control_plane_that_never_answered_is_said_so(self, tmp_path):
        listed = self.make(tmp_path, Unreachable("away"))
        assert not listed.known("web1")
        with pytest.raises(Unreachable):
            listed.every()


class TestEntryWords:
    def test_words_are_questions(self):
        assert entry_words.question("resolve\tweb1\n") == {"do": "resolve", "host": "web1"}
        assert entry_words.question("connect\tweb1\talice\t\n")["hop"] == ""
        for strange in ("", "\n", "bearer\n", "end\tx\n", "connect\tweb1\n"):
            assert entry_words.question(strange) == {"do": ""}

    def test_what_a_control_plane_says_stays_one_line_of_its_words(self):
        error = {"error": "no\tway", "why": "a\nway\tx\ty", "fix": "run:\r\nit", "code": "c"}
        assert entry_words.answer(error) == "error\tno way\ta way x y\trun: it\n"
        way = {"address": "h\tx\nway", "port": 22, "via": "", "id": "srv_1", "login": "alice"}
        assert entry_words.answer(way) == "way\th x way\t22\t\tsrv_1\talice\n"


class TestEntryFiles:
    @pytest.mark.parametrize("host", ["web1", "srv_1", "a-b-c", "X" * 253])
    def test_names_that_can_be_ours(self, host):
        assert resolve.plausible(host)

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "-x",
            ".x",
            "a b",
            "a'b",
            "a;b",
            "a/b",
            "é",
            "a\n",
            "a.b",
            "10.0.0.1",
            "localhost",
            "x" * 254,
        ],
    )
    def test_names_that_never_are(self, host):
        assert not resolve.plausible(host)

    @pytest.mark.parametrize(
        ("host", "code"),
        [("srv_abcdefghjkmnpqrs", 0), ("srv_abcdefghjkmnpqr", 1), ("srv_", 1), ("web1", 1)],
    )
    def test_an_id_that_nobody_listed_is_ours_so_that_it_is_refused_in_words(
        self, tmp_path, host, code
    ):
        assert resolve.main([str(tmp_path / "nobody-runs"), "--", host]) == code

    @pytest.mark.parametrize(
        "words", [[], ["a"], ["a", "b", "web1"], ["a", "b", "--", "c"], ["-h"]]
    )
    def test_a_wrong_call_is_no_match(self, words):
        assert resolve.main(words) == 2

    @pytest.mark.parametrize(
        "words", [[], ["--"], ["a", "--", "h"], ["a", "--hop", "--", "h", "l"]]
    )
    def test_a_wrong_call_of_the_proxy_says_what_to_do(self, words, capsys):
        assert connecting.main(words) == 1
        assert "fix: run: ostiary ssh-config --install" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["resolve.py", "proxy.py", "connecting.py"])
    def test_they_need_the_standard_library_only(self, name):
        file = Path(resolve.__file__).with_name(name)
        code = (
            "import runpy, sys\n"
            f"runpy.run_path({str(file)!r})\n"
            "strange = {one.partition('.')[0] for one in sys.modules} - sys.stdlib_module_names\n"
            "print(sorted(strange - {'__main__', '_distutils_hack', 'sitecustomize'}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"

    def test_the_way_of_ssh_needs_the_standard_library_and_cryptography_only(self):
        code = (
            "import sys, ostiary.doors.servers.client.resident\n"
            "print(sorted({one.partition('.')[0] for one in sys.modules if not one.startswith('_')}"
            " - sys.stdlib_module_names))\n"
            "print(sorted(one for one in sys.modules if one.startswith('ostiary.')))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        others, own = (eval(line) for line in done.stdout.splitlines())
        cryptography = {"cryptography", "bcrypt", "cffi", "typing_extensions"}
        assert set(others) <= {"ostiary", "sitecustomize", *cryptography}
        allowed = ("ostiary.doors.servers.client", "ostiary.doors.servers.wire", "ostiary.pki")
        beside = {"ostiary.doors", "ostiary.doors.servers", "ostiary.errors"}
        assert {one for one in own if not one.startswith(allowed)} <= beside

    def test_the_hop_has_a_configuration_of_its_own(self):
        way = connecting.Way("fd00::1", "2022", "srv_b", "srv_1", "alice")
        command = connecting.inner("/run/o", way)
        assert command[:3] == ["ssh", "-F", "none"]
        assert command[-6:] == ["-W", "[fd00::1]:2022", "-l", "alice", "--", "srv_b"]
        assert any("--hop 'srv_1' -- '%h' '%r'" in one for one in command)

    def test_the_hop_finds_its_folder_with_a_space_and_a_percent(self):
        command = connecting.inner(
            "/a 100% run/o", connecting.Way("10.0.0.1", "22", "srv_b", "srv_1", "alice")
        )
        done = subprocess.run(
            [command[0], "-G", *command[1:]], capture_output=True, text=True, check=True
        )
        assert "identityagent /a 100% run/o/agent.sock\n" in done.stdout
        assert "userknownhostsfile /a 100% run/o/known_hosts\n" in done.stdout
        assert "'/a 100%% run/o' --hop" in done.stdout, "ssh makes one of two when it runs it"
