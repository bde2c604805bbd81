"""``ostiary sandbox appliance``: a small real appliance, to try the gateway's commands with."""

from __future__ import annotations

from pathlib import Path

import click

from ostiary import term


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--firmware", type=click.Choice(["bios", "uefi"]), default="bios", help="[bios]")
@click.option("--table", type=click.Choice(["mbr", "gpt"]), help="[mbr for bios, gpt for uefi]")
@click.option("--disk", "disks", multiple=True, type=int, metavar="MIB", help="[64]; repeatable.")
@click.option(
    "--variant",
    type=click.Choice(["footer", "header"]),
    default="footer",
    help="VMDKs as VMware [footer] or qemu-img [header] writes them.",
)
@click.option("--signed", is_flag=True, help="Sign the manifest, with a key that anybody can make.")
@click.option("--network", type=click.Choice(["dhcp", "static"]), default="dhcp", help="[dhcp]")
@click.option("--version", default=1, help="Another number gives another content [1].")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME",
    help="What is wrong with it; repeatable. A name that there is not is answered with all of them.",
)
def appliance(
    *,
    file: Path,
    firmware: str,
    table: str | None,
    disks: tuple[int, ...],
    variant: str,
    signed: bool,
    network: str,
    version: int,
    faults: tuple[str, ...],
) -> None:
    """Write a small real appliance to FILE (.ova).

    It is there to try the gateway's commands with. It has an ext4 with a kernel of noise, in a streamOptimized VMDK; the same flags give the same bytes.
    """
    from ostiary.sandbox.appliance.command import make  # noqa: PLC0415 - only for who makes one

    made = make(
        file,
        firmware=firmware,
        table=table or "",
        disks=disks,
        variant=variant,
        signed=signed,
        network=network,
        version=version,
        faults=faults,
    )
    term.say(f"wrote {file}, SHA-256 {made.digest}")
