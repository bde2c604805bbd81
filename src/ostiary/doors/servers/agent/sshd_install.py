"""Making sshd and its PAM stack do as they should: judged by sshd, compared with before, proven by a login, then swapped.

What fails at any of these leaves everything as it was and is reported. What fails afterwards (sshd does not answer) is
put back.
"""

from __future__ import annotations

import contextlib
import grp
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ostiary.doors.servers.agent import (
    guard,
    managed_group,
    proof,
    sshd,
    sshd_candidate,
    sshd_text,
    sshd_uncounted,
)
from ostiary.doors.servers.agent.files import MANAGED, HostError, Paths, folder, write
from ostiary.doors.servers.agent.run import run
from ostiary.doors.servers.agent.sshd_text import Trust

LOWEST, NOBODY = 1000, 65534  # UID_MIN of login.defs(5)
COMPARED = 3  # people of this host, beside root, for whom nothing may change


def bring_in_line(paths: Paths, managed: Sequence[str], interpreter: str) -> bool:
    """Whether sshd and PAM are as they should be; HostError with the reason if they could not be made so.

    ``managed`` are LocalUsers who exist. Before there is one, no login can be proven and PAM is left alone: then false.
    """
    _group()
    before = _fit(paths)
    trust = wanted(paths, before)
    complete = _complete(paths, trust)
    if complete:
        _have_read(paths, before)
    if complete and _hooked(paths):
        _check_others(paths, trust, managed)
        return True
    if not complete:
        _judge(paths, trust, managed)
    if managed:
        parts = proof.Parts(paths.hook, interpreter, guard.without_hook(_pam(paths)))
        _prove(managed[:COMPARED], paths, parts)
    if not complete:
        _swap(paths, trust, before)
    if managed:
        write(paths.pam, guard.with_hook(_pam(paths), paths.guard), _mode(paths.pam))
    _all_count(paths)  # one may trust us only now
    return bool(managed)


def _fit(paths: Paths) -> Mapping[str, Sequence[str]]:
    """What holds for root; HostError where the agent cannot work with this sshd."""
    before = sshd.effective(paths.sshd_config, "root")
    if before.get("usepam") != ["yes"]:
        raise HostError("UsePAM is no here, and without PAM nobody counts certificates")
    service = before.get("pamservicename", [paths.pam.name])
    if service != [paths.pam.name]:
        raise HostError(f"sshd uses the PAM service {service[0]}, not {paths.pam.name}")
    _all_count(paths)
    if str(paths.host_key) not in before.get("hostkey", ()):
        raise HostError(
            f"sshd does not use {paths.host_key}, by which clients know this host",
            fix=f"add to {paths.sshd_config}: HostKey {paths.host_key}",
        )
    return before


def _all_count(paths: Paths) -> None:
    if why := sshd_uncounted.why(paths):
        raise HostError(why)


def _prove(users: Sequence[str], paths: Paths, parts: proof.Parts) -> None:
    """By the first who enters: one may have reached a limit of his own. HostError of the first if none does."""
    failed: HostError | None = None
    for user in users:
        try:
            proof.prove(user, paths, parts)
        except HostError as error:
            failed = failed or error
        else:
            return
    if failed:
        raise failed


def wanted(paths: Paths, before: Mapping[str, Sequence[str]]) -> Trust:
    """Where another authority is trusted already, for everybody, it stays so: ours is for managed users only."""
    theirs = set(before.get("trustedusercakeys", [])) - {"none", str(paths.break_glass)}
    return sshd_text.trust(paths, certificate=paths.host_certificate.exists(), everybody=not theirs)


def _have_read(paths: Paths, before: Mapping[str, Sequence[str]]) -> None:
    """Tell sshd what a run that was killed did not."""
    if paths.unread.exists():
        if not sshd.reload(before):
            sshd.start_again(before)
            raise HostError("sshd did not answer after it was told to read its files")
        paths.unread.unlink()


def _check_others(paths: Paths, trust: Trust, managed: Sequence[str]) -> None:
    """HostError where something that sshd reads before ours now says other for managed users."""
    problems: list[str] = []
    for user in managed[:COMPARED]:
        problems += sshd_candidate.missing_for(user, paths.sshd_config, trust)
    if problems:
        raise HostError(f"sshd does something else than meant: {'; '.join(problems[:5])}")


def in_force(paths: Paths) -> bool:
    """Whether managed users enter by our rules and are counted, be it those of an older agent."""
    try:
        written = guard.counts(_pam(paths), paths.guard) and managed_group.holds(paths)
    except (HostError, OSError):
        return False
    return written and _asks_pam(paths)


