"""Draws the picture of the doors (``docs/doors.svg``). Run by ``make docs``; a test keeps the file current."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 340
DOORS = (
    ("federation", "SAML sign-in to IAM roles, by role groups", "accounts", True),
    ("identity center", "permission sets, SCIM", "accounts", False),
    ("servers", "ssh with three-minute certificates", "servers", True),
    ("gateway", "the Access Gateway appliance", "applications", True),
)
STYLE = """
text { font: 14px ui-sans-serif, system-ui, sans-serif; fill: #1d2733 }
.small { font-size: 12px; fill: #5a6878 }
.box { fill: #ffffff; stroke: #1d2733; stroke-width: 1.5 }
.door { fill: #e9f2ee; stroke: #2f7d5b; stroke-width: 1.5 }
.planned { fill: #f5f6f7; stroke: #a9b3bd; stroke-dasharray: 5 4 }
.way { stroke: #2f7d5b; stroke-width: 1.5; fill: none; marker-end: url(#tip) }
.wayplanned { stroke: #a9b3bd; stroke-dasharray: 5 4 }
.frame { fill: #fbfcfc; stroke: #d5dbe1 }
"""


def text(x: float, y: float, words: str, *, small: bool = False, middle: bool = False) -> str:
    anchor = ' text-anchor="middle"' if middle else ""
    css = ' class="small"' if small else ""
    return f'<text x="{x}" y="{y}"{css}{anchor}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, css: str = "box") -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{css}"/>'


def picture() -> str:
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'aria-label="People of an Okta org enter AWS accounts, servers and applications through four doors">'
        ),
        f"<style>{STYLE}</style>",
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 8 4 0 8z" fill="#2f7d5b"/></marker></defs>'
        ),
        box(0.5, 0.5, WIDTH - 1, HEIGHT - 1, "frame"),
        box(24, 92, 150, 150),
        text(99, 128, "Okta org", middle=True),
        text(99, 160, "people", small=True, middle=True),
        text(99, 180, "groups", small=True, middle=True),
        text(99, 200, "policies, MFA", small=True, middle=True),
        text(99, 226, "who you are", small=True, middle=True),
    ]
    targets = {"accounts": 78.0, "servers": 188.0, "applications": 258.0}
    for index, (name, words, target, built) in enumerate(DOORS):
        y = 36 + index * 70
        planned = "" if built else " planned"
        way = "way" if built else "way wayplanned"
        parts += [
            f'<path class="{way}" d="M174 167 C 230 167 220 {y + 26} 276 {y + 26}"/>',
            box(280, y, 300, 52, f"door{planned}"),
            text(296, y + 22, name),
            text(296, y + 41, words, small=True),
            f'<path class="{way}" d="M580 {y + 26} C 630 {y + 26} 630 {targets[target]} 682 {targets[target]}"/>',
        ]
    for name, y in targets.items():
        parts += [box(686, y - 24, 150, 48), text(761, y + 5, f"AWS {name}", middle=True)]
    parts += [
        text(
            280,
            324,
            "one estate file says who may pass; solid doors are open in this version",
            small=True,
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "doors.svg").write_text(picture())
