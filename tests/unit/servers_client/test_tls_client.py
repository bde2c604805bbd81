"""A certificate for TLS is checked before it is written, and three files are written or none."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ostiary.doors.servers.client import pem_files, tls_client
from ostiary.doors.servers.wire.person import Issued, ServerEntry
from ostiary.errors import Conflict, Denied, OstiaryError
from ostiary.pki import x509_authority, x509_certificate
from ostiary.pki.x509_rules import Client

STRICT = os.environ.get("CI") == "true" or os.geteuid() == 0
WEB1 = ServerEntry("srv_1", "web1", "prod", "10.0.0.1", 22, "", {}, 0.0, ("login",))
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
KEY = ec.generate_private_key(ec.SECP256R1())


def new_authority(name):
    key = rsa.generate_private_key(65537, 2048)
    end = NOW + dt.timedelta(days=1)
    return x509_authority.new_authority(name, key, serial=1, start=NOW, end=end)


OURS, OTHER = new_authority("ostiary ca_1"), new_authority("ostiary ca_2")


def leaf(name="ada@srv_1", key=KEY, authority=OURS):
    end = NOW + dt.timedelta(seconds=180)
    asked = x509_certificate.Asked(Client(name), key.public_key(), 7, NOW, end)
    return x509_certificate.issue(authority, asked)


def pem(*certificates):
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in certificates)


def issued(text, server=WEB1):
    return Issued(text, "ada", server, (), "7")


@pytest.mark.parametrize("host", ["web1", "srv_1"])
def test_what_was_asked_for_is_taken(host):
    made = tls_client.checked(issued(pem(leaf(), OURS.certificate)), KEY, host)
    key, certificate, authority = made.texts
    assert key.startswith("-----BEGIN PRIVATE KEY-----\n")
    assert (certificate, authority) == (pem(leaf()), pem(OURS.certificate))
    assert made.name == "ada@srv_1"
    secret = key.splitlines()[1]
    assert secret not in repr(made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        pem(leaf()),
        pem(OURS.certificate, leaf()),
        pem(leaf(), OTHER.certificate),
        pem(leaf(), leaf()),
        pem(leaf(), OURS.certificate, OURS.certificate),
        pem(leaf(key=ec.generate_private_key(ec.SECP256R1())), OURS.certificate),
        pem(leaf("ada@srv_2"), OURS.certificate),
        pem(leaf("root@srv_1"), OURS.certificate),
    ],
)
def test_what_was_not_asked_for_is_refused(text):
    with pytest.raises(Denied) as refused:
        tls_client.checked(issued(text), KEY, "web1")
    assert refused.value.code == "foreign-certificate"


def test_a_certificate_for_another_server_is_refused():
    with pytest.raises(Denied, match="it is for ada@srv_1"):
        tls_client.checked(issued(pem(leaf(), OURS.certificate)), KEY, "web2")


def write(folder, key="a key", certificate="a certificate", authority="an authority"):
    with pem_files.prepared(folder):
        pem_files.write(folder, key, certificate, authority)


def held(folder):
    return {one.name: one.read_text() for one in folder.iterdir()}


def test_a_file_of_ours_is_known_by_its_first_line(tmp_path):
    write(tmp_path)
    write(tmp_path, key="another")
    assert held(tmp_path)["key.pem"] == f"{pem_files.MARK}\nanother"
    (tmp_path / "key.pem").write_text(f"{pem_files.MARK} or so\n")
    with pytest.raises(Conflict):
        write(tmp_path)


def test_a_key_that_others_could_read_is_one_that_they_cannot(tmp_path):
    write(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    write(tmp_path)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_an_error_meanwhile_leaves_nothing_new(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    write(old)
    before = held(old)
    for folder in (new, old):
        with pytest.raises(OstiaryError, match="no certificate"), pem_files.prepared(folder):
            raise OstiaryError("no certificate")
    assert not new.exists()
    assert held(old) == before


def test_a_file_that_came_meanwhile_stays(tmp_path):
    folder = tmp_path / "new"
    with pem_files.prepared(folder):
        (folder / "certificate.pem").write_text("theirs")
        with pytest.raises(Conflict, match=r"cannot write .*certificate\.pem"):
            pem_files.write(folder, "a key", "a certificate", "an authority")
    assert held(folder) == {"certificate.pem": "theirs"}


FULL = """
import resource, sys
from pathlib import Path
from ostiary.doors.servers.client import pem_files
from ostiary.errors import OstiaryError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    pem_files.write(Path(sys.argv[1]), "k" * 2000, "a certificate", "an authority")
except OstiaryError as error:
    print(error)
"""


def run(code, *argv, before=()):
    command = [*before, sys.executable, "-B", "-P", "-c", code, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_where_there_is_no_room_what_was_there_stays(tmp_path):
    write(tmp_path)
    before = held(tmp_path)
    assert run(FULL, tmp_path).stdout == f"cannot write in {tmp_path}: file too large\n"
    assert held(tmp_path) == before


AGAIN = """
import sys
from pathlib import Path
from ostiary.doors.servers.client import pem_files
pem_files.write(Path(sys.argv[1]), "new key", "new certificate", "new authority")
"""


@pytest.mark.parametrize("when", [1, 2, 3])
def test_killed_at_any_moment_no_key_is_beside_a_certificate_of_another(tmp_path, when):
    strace = shutil.which("strace")
    if strace is None:
        (pytest.fail if STRICT else pytest.skip)("strace is needed: requirements/debian.txt")
    folder = tmp_path / "pass"
    write(folder)
    before = (strace, "-qq", "-e", "trace=rename", f"--inject=rename:signal=KILL:when={when}")
    done = run(AGAIN, folder, before=(*before, "-o", str(tmp_path / "trace")))
    assert done.returncode == -signal.SIGKILL, done.stderr
    texts = {name: text for name, text in held(folder).items() if name[0] != "."}
    if "key.pem" in texts:
        assert {text.splitlines()[1].split()[0] for text in texts.values()} == {"new"}
    assert when == 3 or "key.pem" not in texts
    write(folder, key="the next")
    assert held(folder)["key.pem"].endswith("the next")
