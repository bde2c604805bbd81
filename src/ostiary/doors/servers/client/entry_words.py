"""How the entry files of ``ssh`` and the resident agent talk: lines of words between tabs.

The entry files run for every host that anybody types, and a reader of JSON costs as much as the whole rest of them.

    resolve  HOST                                       -> ours yes | ours no
    connect  HOST  LOGIN  SERVER_ID of a hop's target   -> way ADDRESS PORT VIA SERVER_ID LOGIN, then: pass SERIAL
    any                                                 -> error WHAT WHY FIX
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {"resolve": ("host",), "connect": ("host", "login", "hop")}


def question(line: str) -> Mapping[str, str]:
    """What an entry file asks, as ``answers.py`` takes it; nothing that it can answer for other words."""
    do, *words = line.rstrip("\n").split("\t")
    if do not in NAMES or len(words) != len(NAMES[do]):
        return {"do": ""}
    return {"do": do, **dict(zip(NAMES[do], words, strict=True))}


def answer(said: Mapping[str, Any]) -> str:
    """One line of an answer of ``answers.py``."""
    if "error" in said:
        return _line("error", said["error"], said["why"], said["fix"])
    if "ours" in said:
        return _line("ours", "yes" if said["ours"] else "no")
    if "serial" in said:
        return _line("pass", said["serial"])
    return _line("way", *(said[name] for name in ("address", "port", "via", "id", "login")))


def _line(*words: object) -> str:
    return "\t".join(" ".join(str(word).split()) for word in words) + "\n"
