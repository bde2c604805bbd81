"""How the entry files of ``ssh`` and the resident agent talk: lines of words between tabs.

The entry files run for every host that anybody types, and a reader of JSON costs as much as the whole rest of them.

    resolve  HOST                                       -> ours yes | ours no
    connect  HOST  LOGIN  SERVER_ID of a hop's target   -> way ADDRESS PORT VIA SERVER_ID LOGIN, then: pass SERIAL
    any                                                 -> error WHAT WHY FIX
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def question(line: str) -> Mapping[str, str]:
    """What an entry file asks, as ``answers.py`` takes it."""
    do, *words = line.rstrip("\n").split("\t")
    names = {"resolve": ("host",), "connect": ("host", "login", "hop")}.get(do, ())
    return {"do": do, **dict(zip(names, words, strict=False))}


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
