"""Fixes of single commands: each is for what somebody did, and says another thing than what failed just now."""

import tempfile

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary import connect_control
from ostiary.cli import root, serve
from ostiary.cli import ssh as ssh_command
from ostiary.doors.servers.breakglass import certificate
from ostiary.doors.servers.breakglass.certificate import Wanted
from ostiary.doors.servers.client import begin, issuer, place
from ostiary.doors.servers.client.control_api import Control
from ostiary.doors.servers.control import database, keys, schema
from ostiary.doors.servers.control.database import Database
from ostiary.errors import Denied, NotFound, OstiaryError, Unreachable, UsageError
from ostiary.pki import ssh_key
from ostiary.pki.signer import LocalSigner
from ostiary.plan.wrap import LocalKeyWrap


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """Nobody has signed in here before."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("OSTIARY_CONTROL", "OSTIARY_CONTROL_CA", "OSTIARY_CONTROL_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="run-") as short:  # a path of sockets has 107 bytes
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield


def failing(*arguments):
    done = CliRunner().invoke(root, list(arguments))
    assert isinstance(done.exception, OstiaryError), (done.output, done.exception)
    return done.exception


@pytest.mark.parametrize(
    ("control", "url"),
    [
        ("127.0.0.1:8443", "http://127.0.0.1:8443"),
        ("[::1]:8443", "http://[::1]:8443"),
        ("localhost", "http://localhost"),
        ("control.acme.example", "https://control.acme.example"),
        ("control.acme.example:8443", "https://control.acme.example:8443"),
    ],
)
def test_a_control_plane_without_scheme_is_said_with_one(control, url):
    no = failing("login", "--control", control)
    assert (no.exit_code, no.fix) == (2, f"run: ostiary login --control {url}")


def test_a_file_that_was_named_by_an_option_is_named_by_it_again():
    no = failing("login", "--control", "https://127.0.0.1:1", "--ca", "nope.pem")
    assert no.what.startswith("cannot use ")
    assert "nope.pem" in no.what
    assert no.fix == "name a file of certificates in PEM with: --ca FILE"


def test_a_device_that_was_revoked_is_made_a_new_one_by_the_file_in_use(tmp_path, monkeypatch):
    def refuse(*_):
        raise Denied("cannot sign in", why="it was revoked", fix="x", code="device-revoked")

    monkeypatch.setattr(begin, "person", refuse)
    monkeypatch.setattr(issuer, "discover", lambda _: None)
    monkeypatch.setattr(issuer, "by_device", lambda *_: None)
    monkeypatch.setattr(Control, "call", lambda *_, **__: None)
    no = failing("login", "--control", "http://127.0.0.1:1")
    key = tmp_path / "ostiary/device.key"
    assert no.fix == f"if it is yours again, make it a new device: rm {key} && ostiary login"


def test_another_control_plane_than_the_last_is_said_before_anybody_signs_in(monkeypatch):
    """Where a variable names it: it will be shown tokens that are good at the last one too."""
    place.write_profile(place.Profile("https://control.acme.example"))
    monkeypatch.setenv("OSTIARY_CONTROL", "http://127.0.0.1:1/")
    for words, told in (
        (("login",), True),
        (("login", "--control", "http://127.0.0.1:1"), False),
    ):
        done = CliRunner().invoke(root, words)
        assert isinstance(done.exception, Unreachable)
        assert (
            "! OSTIARY_CONTROL names http://127.0.0.1:1;"
            " the last sign-in was at https://control.acme.example\n" in done.stderr
        ) is told
    place.write_profile(place.Profile("http://127.0.0.1:1"))
    assert "!" not in CliRunner().invoke(root, ["login"]).stderr


def test_no_server_at_all_is_no_letters_that_none_has(monkeypatch):
    monkeypatch.setattr(ssh_command, "servers_of", tuple)
    no = failing("ssh")
    assert isinstance(no, NotFound)
    assert no.what == "no server is here for you"
    assert failing("ssh", "web1").what == "no server of yours is like web1"
    assert "ssh [OPTIONS] [[USER@]HOST]" in CliRunner().invoke(root, ["ssh", "--help"]).output


def test_another_file_of_mine_is_not_exported_into(tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"mine": 1}\n')
    no = failing("audit", "export", "--project", "prod", "--to", str(mine))
    assert (no.exit_code, no.what) == (2, f"cannot export into {mine}")
    assert no.fix.startswith("name another file")
    assert mine.read_text() == '{"mine": 1}\n'


@pytest.mark.parametrize("key", ["ssh-ed25519 AAAA", "", "hello"])
def test_what_is_no_break_glass_authority_is_a_wrong_argument(key):
    no = failing("servers", "breakglass", "register", "--project", "prod", key)
    assert no.exit_code == 2
    assert "it is no public key" in no.why
    assert "authority:" in no.fix


@pytest.mark.parametrize(
    ("wanted", "fix"),
    [
        (Wanted("Ada L", "srv-1", "why"), "give one account, as the server names it: --login NAME"),
        (
            Wanted("ada", "srv-1", "why", source_address=("10.0.0.1/8",)),
            "see what each option takes: ostiary servers breakglass sign --help",
        ),
    ],
)
def test_who_may_not_be_signed_for_is_told_which_option_says_so(wanted, fix):
    private = Ed25519PrivateKey.generate()
    signer, key = LocalSigner(private), ssh_key.of(private.public_key())
    with pytest.raises(UsageError) as no:
        certificate.make(wanted, key, signer, 1_800_000_000)
    assert no.value.fix == fix


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("run: ostiary doctor", "see it with: aws kms describe-key --key-id alias/nope"),
        (
            "allow kms:Sign to this caller, or run: ostiary doctor --account 1",
            "allow kms:Sign to this caller",
        ),
        ("run the same command again", "run the same command again"),
    ],
)
def test_a_key_in_kms_that_serve_cannot_use_is_nothing_for_doctor(monkeypatch, said, fix):
    def refuse(kms_key):
        raise NotFound(f"cannot read the KMS key {kms_key}", why="NotFound", fix=said, code="x")

    monkeypatch.setattr(connect_control, "kms_signers", lambda: refuse)
    with pytest.raises(NotFound) as no:
        serve._opens_kms()("alias/nope")
    assert (no.value.fix, no.value.code) == (fix, "x")


def test_another_key_of_the_control_plane_is_of_no_run(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/c.db")
    schema.upgrade(made)
    keys.shared(made, LocalKeyWrap(tmp_path / "kek"), "challenges")
    LocalKeyWrap(tmp_path / "other").wrap(b"x")
    with pytest.raises(Denied) as no:
        keys.shared(made, LocalKeyWrap(tmp_path / "other"), "challenges")
    made.close()
    assert no.value.why.startswith("cannot open what was sealed: the key is another one")


def test_a_database_is_said_as_it_was_typed():
    away = Database("postgresql://127.0.0.1:1/x")
    with pytest.raises(Unreachable) as no:
        schema.upgrade(away)
    away.close()
    assert no.value.what == "cannot open the database postgresql://127.0.0.1:1/x"
    assert away.engine.url.drivername == database.DRIVER
