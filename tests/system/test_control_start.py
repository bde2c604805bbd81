"""How a control plane starts, and what it refuses to start with."""

import asyncio
import datetime as dt
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpx2
import pytest
from aws_world import join, small_organization
from conftest import STRICT
from control_process import People, Process
from control_world import ADMINS, CLIENT_ID, Host, Issuer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from free_port import free_port

from ostiary import connect, connect_control
from ostiary.doors.servers.control import keys, schema
from ostiary.doors.servers.control.database import Database
from ostiary.errors import Denied, OstiaryError, UsageError
from ostiary.plan.wrap import LocalKeyWrap

WORLD = ("--issuer", "http://127.0.0.1:9", "--client-id", CLIENT_ID, "--admin-group", ADMINS)


def serve(folder, *options, database="sqlite:///{}/c.db"):
    """Run it until it ends by itself."""
    command = [sys.executable, "-m", "ostiary", "serve", "--database", database.format(folder)]
    return subprocess.run(
        [*command, "--state-dir", folder / "state", "--listen", "127.0.0.1:0", *WORLD, *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


REFUSED = {
    "not loopback": (("--listen", "0.0.0.0:8443"), "without TLS only loopback"),
    "no port": (("--listen", "127.0.0.1"), "not ADDRESS:PORT"),
    "half of TLS": (("--tls-cert", "x.pem"), "go together"),
    "two keys": (("--kek-file", "x", "--kek-kms", "y"), "are named"),
    "no tables": (("--no-migrate",), "its tables are of revision none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_says_why_it_does_not_start(tmp_path, case):
    options, why = REFUSED[case]
    done = serve(tmp_path, *options)
    assert done.returncode not in (0, None)
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_before_anything_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve(tmp_path, "--listen", listen)
    assert done.returncode == 6
    assert f"cannot listen on {listen}\n  why: address already in use\n  fix: " in done.stderr
    assert "serving" not in done.stderr
    assert not (tmp_path / "c.db").exists()


def test_an_issuer_that_is_another_is_said_before_anything_is_written(tmp_path):
    issuer = Issuer()
    try:
        done = serve(tmp_path, "--issuer", issuer.url.replace("127.0.0.1", "localhost"))
    finally:
        issuer.close()
    assert done.returncode == 2
    assert f"\n  fix: start with: --issuer {issuer.url}\n" in done.stderr
    assert not (tmp_path / "c.db").exists()


def test_it_starts_while_the_org_is_away_and_says_so(tmp_path):
    issuer = Issuer()
    issuer.close()
    served = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer)
    try:
        served.start()
        assert f"ostiary: nobody can sign in until {issuer.url} answers: " in served.log.read_text()
    finally:
        assert served.end() == 0


@pytest.mark.root
def test_the_key_may_be_a_credential_of_systemd(tmp_path):
    """systemd.exec(5): a folder that is mounted read-only, a file of mode 0440 where an ACL lets the service read."""
    if os.geteuid() != 0:
        (pytest.fail if STRICT else pytest.skip)("not run: a read-only folder needs root")
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "ostiary-kek").write_bytes(os.urandom(32))
    (given / "ostiary-kek").chmod(0o440)
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    env = ("env", f"CREDENTIALS_DIRECTORY={given}")
    before = (*env, "unshare", "--mount", "sh", "-ec", read_only, str(given))
    issuer = Issuer()
    served = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer, kek="", before=before)
    try:
        served.start()
        assert not (tmp_path / f"state-{served.port}/kek").exists()
        opened = Database(f"sqlite:///{tmp_path}/c.db")
        assert len(
            keys.shared(opened, LocalKeyWrap.credential(given / "ostiary-kek"), "challenges")
        )
    finally:
        served.end()
        issuer.close()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    done = serve(tmp_path, database="sqlite:///{}/none/c.db")
    assert done.returncode == 8
    assert "fix: see that its folder is there, and that this user may write to it" in done.stderr


def test_a_password_in_the_address_is_refused_and_not_said_again(tmp_path):
    done = serve(tmp_path, database="postgresql://u:s3cret@127.0.0.1/x")
    assert done.returncode == 2
    assert "PGPASSFILE" in done.stderr
    assert "s3cret" not in done.stderr


def test_another_key_does_not_open_the_database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/c.db")
    schema.upgrade(database)
    made = keys.shared(database, LocalKeyWrap(tmp_path / "kek"), "challenges")
    assert keys.shared(database, LocalKeyWrap(tmp_path / "kek"), "challenges") == made
    LocalKeyWrap(tmp_path / "other").wrap(b"x")
    for wrong in ("other", "none"):
        with pytest.raises(Denied, match="cannot open the keys in this database") as no:
            keys.shared(database, LocalKeyWrap(tmp_path / wrong), "challenges")
        assert "--kek-file" in no.value.fix
    database.close()


def test_the_key_may_be_in_kms(tmp_path, monkeypatch):
    site = small_organization(monkeypatch)
    arn = site.aws.call("kms", "create_key", repeatable=True)["KeyMetadata"]["Arn"]
    transports = connect.Transports(aws=join)
    database = Database(f"sqlite:///{tmp_path}/c.db")
    schema.upgrade(database)
    made = keys.shared(database, connect_control.kms_kek(arn, transports=transports), "challenges")
    again = connect_control.kms_kek(arn, region="eu-west-1", transports=transports)
    assert keys.shared(database, again, "challenges") == made
    other = site.aws.call("kms", "create_key", repeatable=True)["KeyMetadata"]["Arn"]
    with pytest.raises(OstiaryError, match="cannot open the keys in this database"):
        keys.shared(database, connect_control.kms_kek(other, transports=transports), "challenges")
    database.close()


def test_plain_http_is_for_loopback_alone(tmp_path):
    from ostiary.doors.servers.control import serve as control  # noqa: PLC0415

    for listen in ("192.0.2.1:1", "[::]:1", "example.com:1"):
        wanted = control.ServeSettings(
            f"sqlite:///{tmp_path}/c.db", listen, "u", "i", "c", "a", tmp_path
        )
        with pytest.raises(UsageError):
            control.server(wanted, None)


def test_what_the_end_cuts_off_is_no_error_and_all_else_is_one():
    from ostiary.doors.servers.control import serve as control  # noqa: PLC0415

    def record(error):
        said = (type(error), error, None)
        return logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, "", (), said)

    assert not control.no_end(record(asyncio.CancelledError("graceful shutdown exceeded")))
    assert control.no_end(record(ValueError()))
    assert control.no_end(logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, "", (), None))


