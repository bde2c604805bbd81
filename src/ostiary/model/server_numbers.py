"""UIDs and GIDs of LocalUsers: where they meet what systemd gives away by itself. Source: systemd, docs/UIDS-GIDS.md."""

from __future__ import annotations

SYSTEMD = ((60001, 60513, "systemd-homed"), (61184, 65519, "systemd's DynamicUser="))
NEAR = 1000  # numbers before such a range from which it is soon reached


def number_warnings(uid_start: int, gid_start: int) -> tuple[str, ...]:
    """Where numbers counted from here meet those of systemd, one line each."""
    return tuple(
        f"{what} from {start} reach {first}-{last}, which {whose} uses;"
        " 65536 to 99999 meets no range of the system"
        for what, start in (("UIDs", uid_start), ("GIDs", gid_start))
        for first, last, whose in SYSTEMD
        if first - NEAR <= start <= last
    )
