"""``make bench``: every bar beside its peer from the same run; the exit code says whether one was missed.

    python bench/run.py [--quick] [--whole] [--accounts N] [NAME...]

NAME chooses among start, saml, pki, issue, audit, reconcile, ssh, ansible, client, growth, gateway, federate. ``--quick`` is a small form of all; ``--whole`` runs the boto3
script on all accounts in place of reading its time off a line (some five minutes); ``--accounts`` is the largest fleet
of ``growth``, whose full form is 1000.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import ansible
import audit
import client_cpu
import federate
import gateway
import growth
import issue
import pki
import reconcile
import saml
import ssh
import start
from measure import Bar


def groups(options: argparse.Namespace) -> Mapping[str, Callable[[], Iterator[Bar]]]:
    most = options.accounts
    sizes = (10,) if options.quick else (50, 200)
    return {
        "start": start.bars,
        "saml": saml.bars,
        "pki": pki.bars,
        "issue": lambda: issue.bars(1.5 if options.quick else 4.0),
        "audit": lambda: audit.bars(20_000 if options.quick else 200_000),
        "reconcile": lambda: reconcile.bars(100 if options.quick else 1000),
        "ssh": lambda: ssh.bars(10 if options.quick else ssh.ROUNDS),
        "ansible": lambda: ansible.bars((5, 10, 20) if options.quick else ansible.SIZES),
        "client": client_cpu.bars,
        "growth": lambda: growth.bars((most // 4, most // 2, most)),
        "gateway": lambda: gateway.bars(256 if options.quick else 1024),
        "federate": lambda: federate.bars(sizes, whole_peer=options.whole),
    }


def show(bar: Bar) -> None:
    verdict = {None: "", True: "ok", False: "MISSED"}[bar.ok]
    parts = (
        bar.name,
        bar.ours,
        bar.peer and f"peer {bar.peer}",
        bar.bar and f"bar {bar.bar}",
        verdict,
    )
    print(" | ".join(part for part in parts if part), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--accounts", type=int, default=200)
    options = parser.parse_args()
    known = groups(options)
    if strange := set(options.names) - set(known):
        parser.error(
            f"no bench is named {', '.join(sorted(strange))}; there are {', '.join(known)}"
        )
    missed = 0
    started = time.monotonic()
    for name in options.names or known:
        for bar in known[name]():
            show(bar)
            missed += bar.ok is False
    print(f"{time.monotonic() - started:.0f} s; {missed or 'no'} bar{'s' * (missed != 1)} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
