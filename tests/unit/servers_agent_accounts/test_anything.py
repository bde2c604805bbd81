"""Whatever text somebody sends: it is refused, or it stays within its field and its line."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ostiary.doors.servers.agent import extrausers, names, sudoers
from ostiary.doors.servers.agent import other_ways_keys as keys
from ostiary.doors.servers.agent.accounts_local import account_commands
from ostiary.doors.servers.agent.accounts_lookup import Lookup
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.accounts_wanted import account, conflicts
from ostiary.doors.servers.agent.files import HostError
from ostiary.doors.servers.wire.host import HostUser, SudoRule

NASTY = st.text(
    alphabet=st.sampled_from("ab/ \n\r\t\0:,\\!*?[]#@\"'=$`;%ALl.é\u202e-_0~^"), max_size=24
)
ANY = st.one_of(
    NASTY, st.text(max_size=40), st.from_regex(r"/[a-z/]{1,12}( [a-z0-9 -]{0,9})?", fullmatch=True)
)
NUMBERS = st.integers(990, 70_000)
LINE = re.compile(
    r'#60001 ALL=\([a-z_][a-z0-9_-]*\) (NO)?PASSWD:(NOEXEC:)? (ALL|/[A-Za-z0-9._+/ @%-]+( "")?)'
)


@given(
    name=ANY,
    run_as=st.one_of(st.just("root"), ANY),
    commands=st.lists(ANY, min_size=1, max_size=3),
    noexec=st.booleans(),
)
def test_sudo_rules_are_lines_of_one_form_or_nothing(name, run_as, commands, noexec):
    rule = SudoRule(name, tuple(commands), run_as, noexec=noexec)
    try:
        text = sudoers.render(HostUser("alice", 60001, 63001, "", sudo=(rule,)))
    except HostError:
        return
    first, second, *lines = text.splitlines()
    assert first.startswith("# ")
    assert re.fullmatch(r"# [a-z0-9?_-]*", second)
    assert len(lines) == len(commands)
    assert all(LINE.fullmatch(line) for line in lines)


@given(
    login=st.one_of(ANY, st.from_regex(r"[a-z_][a-z0-9_-]{0,33}", fullmatch=True)),
    comment=ANY,
    shell=ANY,
    groups=st.lists(ANY, max_size=3),
    uid=st.one_of(NUMBERS, st.integers()),
    gid=NUMBERS,
)
def test_an_account_is_refused_or_plain(*, login, comment, shell, groups, uid, gid):
    user = HostUser(login, uid, gid, comment, groups=tuple(groups), shell=shell)
    if conflicts([user], [], Owned(), Lookup((), (), ask=False)):
        return
    assert re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", login)
    assert min(uid, gid) >= 1000
    wanted = account(user, {"dev"}, {"/bin/bash", shell}, f"/home/{login}")
    (command,) = account_commands(wanted, None, ())
    assert all(part.isprintable() and "\0" not in part for part in command)
    assert len(extrausers._passwd(wanted).split(":")) == 7
    assert extrausers._passwd(wanted).isprintable()


@given(ANY)
def test_what_is_shown_is_one_line_of_ascii(text):
    assert re.fullmatch(r"[ -~]*", names.shown(text))


@given(ANY, st.binary(max_size=40))
def test_a_line_of_keys_is_a_key_or_none(text, blob):
    for line in (text, f"ssh-ed25519 {text}", f"{text} ssh-rsa {blob.hex()} {text}"):
        key = keys.parsed(line)
        assert key is None or re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}( [ -~]*)?", key.text)
