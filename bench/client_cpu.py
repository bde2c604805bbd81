"""What a call costs on our side: 15 IAM calls in each account through the product's client, over HTTPS."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from measure import Bar, served, timed

ACCOUNTS = 40
CALLS = 15
ROUNDS = 3
AT_MOST = 0.035  # CPU seconds an account

# The same program with no account gives the price of the start, which is taken off.
OURS = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from ostiary.aws.session import Aws
aws = Aws()
aws.caller()
def work(account):
    for _ in range({CALLS} - 1):
        aws.call("iam", "get_role", account=account, RoleName="BreakGlass")
with ThreadPoolExecutor(16) as pool:
    list(pool.map(work, sys.argv[1:]))
"""
THEIRS = f"""
import sys
import boto3
sts = boto3.client("sts")
sts.get_caller_identity()
for account in sys.argv[1:]:
    arn = f"arn:aws:iam::{{account}}:role/OrganizationAccountAccessRole"
    got = sts.assume_role(RoleArn=arn, RoleSessionName="bench")["Credentials"]
    session = boto3.Session(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
    iam = session.client("iam")
    for _ in range({CALLS} - 1):
        iam.get_role(RoleName="BreakGlass")
"""


def bars() -> Iterator[Bar]:
    with served(ACCOUNTS, 0.0) as world:

        def spent(program: str) -> float:
            whole = min(
                timed([sys.executable, "-c", program, *world.accounts], world.env).cpu
                for _ in range(ROUNDS)
            )
            start = min(
                timed([sys.executable, "-c", program], world.env).cpu for _ in range(ROUNDS)
            )
            return (whole - start) / ACCOUNTS

        ours, theirs = spent(OURS), spent(THEIRS)
    yield Bar(
        f"client CPU an account, {CALLS} calls",
        f"{ours * 1000:.0f} ms",
        f"{theirs * 1000:.0f} ms: boto3, a session an account",
        f"<= {AT_MOST * 1000:.0f} ms",
        ok=ours <= AT_MOST,
    )
