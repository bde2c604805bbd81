"""What cloud-init's settings let in is found in the forms in which people write them, and nothing else is."""

from __future__ import annotations

import gzip
import os
import time

import pytest

from ostiary.doors.servers.agent.other_ways_beside import beside
from ostiary.doors.servers.agent.other_ways_cloud import MOST

KEYS = "ssh_authorized_keys: written at the first boot of an instance"
IMPORTED = "ssh_import_id: written at the first boot of an instance"
PASSWORDS = "ssh_pwauth: turns passwords on at the first boot of an instance"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH me@laptop"
CFG = "etc/cloud/cloud.cfg"
GIVEN = "var/lib/cloud/instance/user-data.txt"


@pytest.fixture
def said(tmp_path):
    """``said(file=text)``: (account, file, detail) of each way that these files are."""

    def said(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        ways = list(beside(tmp_path))
        assert {one.kind for one in ways} <= {"cloud-init"}
        assert {one.closed_by for one in ways} <= {""}
        return [(one.account, one.where, one.detail) for one in ways]

    return said


USERS = f"""\
#cloud-config
users:
  - default
  - name: deploy
    groups: [sudo]
    sudo: ALL=(ALL) NOPASSWD:ALL
    ssh_authorized_keys:
      - {KEY}
  - ssh-authorized-keys:
    - {KEY}
    name: 'late'
  - name: none
    ssh_authorized_keys: []
  - name: nothing
    ssh_authorized_keys:
  - name: unused
    # ssh_authorized_keys:
    #   - {KEY}
  - name: imports
    ssh_import_id: [gh:someone]
"""


def test_keys_of_users_are_found_with_whose_they_are(said):
    where = "/" + GIVEN
    assert said({GIVEN: USERS}) == [
        ("deploy", where, KEYS),
        ("late", where, KEYS),
        ("imports", where, IMPORTED),
    ]


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (f"ssh_authorized_keys:\n  - {KEY}\n", ""),
        (f"ssh_authorized_keys:\n# mine\n\n- {KEY}\n", ""),
        (f"ssh-authorized-keys: [{KEY}]\n", ""),
        ("ssh_authorized_keys: &all # shared\n  - x\n", ""),
        ("ssh_authorized_keys: # shared\n  - x\n", ""),
        ('{"ssh_authorized_keys": ["x"]}', ""),
        ('{"hostname":"a","ssh_authorized_keys":["x"]}', ""),
        ("users: [{name: a, ssh_authorized_keys: [x]}, {name: b}]\n", ""),
        ("users:\n- {name: a, ssh_authorized_keys: [x]}\n", ""),
        (
            '{\n "users": [\n  {\n   "name": "a.b",\n   "ssh_authorized_keys": [\n    "x"]}]}\n',
            "a.b",
        ),
        ("users:\n- name: a\n  ssh_authorized_keys:\n  - x\n", "a"),
        ("users:\n- ssh_authorized_keys:\n  - x\n- name: b\n", ""),
        ("user:\n  ssh_authorized_keys:\n    - x\n  name: a\n", "a"),
    ],
)
def test_each_form_is_read(said, text, account):
    assert said({CFG: text}) == [(account, f"/{CFG}", KEYS)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# ssh_authorized_keys: [x]\n",
        "ssh_authorized_keys:\n",
        "ssh_authorized_keys: # none\nhostname: a\n",
        "ssh_authorized_keys: []\nhostname: a\n",
        "ssh_authorized_keys: [ ] # none\n",
        "ssh_authorized_keys: null\n",
        '{"ssh_authorized_keys": [], "hostname": "a"}',
        "disable_ssh_authorized_keys: [x]\n",
        "runcmd:\n  - echo ssh_authorized_keys: x\n",
        "#!/bin/sh\necho ssh_authorized_keys\n",
        "ssh_pwauth: false\n",
        "ssh_pwauth: unchanged\n",
        "# ssh_pwauth: true\n",
        "ssh_pwauth:\n",
        '# "ssh_pwauth": true\n',
    ],
)
def test_what_lets_nobody_in_is_no_way(said, text):
    assert said({CFG: text}) == []


