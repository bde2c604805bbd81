"""Whose authority speaks for which server, as ssh reads it."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.doors.servers.client.known_hosts import KnownHosts
from ostiary.doors.servers.wire.person import ServerEntry
from ostiary.pki import ssh_key

PROD, STAGING = (ssh_key.of(Ed25519PrivateKey.generate().public_key()).text() for _ in range(2))


def server(server_id, name):
    return ServerEntry(server_id, name, "prod", "192.0.2.1", 22, "", {}, 0.0, ("login",))


def test_a_name_that_went_to_another_project_is_no_longer_spoken_for_by_the_former(tmp_path):
    file = tmp_path / "known_hosts"
    hosts = KnownHosts(file)
    hosts.add(server("srv_a", "web1"), [STAGING])
    hosts.add(server("srv_c", "db1"), [STAGING])
    hosts.add(server("srv_b", "web1"), [PROD])
    assert file.read_text().splitlines() == [
        f"@cert-authority srv_a {STAGING}",
        f"@cert-authority srv_c,db1 {STAGING}",
        f"@cert-authority srv_b,web1 {PROD}",
    ]


def test_a_server_has_one_name_and_the_authorities_of_now(tmp_path):
    file = tmp_path / "known_hosts"
    hosts = KnownHosts(file)
    hosts.add(server("srv_a", "web1"), [STAGING])
    hosts.add(server("srv_a", "web9"), [PROD])
    assert file.read_text() == f"@cert-authority srv_a,web9 {PROD}\n"
