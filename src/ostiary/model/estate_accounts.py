"""How the estate writes accounts: selectors such as ``ou:/Workloads``, ``{tag: "team=core"}``, ``all``."""

from __future__ import annotations

import re

from ostiary.model.estate_fields import Fields, Problems, suggest
from ostiary.model.estate_yaml import Node, Type
from ostiary.model.selector import ACCOUNT_ID, Selector

_KINDS = ("ou", "tag", "account")


def parse_selectors(fields: Fields, key: str) -> tuple[Selector, ...]:
    """One selector or a list of different ones."""
    node = fields.entries.get(key)
    if node is None:
        return ()
    items = node.items if node.type is Type.LIST else [node]
    if not items:
        fields.wrong(key, "is an empty list")
    found: list[Selector] = []
    for item in items:
        selector = parse_selector(item, f"{key} of {fields.where}", fields.problems)
        if selector is None:
            continue
        if any(selector.text == other.text for other in found):
            fields.problems.add(
                item.line, f"duplicate {selector.text!r} under {key}: of {fields.where}"
            )
        found.append(selector)
    return tuple(found)


def parse_selector(node: Node, where: str, problems: Problems) -> Selector | None:
    if node.type is Type.MAPPING:
        return _from_terms(Fields(node, "terms", where, problems))
    if node.type is not Type.TEXT:
        shown = f'"account:{node.text}"' if node.type is Type.INTEGER else "text or a mapping"
        problems.add(
            node.line, f"{where}: {node.text or node.type.value} is no selector; write {shown}"
        )
        return None
    if node.text == "all":
        return Selector("all", everything=True)
    kind, colon, value = node.text.partition(":")
    if not colon or kind not in _KINDS:
        hint = suggest(kind, _KINDS) or "; known: all, ou:/Path, tag:key=value, account:id-or-name"
        problems.add(node.line, f"{where}: {node.text!r} is no selector{hint}")
        return None
    return _build({kind: value}, where, node.line, problems)


def _from_terms(fields: Fields) -> Selector | None:
    terms = {key: fields.text(key) for key in _KINDS if key in fields}
    given = {key: value for key, value in terms.items() if value is not None}
    if not terms:
        fields.problems.add(fields.line, f"{fields.where}: a selector needs ou, tag or account")
    if len(given) < len(terms) or not given:
        return None
    return _build(given, fields.where, fields.line, fields.problems)


def _build(terms: dict[str, str], where: str, line: int, problems: Problems) -> Selector | None:
    defects = [
        defect
        for kind, value in terms.items()
        if (defect := {"ou": _ou, "tag": _tag, "account": _account}[kind](value))
    ]
    for defect in defects:
        problems.add(line, f"{where}: {defect}")
    if defects:
        return None
    ou = terms.get("ou")
    direct = ou is not None and ou.endswith("/.")
    key, _, value = terms.get("tag", "").partition("=")
    return Selector(
        text=" and ".join(f"{kind}:{terms[kind]}" for kind in _KINDS if kind in terms),
        ou=None if ou is None else ou.removesuffix("/.") or "/",
        ou_direct=direct,
        tag=(key, value) if "tag" in terms else None,
        account=terms.get("account"),
    )


def _ou(value: str) -> str:
    if not value.startswith("/"):
        return f"an OU is a path from the root: ou:/{value}"
    if value != "/" and (value.endswith("/") or "//" in value):
        return f"OU path {value!r} has an empty part; write it like /Workloads/Prod"
    return ""


def _tag(value: str) -> str:
    return "" if re.match(r"[^=]+=", value) else f"tag {value!r} is not of the form key=value"


def _account(value: str) -> str:
    if not value:
        return "account: needs an id, a name or a name glob"
    digits = value.replace("-", "")
    if digits.isdigit() and not ACCOUNT_ID.match(value):
        # No account is meant by 11 or 13 digits, or by 1234-5678-9012: it is a slip of the pen.
        return f"account {value!r} has {len(digits)} digits; an account id is 12 digits, no dashes"
    return ""