def test_default_users_are_told(said):
    text = """\
system_info:
  distro: debian
  default_user:  # of the image
    lock_passwd: true

    name: "admin"
    gecos: name of the default user
default_user:
groups:
  - name: none
"""
    first = "default user: gets the instance's key at its first boot"
    assert said({CFG: text}) == [("admin", f"/{CFG}", first)]


@pytest.mark.parametrize(
    "text",
    [
        "ssh_pwauth: true\n",
        "hostname: a\nssh_pwauth:   Yes # for now\n",
        "ssh_pwauth: 1\n",
        "ssh_pwauth: 'on'\n",
        '{"hostname": "a", "ssh_pwauth": true}',
        '{\n  "ssh_pwauth": "yes"\n}',
    ],
)
def test_passwords_that_are_turned_on_are_told(said, text):
    assert said({CFG: text}) == [("", f"/{CFG}", PASSWORDS)]


def test_every_file_is_read_and_each_thing_is_told_once(said):
    more = "etc/cloud/cloud.cfg.d/90_more.cfg"
    mime = f"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/cloud-config\n\n{USERS}--x--\n"
    found = said(
        {
            CFG: "system_info:\n  default_user:\n    name: admin\n",
            more: f"ssh_authorized_keys:\n  - {KEY}\n",
            "etc/cloud/cloud.cfg.d/README": "ssh_pwauth: true\n",
            f"{GIVEN}.i": mime,
            "var/lib/cloud/instance/cloud-config.txt": USERS + "ssh_pwauth: true\n",
        }
    )
    assert found == [
        ("admin", f"/{CFG}", "default user: gets the instance's key at its first boot"),
        ("", f"/{more}", KEYS),
        ("deploy", f"/{GIVEN}.i", KEYS),
        ("late", f"/{GIVEN}.i", KEYS),
        ("imports", f"/{GIVEN}.i", IMPORTED),
        ("", "/var/lib/cloud/instance/cloud-config.txt", PASSWORDS),
    ]


def test_what_cannot_be_read_as_lines_is_told(said):
    encoded = "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\nI2Nsb3Vk\n"
    found = said(
        {
            GIVEN: gzip.compress(USERS.encode()),
            f"{GIVEN}.i": encoded,
            CFG: b"#" * MOST + b"\nssh_pwauth: true\n",
            "etc/cloud/cloud.cfg.d/1.cfg": b"\xff\xfe\n" + USERS.encode(),
        }
    )
    assert [detail for _, _, detail in found if "looked" in detail] == [
        "cloud.cfg has more than 256 KB: the rest is not looked into",
        "user-data.txt is compressed: not looked into",
        "user-data.txt.i has parts in base64: not looked into",
    ]
    assert ("deploy", "/etc/cloud/cloud.cfg.d/1.cfg", KEYS) in found
    assert not any(detail == PASSWORDS for _, _, detail in found)


@pytest.mark.parametrize(
    "piece",
    [
        "- ",
        "  ",
        "{,",
        "ssh_authorized_keys",
        "\n- name",
        "\n",
        "\n ssh_authorized_keys: x",
        " default_user:\n  a\n",
    ],
)
def test_a_file_made_to_be_slow_is_read_at_once(said, piece):
    """A few seconds would hold up the agent; anything worse than in proportion takes minutes here."""
    said({CFG: piece * (MOST // len(piece))})


def test_a_file_that_somebody_holds_is_told_and_not_waited_for(said, tmp_path, lease):
    said({GIVEN: "#cloud-config\n"})
    lease(tmp_path / GIVEN)
    began = time.monotonic()
    assert said({}) == [("", f"/{GIVEN}", "user-data.txt cannot be read: not looked into")]
    assert time.monotonic() - began < 5


def test_looking_hangs_on_no_pipe(said, tmp_path):
    (tmp_path / CFG).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / CFG)
    assert said({}) == []
