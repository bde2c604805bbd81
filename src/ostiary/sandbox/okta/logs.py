"""The System Log: ``/api/v1/logs``. A poll always gets a next link; an empty page says that there is no more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta.call import Call, Route
from ostiary.sandbox.okta.errors import invalid
from ostiary.sandbox.okta.filters import compile_filter
from ostiary.sandbox.okta.ids import stamp
from ostiary.sandbox.okta.paging import page

WEEK = 7 * 86400
ATTRIBUTES = (
    "eventType",
    "uuid",
    "published",
    "severity",
    "actor.id",
    "actor.displayName",
    "target.id",
    "target.type",
    "target.displayName",
    "outcome.result",
    "outcome.reason",
)


def list_events(call: Call) -> Response:
    query = call.request.query
    since, until = _time(call, "since", call.now - WEEK), query.get("until")
    readable = stamp(call.now - call.org.log_delay)
    found = [
        event
        for event in call.org.log
        if since <= event["published"] <= readable
        and (not until or event["published"] < _time(call, "until", 0))
    ]
    if query.get("filter"):
        test = compile_filter(query["filter"], ATTRIBUTES)
        found = [event for event in found if test(_flat(event))]
    if query.get("q"):
        words = query["q"].lower().split()
        found = [event for event in found if all(word in str(event).lower() for word in words)]
    order = query.get("sortOrder", "ASCENDING")
    if order not in ("ASCENDING", "DESCENDING"):
        raise invalid("sortOrder", "sortOrder: must be ASCENDING or DESCENDING")
    if order == "DESCENDING":
        found.reverse()
    return page(
        call,
        found,
        lambda event: event,
        identity=lambda event: str(event["uuid"]),
        default=100,
        maximum=1000,
        always_next=order == "ASCENDING" and not until,
    )


def _time(call: Call, name: str, default: float) -> str:
    text = call.request.query.get(name)
    if not text:
        return stamp(default)
    try:
        return stamp(datetime.fromisoformat(text).timestamp())
    except ValueError as error:
        raise invalid(name, f"{name}: must be an ISO 8601 time") from error


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {
        name: event[name] for name in ("eventType", "uuid", "published", "severity")
    }
    for part in ("actor", "outcome"):
        flat |= {f"{part}.{name}": value for name, value in event[part].items()}
    for name in ("id", "type", "displayName"):
        flat[f"target.{name}"] = [target[name] for target in event["target"]]
    return flat


ROUTES = (Route("GET", "/api/v1/logs", "okta.logs.read", list_events),)
