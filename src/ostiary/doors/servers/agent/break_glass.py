"""Whether break-glass would enter the account that is named for it: told now, because nobody tries it before it is needed.

Source: sshd_config(5), as ``sshd -T`` says it for the account.
"""

from __future__ import annotations

import fnmatch
import pwd
from collections.abc import Iterator, Mapping, Sequence

from ostiary.doors.servers.agent import sshd
from ostiary.doors.servers.agent.accounts_owned import Owned
from ostiary.doors.servers.agent.files import HostError, Paths

_ROOT_ENTERS = ("yes", "prohibit-password", "without-password")


def doubts(account: str, paths: Paths) -> tuple[str, ...]:
    """One line for each reason why it would not; HostError if sshd cannot be asked."""
    try:
        uid = pwd.getpwnam(account).pw_uid
    except KeyError:
        return (f"there is no account {account}",)
    if Owned.look(paths.owned) & {account}:
        return (f"{account} is a LocalUser's account, which is closed when the person goes",)
    settings = sshd.effective(paths.sshd_config, account)
    found = _why(uid, settings, account, paths)
    return tuple(f"sshd would not let it into {account}: {why}" for why in found)


def _why(
    uid: int, settings: Mapping[str, Sequence[str]], account: str, paths: Paths
) -> Iterator[str]:
    root = settings.get("permitrootlogin", ["yes"])[0]
    if uid == 0 and root not in _ROOT_ENTERS:
        yield f"PermitRootLogin {root}"
    if settings.get("pubkeyauthentication") != ["yes"]:
        yield "PubkeyAuthentication no"
    trusted = settings.get("trustedusercakeys", ["none"])
    if not set(trusted) & {str(paths.break_glass), str(paths.authorities)}:
        yield f"TrustedUserCAKeys {trusted[0]}"
    named = settings.get("authorizedprincipalsfile", ["none"])
    if named != [str(paths.principals / "%u")]:
        yield f"AuthorizedPrincipalsFile {named[0]}"
    allowed, denied = settings.get("allowusers", ()), settings.get("denyusers", ())
    if allowed and not _among(account, allowed):
        yield "AllowUsers"
    if _among(account, denied):
        yield "DenyUsers"


def _among(account: str, patterns: Sequence[str]) -> bool:
    """By the name alone: from where somebody comes is not known yet."""
    names = [one.partition("@")[0] for line in patterns for one in line.split()]
    return any(fnmatch.fnmatchcase(account, one) for one in names)


def told(account: str, paths: Paths) -> tuple[str, ...]:
    """``doubts``, and that they could not be had."""
    try:
        return tuple(f"break-glass: {one}" for one in doubts(account, paths)) if account else ()
    except HostError as error:
        return (f"break-glass: {error}",)
