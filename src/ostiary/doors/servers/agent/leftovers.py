"""What a killed agent left half written: nobody reads it, and the next run takes it away."""

from __future__ import annotations

from ostiary.doors.servers.agent import accounts_confined, other_ways_closed, proof
from ostiary.doors.servers.agent.files import Paths, swept


def sweep(paths: Paths) -> None:
    """Our own folders whole; of those that others write to as well, what is left of files that we write there."""
    for ours in (paths.etc, paths.var, paths.ledger):
        swept(ours)
    for shared in (
        paths.sshd_config,
        paths.drop_in,
        other_ways_closed.drop_in(paths),
        paths.pam,
        paths.pam.with_name(proof.SERVICE),
        accounts_confined.UNITS / accounts_confined.DROP_IN,
    ):
        swept(shared.parent, shared.name)