def _asks_pam(paths: Paths) -> bool:
    """Whether sshd runs the hook's PAM service. A configuration that it refuses it has not read: the one before counts."""
    try:
        said = sshd.effective(paths.sshd_config, "root")
    except HostError:
        return not sshd_uncounted.why(paths)
    service = said.get("pamservicename", [paths.pam.name])
    return (
        said.get("usepam") == ["yes"]
        and service == [paths.pam.name]
        and not sshd_uncounted.why(paths)
    )


def take_away(paths: Paths) -> None:
    """PAM and sshd as they were before us. Where sshd reads nothing of ours it is left alone: an image has no host keys."""
    with contextlib.suppress(FileNotFoundError):
        write(paths.pam, guard.without_hook(_pam(paths)), _mode(paths.pam))
    main = sshd_candidate.main_text(paths)
    without = sshd_text.without_blocks(main)
    if without != main or paths.drop_in.exists() or paths.unread.exists():
        settings = sshd.effective(paths.sshd_config, "root")
        folder(paths.var, 0o700)
        write(paths.unread, "")
        paths.drop_in.unlink(missing_ok=True)
        if without != main:
            write(paths.sshd_config, without, _mode(paths.sshd_config))
        if not sshd.reload(settings):
            sshd.start_again(settings)
        paths.unread.unlink()
    shutil.rmtree(paths.etc, ignore_errors=True)


def _complete(paths: Paths, trust: Trust) -> bool:
    main = sshd_candidate.main_text(paths)
    if sshd_text.includes_drop_ins(main):
        with contextlib.suppress(OSError):
            return paths.drop_in.read_text() == sshd_text.drop_in(trust)
        return False
    return main == sshd_text.with_blocks(main, trust)


def _hooked(paths: Paths) -> bool:
    text = _pam(paths)
    return text == guard.with_hook(text, paths.guard)


def _pam(paths: Paths) -> str:
    try:
        return paths.pam.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read {paths.pam}: {error}") from error


def _judge(paths: Paths, trust: Trust, managed: Sequence[str]) -> None:
    if fault := sshd.fault(paths.sshd_config):
        raise HostError(f"sshd refuses its own configuration, before any change of ours: {fault}")
    with sshd_candidate.apart(paths) as where:
        config = sshd_candidate.build(where, paths, trust)
        if fault := sshd.fault(config):
            raise HostError(f"sshd refuses what we would add: {fault}")
        problems = []
        for user in _others(paths):
            problems += sshd_candidate.changed_for(user, paths.sshd_config, config)
        for user in managed[:1]:
            problems += sshd_candidate.missing_for(user, config, trust)
        if problems:
            raise HostError(f"sshd would do something else than meant: {'; '.join(problems[:5])}")


def _others(paths: Paths) -> list[str]:
    """Some who are not managed users; those whom we closed still are."""
    ours = managed_group.belong(paths)
    people = [
        one.pw_name for one in pwd.getpwall() if one.pw_uid >= LOWEST and one.pw_uid != NOBODY
    ]
    return ["root", *[name for name in people if name not in ours][:COMPARED]]


def _swap(paths: Paths, trust: Trust, before: Mapping[str, Sequence[str]]) -> None:
    """Put the files in place and have sshd read them; as it was before if it does not answer then."""
    main = sshd_candidate.main_text(paths)
    if sshd_text.includes_drop_ins(main):
        path, text = paths.drop_in, sshd_text.drop_in(trust)
    else:
        path, text = paths.sshd_config, sshd_text.with_blocks(main, trust)
    old, mode = _old(path)
    folder(path.parent)
    folder(paths.var, 0o700)
    write(paths.unread, "")
    write(path, text, mode)
    fault = sshd.fault(paths.sshd_config)
    if not fault and sshd.reload(before):
        paths.unread.unlink()
        return
    if old is None:
        path.unlink()
    else:
        write(path, old, mode)
    back = fault or sshd.start_again(before)
    raise HostError(
        f"sshd {'refused' if fault else 'did not answer after'} the change, so it was undone"
        + ("" if back else "; it does not answer now either")
    )


def _old(path: Path) -> tuple[str | None, int]:
    try:
        return path.read_text(), _mode(path)
    except FileNotFoundError:
        return None, 0o644


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def _group() -> None:
    """The group that sshd's Match block goes by; accounts.py puts people into it."""
    try:
        grp.getgrnam(MANAGED)
    except KeyError:
        run("groupadd", "--system", "--", MANAGED)
