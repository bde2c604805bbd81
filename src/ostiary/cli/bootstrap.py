"""``ostiary bootstrap``: the plan and apply roles that Ostiary works with, rendered or made."""

from __future__ import annotations

import json

import click

from ostiary import term
from ostiary.cli.options import accounts_of, confirm, estate_option, json_option
from ostiary.cli.work import open_work
from ostiary.errors import Partial, UsageError


@click.group()
def bootstrap() -> None:
    """Render or make the plan and apply roles, with the least that each needs."""


@bootstrap.command()
@estate_option
@click.option("--organization", help="Which one, if the estate has several.")
@click.option(
    "--trust",
    "trusted",
    metavar="ARN",
    help="Who may assume the roles [the caller].",
)
def render(*, estate_file: str | None, organization: str | None, trusted: str | None) -> None:
    """Print a CloudFormation template for a stack or a StackSet.

    A StackSet is service-managed.
    """
    from ostiary.aws.bootstrap import template  # noqa: PLC0415 - boto3 is loaded only by commands that call

    work = open_work(estate_file, "apply")
    name = _organization(list(work.estate.organizations), organization)
    term.result(json.dumps(template(work.bootstrap(name, [trusted] if trusted else ())), indent=2))


@bootstrap.command()
@estate_option
@click.option("--organization", help="Which one, if the estate has several.")
@click.option(
    "--trust",
    "trusted",
    metavar="ARN",
    help="Who may assume the roles [the caller].",
)
@click.option("--only", multiple=True, metavar="account:ID", help="Only this account; repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def deploy(
    *,
    estate_file: str | None,
    organization: str | None,
    trusted: str | None,
    only: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Make both roles in every account.

    By the fallback role of the estate.
    """
    from ostiary.aws.bootstrap import deploy as deploy_roles  # noqa: PLC0415

    work = open_work(estate_file, "apply")
    name = _organization(list(work.estate.organizations), organization)
    chosen = accounts_of(only)
    accounts = [
        account
        for account in work.accounts_of(name)
        if not account.management and (not chosen or account.id in chosen)
    ]
    wanted = work.bootstrap(name, [trusted] if trusted else ())
    confirm(
        f"make {wanted.plan} and {wanted.apply} in {term.counted(len(accounts), 'account')} of {name}",
        yes=yes,
    )
    done = deploy_roles(work.connected.aws[name], accounts, wanted)
    if as_json:
        rows = [
            {
                "account": one.account_id,
                "role": one.role,
                "outcome": one.outcome,
                "error": one.error.as_json() if one.error else None,
            }
            for one in done
        ]
        term.result_json({"roles": rows})
    else:
        rows_of = ((one.account_id, one.role, one.outcome, str(one.error or "")) for one in done)
        term.result(term.table(("account", "role", "outcome", ""), rows_of))
    failed = [one for one in done if one.outcome == "failed"]
    if failed:
        raise Partial(
            f"{len(failed)} of {len(done)} roles were not made",
            why=str(failed[0].error),
            fix=failed[0].error.fix if failed[0].error else "run it again",
        )


def _organization(names: list[str], chosen: str | None) -> str:
    if chosen is None and len(names) == 1:
        return names[0]
    if chosen in names:
        return str(chosen)
    if not names:
        raise UsageError(
            "there is nothing to make roles in",
            why="the estate names no organization of AWS",
            fix="name one under organizations: in the estate",
        )
    raise UsageError(
        f"no organization {chosen} in the estate"
        if chosen
        else "the estate has several organizations",
        fix=f"add --organization with one of: {', '.join(names)}",
    )
