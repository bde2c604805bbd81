"""What a killed agent left half written: nobody reads it, and the next run takes it away."""

from __future__ import annotations

from ostiary.doors.servers.agent import proof
from ostiary.doors.servers.agent.files import Paths, swept


def sweep(paths: Paths) -> None:
    """Our own folders whole; of those that others write to as well, what is left of files that we write there."""
    for ours in (paths.etc, paths.var):
        swept(ours)
    service = paths.pam.with_name(proof.SERVICE)
    for shared in (paths.sshd_config, paths.drop_in, paths.pam, service):
        swept(shared.parent, shared.name)
