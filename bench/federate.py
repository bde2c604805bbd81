"""Federate N accounts of three roles while every answer takes 80 ms, beside a boto3 script and an AWS CLI script.

The peers are slow: each is run at three sizes, and what it would take for N is read off the line through them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from identity import identity
from measure import OSTIARY, TOP, Bar, Served, Timed, line_through, peer_program, served, timed

LATENCY = 0.08
BOTO3_SIZES = (5, 10, 20)
AWSCLI_SIZES = (1, 2, 3)
AT_LEAST = {"boto3": 10, "aws-cli": 50}
JUDGED_FROM = 200  # accounts
CALLS_OF_A_NO_OP = 5
PER_ACCOUNT = (
    "sts AssumeRole",
    "iam ListRoles",
    "iam GetAccountAuthorizationDetails",
    "iam ListAccountAliases",
    "iam GetSAMLProvider",
)


def bars(sizes: Sequence[int], *, whole_peer: bool) -> Iterator[Bar]:
    """The largest of ``sizes`` is what counts; ``whole_peer`` runs the boto3 script on all its accounts (minutes)."""
    boto3 = _peer(_boto3, BOTO3_SIZES)
    for size in sizes:
        with served(size, LATENCY) as world:
            applied = timed([OSTIARY, "apply", "--yes", "--no-proof", "--json"], world.env)
            yield _told(size, applied, world.calls())
            yield _no_op(size, timed([OSTIARY, "plan", "--json"], world.env), world.calls())
            proved = timed([OSTIARY, "apply", "--yes", "--json"], world.env)
            assert json.loads(proved.stdout)["proof"]["holds"]
            yield Bar(f"empty apply and proof, {size} accounts", f"{proved.wall:.1f} s")
        peer, how = boto3(size), f"read off {', '.join(map(str, BOTO3_SIZES))}"
        if whole_peer and size == max(sizes):
            with served(size, LATENCY) as world:
                peer, how = _boto3(world, world.accounts).wall, "run whole"
        name = f"federate {size} accounts, boto3 serial"
        # A small fleet spends much of its time on what a fleet of any size costs.
        least = AT_LEAST["boto3"] if size >= JUDGED_FROM else None
        yield _ratio(name, applied.wall, peer, how, least)
    yield _beside_by_hand(size, applied.wall)


def _beside_by_hand(size: int, ours: float) -> Bar:
    name, cli = f"federate {size} accounts, aws-cli script", peer_program("awscli", "aws")
    by_hand = _peer(lambda world, accounts: _by_hand(cli, world, accounts), AWSCLI_SIZES)
    how = f"read off {', '.join(map(str, AWSCLI_SIZES))}"
    least = AT_LEAST["aws-cli"] if size >= JUDGED_FROM else None
    return _ratio(name, ours, by_hand(size), how, least)


def _told(size: int, applied: Timed, calls: Mapping[str, int]) -> Bar:
    """Planning is in it, the proof is not: the peers prove nothing."""
    number = sum(calls.values())
    return Bar(
        f"apply to {size} accounts",
        f"{applied.wall:.1f} s, {applied.cpu:.1f} s CPU, {number} calls",
    )


def _no_op(size: int, planned: Timed, calls: Mapping[str, int]) -> Bar:
    assert not json.loads(planned.stdout)["changes"]
    counted = {name: calls.get(name, 0) for name in PER_ACCOUNT}
    # The management account is read as well; nothing needs to be assumed there.
    each = (sum(counted.values()) - (len(PER_ACCOUNT) - 1)) / size
    others = sum(calls.values()) - sum(counted.values())
    return Bar(
        f"plan that finds nothing, {size} accounts",
        f"{each:g} calls an account, {others} others; {planned.wall:.1f} s, {planned.cpu:.1f} s CPU",
        "",
        f"<= {CALLS_OF_A_NO_OP}",
        ok=each <= CALLS_OF_A_NO_OP,
    )


def _ratio(name: str, ours: float, peer: float, how: str, least: int | None) -> Bar:
    ratio = peer / ours
    said = f"{peer:.0f} s ({how}): {ratio:.1f} x"
    if least is None:
        return Bar(name, f"{ours:.1f} s", said)
    return Bar(name, f"{ours:.1f} s", said, f">= {least} x", ok=ratio >= least)


def _peer(
    run: Callable[[Served, Sequence[str]], Timed], sizes: Sequence[int]
) -> Callable[[int], float]:
    points = []
    for size in sizes:
        with served(size, LATENCY) as world:
            points.append((float(size), run(world, world.accounts).wall))
    offset, slope = line_through(points)
    return lambda size: offset + slope * size


def _boto3(world: Served, accounts: Sequence[str]) -> Timed:
    return timed(
        [OSTIARY.with_name("python"), TOP / "bench/peers/boto3_serial.py", *accounts], world.env
    )


def _by_hand(cli: Path, world: Served, accounts: Sequence[str]) -> Timed:
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder) / "metadata.xml"
        metadata.write_text(identity().metadata)
        return timed(
            [TOP / "bench/peers/by_hand.sh", metadata, *accounts], {**world.env, "AWS": str(cli)}
        )
