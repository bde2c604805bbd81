"""The demo's gateway act: an appliance is made, judged, imported, deployed, and a faulty one is turned away."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ostiary.errors import Conflict, OstiaryError, ProofFailed, UsageError

Tell = Callable[[str], None]
ADMINS = "203.0.113.0/24"
_PATHS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"


def gateway_act(folder: Path, tell: Tell) -> Mapping[str, object]:
    """What happened, for ``demo --json``. Says plainly what this machine lacks, and which command installs it."""
    from ostiary.connect_region import reach_region  # noqa: PLC0415 - only the demo's way here is known
    from ostiary.sandbox.appliance.make import Appliance, make_ova  # noqa: PLC0415

    tell("\nthe Access Gateway: from an OVA file to a running appliance")
    good, bad = folder / "Okta-Access-Gateway.ova", folder / "no-kernel.ova"
    try:
        make_ova(good, Appliance(name="oag"))
        make_ova(bad, Appliance(name="oag", faults=frozenset({"no-kernel"})))
    except UsageError as lacking:
        tell(f"  left out: {lacking.why}; {lacking.fix}")
        return {"left_out": lacking.why, "fix": lacking.fix}
    reached = reach_region(region="eu-central-1", runs=f"file:{folder / 'gateway-runs'}")
    try:
        return _act(reached, good, bad, tell)
    finally:
        reached.close()


def _act(reached: Any, good: Path, bad: Path, tell: Tell) -> Mapping[str, object]:
    from ostiary.cli.gateway_inspect import render  # noqa: PLC0415
    from ostiary.doors.gateway.image.inspect import inspect  # noqa: PLC0415

    found = inspect(good, verify=True)
    tell(f"\n$ ostiary gateway inspect {good.name} --verify\n{_indented(render(found))}")
    refused = _refused(reached, bad)
    tell(f"\n$ ostiary gateway import {bad.name}   (its kernel is missing)")
    tell(f"  ✓ refused before a byte was uploaded: {refused.why.splitlines()[0]}")
    imported = _imported(reached, good, "ebs-direct")
    facts = imported.facts
    tell(f"\n$ ostiary gateway import {good.name} --region eu-central-1 --route ebs-direct")
    tell(f"  {imported.image_id}: {facts['blocks']} blocks of 512 KiB sent, the empty ones not")
    node = _deployed(reached, imported.image_id)
    tell(f"\n$ ostiary gateway deploy {imported.image_id} --name acme --admin-range {ADMINS}")
    tell(f"  {node.nodes[0].instance_id} is {node.nodes[0].state}, address {node.address}")
    shown: dict[str, object] = {
        "verdict": found.verdict,
        "refused": refused.code,
        "ami": imported.image_id,
        "route": imported.route,
        "blocks": facts["blocks"],
        "nodes": len(node.nodes),
        "again": _imported(reached, good, "ebs-direct").reused,
    }
    shown["vm_import"] = _by_the_service(reached, good, bad, tell)
    if not shown["again"] or found.verdict != "ok":
        raise ProofFailed("the gateway act did not come out as it must", why=str(shown))
    return shown


def _refused(reached: Any, bad: Path, *, force: bool = False) -> OstiaryError:
    try:
        _imported(reached, bad, "import-image", force=force)
    except Conflict as refusal:
        return refusal
    raise ProofFailed(f"{bad.name} was imported", why="its kernel is missing")


def _imported(reached: Any, file: Path, route: str, *, force: bool = False) -> Any:
    from ostiary.doors.gateway.importing.settings import ImportSettings  # noqa: PLC0415
    from ostiary.doors.gateway.importing.watching import Patience  # noqa: PLC0415
    from ostiary.doors.gateway.importing.work import import_appliance  # noqa: PLC0415

    settings = ImportSettings(route=route, force=force)
    quick = Patience(first=0.2)
    return import_appliance(reached, file, settings, on_step=lambda _: None, patience=quick)


def _deployed(reached: Any, image_id: str) -> Any:
    from ostiary.doors.gateway.deploy import work  # noqa: PLC0415
    from ostiary.doors.gateway.deploy.settings import DeploySettings  # noqa: PLC0415
    from ostiary.plan.guard import Overrides  # noqa: PLC0415

    settings = DeploySettings("acme", (ADMINS,), domain="gw.acme.example")
    resources = work.wanted(reached, settings, image_id)
    plan = work.plan_deploy(reached, settings, resources)
    work.apply_deploy(reached, settings, plan, overrides=Overrides())
    again = work.plan_deploy(reached, settings, resources)
    if again.changes:
        raise ProofFailed("the second plan of the gateway is not empty", why=str(again.changes))
    return work.look(reached, "acme")


def _by_the_service(reached: Any, good: Path, bad: Path, tell: Tell) -> Mapping[str, object] | None:
    """The route of Okta's guide; the embedded VM Import reads images with qemu-img, which not every machine has."""
    lacking = [
        tool for tool in ("qemu-img", "debugfs", "sfdisk") if not shutil.which(tool, path=_PATHS)
    ]
    if lacking:
        tell(
            f"  left out: --route import-image, since {lacking[0]} is not here:"
            " apt-get install qemu-utils e2fsprogs fdisk"
        )
        return None
    imported = _imported(reached, good, "import-image")
    tell(f"\n$ ostiary gateway import {good.name} --route import-image")
    tell(
        f"  {imported.task} completed: {imported.image_id}, with bucket and role vmimport made for it"
    )
    refused = _refused(reached, bad, force=True)
    tell(f"\n$ ostiary gateway import {bad.name} --route import-image --force")
    tell(f"  ✓ refused by VM Import itself: {refused.why.partition(';')[0]}")
    return {"ami": imported.image_id, "refused": refused.why.partition(";")[0]}


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