def test_hosts_that_wait_for_news_are_let_go_when_it_ends(tmp_path):
    """None of them is cut off, no error is written, and the end does not wait for them."""
    issuer = Issuer()
    served = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer)
    served.start()
    try:
        first = People(issuer, [served.url]).project()
        waiting = [Host(served.url, first.key) for _ in range(20)]
        for one in waiting:
            one.id = first.id
        known = waiting[0].state()
        with ThreadPoolExecutor(len(waiting)) as pool:
            held = [pool.submit(_held, one, known.generation) for one in waiting]
            time.sleep(1.0)
            assert not any(one.done() for one in held)
            began = time.monotonic()
            assert served.end() == 0
            took = time.monotonic() - began
            found = [one.result() for one in held]
        assert found == [(304, "close")] * len(waiting)
        assert took < 5
        assert "ERROR" not in served.log.read_text()
    finally:
        served.end()
        for one in waiting:
            one.client.close()
        issuer.close()


def _held(host, generation):
    """Status of the answer to a question that may wait, and whether the connection goes on."""
    path = f"/v1/hosts/state?generation={generation}&wait=25"
    headers = {"Ostiary-Host": host.header("GET", path)}
    status, answered, _ = host.client.raw("GET", path, headers=headers)
    return status, answered.get("connection")


def certificate(folder):
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "control")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


def test_it_serves_by_tls_and_ends_at_sigterm_whoever_is_idle(tmp_path):
    certificate(tmp_path)
    issuer = Issuer()
    port = free_port()
    tls = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    served = Process(f"sqlite:///{tmp_path}/c.db", tmp_path, issuer, port=port, options=tls)
    served.launch()
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with httpx2.Client(verify=context) as http:
            for _ in range(200):
                try:
                    answer = http.get(f"https://127.0.0.1:{port}/v1/sign-in")
                    break
                except httpx2.TransportError:
                    time.sleep(0.05)
            assert answer.json()["client_id"] == CLIENT_ID
            assert "server" not in answer.headers
            began = time.monotonic()  # the connection is kept open, and nobody reads that TLS ends
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(15) == 0
            assert time.monotonic() - began < 5
        assert "ERROR" not in served.log.read_text()
    finally:
        if served.process.poll() is None:
            served.kill()
        issuer.close()
