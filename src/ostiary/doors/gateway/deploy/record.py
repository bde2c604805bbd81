"""The flags and the AMI of a deployment, kept beside the runs: what the world does not tell of a gateway."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from ostiary.connect_region import Reached
from ostiary.doors.gateway.deploy.settings import DeploySettings

_LISTS = ("admin_ranges", "from_ranges", "subnets")


def keep(reached: Reached, settings: DeploySettings, image_id: str) -> None:
    value = {**asdict(settings), "image": image_id}
    reached.store.put(_name(reached, settings.name), json.dumps(value).encode())


def load(reached: Reached, name: str) -> DeploySettings | None:
    """None when this store knows no such gateway."""
    value = _kept(reached, name)
    if value is None:
        return None
    known = {one.name: value[one.name] for one in fields(DeploySettings) if one.name in value}
    return DeploySettings(**{**known, **{key: tuple(value[key]) for key in _LISTS}})


def image_of(reached: Reached, name: str) -> str:
    """The AMI that the gateway was deployed from, also when nothing else of it is left; "" when that is not known."""
    return str((_kept(reached, name) or {}).get("image", ""))


def forget(reached: Reached, name: str) -> None:
    reached.store.delete(_name(reached, name))


def _kept(reached: Reached, name: str) -> dict[str, Any] | None:
    kept = reached.store.get(_name(reached, name))
    if kept is None:
        return None
    value: dict[str, Any] = json.loads(kept.data)
    return value


def _name(reached: Reached, name: str) -> str:
    return f"gateway/deployments/{reached.region}-{name}.json"
