"""Rules of projects, drawn at random, and who is asked about on what server and when."""

from hypothesis import strategies as some

from ostiary.doors.servers.wire.admin import Label, Rule
from ostiary.doors.servers.wire.host import SudoRule

SUDO = SudoRule("restart", ("/bin/a", "/bin/b"))
RULES = some.builds(
    Rule,
    subject=some.sampled_from(["group:a", "user:k@b", "machine:m"]),
    login=some.just(True),
    admin=some.booleans(),
    sudo=some.sampled_from([(), (SUDO,), (SudoRule("x", ("ALL",), nopasswd=False),), (SudoRule("x", ("ALL",)),)]),
    forward=some.sampled_from([(), ("db:1",), ("db:1", "db:2")]),
    sftp_only=some.booleans(),
    agent_forwarding=some.booleans(),
    x11=some.booleans(),
    max_session=some.sampled_from([0, 60, 3600]),
    servers=some.sampled_from([(), (Label("role", "web"),), (Label("role", "db"),)]),
    until=some.sampled_from([0.0, 86400.0, 86401.0]),
    source_address=some.sampled_from([(), ("192.0.2.0/24",)]),
    force_command=some.sampled_from(["", "/bin/true"]),
)  # fmt: skip
ASKED = [
    (person, groups, labels, now)
    for person, groups in (("k@b", ()), ("l@b", ("a",)), ("machine:m", ()))
    for labels in ({}, {"role": "web"}, {"role": "db"})
    for now in (0.0, 86400.0, 90000.0)
]
