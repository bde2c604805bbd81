"""The shell script that PAM runs, and the lines of PAM that run it.

It must refuse ours when anything is broken and let everybody else pass when everything is. pam_exec knows only success
and failure, so the distinction is made before an interpreter, a ledger or a further file is needed: in the shell's own
``case``, on the base64 of the certificate, which holds the public key of the authority that signed it. Base64 shifts by
where the key begins, so each authority has three patterns; the characters at both ends, which depend on the neighbours,
are left out. What matches goes to ``hook.py``: no interpreter, no hook, no ledger means a failure, and only for ours.

Three lines of PAM, at the very top, for the opening of a session only: below them, and so at its end, pam_env has put
variables of the user's own choice (~/.pam_environment: LD_PRELOAD) into what runs as root. The first jumps over the second
for everybody who is not a managed user, for whom sshd does not trust our authority at all. The third tells of break-glass,
and keeps nobody out: PAM takes no notice of how it ends, and its script waits for nothing.
Source: pam.conf(5), pam_exec(8), pam_succeed_if(8); Linux-PAM 1.5.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from ostiary.doors.servers.agent.files import FORMER, MANAGED

MARK = "# ostiary: session hook; taken away by: ostiary agent remove"
END = "# ostiary: end"
_OURS = (f"ingroup {MANAGED}", f"ingroup {FORMER}", "pam_exec.so quiet type=")

SCRIPT = """\
#!/bin/sh
# made by ostiary; changes here are undone
case "$SSH_AUTH_INFO_0" in
{patterns}
  *) exit 0 ;;
esac
exec {interpreter} -I -S {hook} {folder} {authorities}
"""

TELLER = """\
#!/bin/sh
# made by ostiary; changes here are undone
case "$SSH_AUTH_INFO_0" in
{patterns}
  *) exit 0 ;;
esac
{interpreter} -I -S {hook} --tell {folder} {authorities} </dev/null >/dev/null 2>&1 &
"""


def script(keys: Sequence[str], interpreter: str, hook: Path, folder: Path, trusted: Path) -> str:
    """The guard for these authorities (public keys in authorized_keys form); without any it lets everybody pass."""
    return SCRIPT.format(
        patterns=_cases(keys),
        interpreter=interpreter,
        hook=hook,
        folder=folder,
        authorities=trusted,
    )


def teller(keys: Sequence[str], interpreter: str, hook: Path, folder: Path, trusted: Path) -> str:
    """What tells of logins by certificates of these authorities, which are those of break-glass."""
    return TELLER.format(
        patterns=_cases(keys),
        interpreter=interpreter,
        hook=hook,
        folder=folder,
        authorities=trusted,
    )


def _cases(keys: Sequence[str]) -> str:
    lines = [
        f"  {'|'.join(f'*{one}*' for one in patterns(key))}) ;;"
        for key in sorted({key.split()[1] for key in keys})
    ]
    return "\n".join(lines) or "  '') exit 0 ;;"


def patterns(blob: str) -> tuple[str, str, str]:
    """What base64 of anything that holds these bytes holds, for each of the three places where they can begin."""
    key = base64.b64decode(blob, validate=True)
    found = []
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + key).decode().rstrip("=")
        found.append(text[-(-shift * 8 // 6) : (shift + len(key)) * 8 // 6])
    return found[0], found[1], found[2]


def pam_lines(guard: Path) -> str:
    """The marked lines, for the top of a PAM service."""
    return (
        f"{MARK}\n"
        "session [success=ignore module_unknown=ignore default=1] "
        f"pam_succeed_if.so quiet user ingroup {MANAGED}\n"
        f"session [success=ok ignore=ignore default=die] pam_exec.so quiet type=open_session {guard}\n"
        f"session optional pam_exec.so quiet type=open_session {told_by(guard)}\n"
        f"{END}\n"
    )


def counts(pam: str, guard: Path) -> bool:
    """Whether this text runs the guard first of all and heeds it, be it as an older agent wrote it."""
    head = pam.partition(f"{END}\n")[0].splitlines()
    return head[:1] == [MARK] and any(
        line.startswith("session [success=ok")
        and "default=die]" in line
        and line.endswith(f" {guard}")
        for line in head
    )


def told_by(guard: Path) -> Path:
    """The script beside the guard that tells of break-glass."""
    return guard.with_name(f"{guard.name}-told")


def with_hook(pam: str, guard: Path) -> str:
    """The text of a PAM service with the hook at its top, once."""
    return pam_lines(guard) + without_hook(pam)


def without_hook(pam: str) -> str:
    """The text as it was before. Where the end of ours was cut away, only our own lines go."""
    kept, ours = [], False
    for line in pam.splitlines(keepends=True):
        word = line.rstrip("\n")
        if word == MARK:
            ours = True
        elif ours and word == END:
            ours = False
        elif not (ours and any(one in line for one in _OURS)):
            kept.append(line)
    return "".join(kept)
