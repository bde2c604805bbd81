"""The page that carries a SAML response from Okta to AWS: a form that a browser would post."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True)
class SamlForm:
    """``response`` is the base64 SAMLResponse, good for a sign-in until it expires: it does not show itself."""

    action: str
    response: str = field(repr=False)
    relay_state: str = ""


def saml_form(page: str) -> SamlForm | None:
    """The first form of an HTML page that holds a SAMLResponse; None without one."""
    parser = _Forms()
    parser.feed(page)
    for action, inputs in parser.forms:
        if inputs.get("SAMLResponse"):
            return SamlForm(action, inputs["SAMLResponse"], inputs.get("RelayState", ""))
    return None


class _Forms(HTMLParser):
    """Collects each form's action and its named inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given.get("action", ""), {}))
        elif tag == "input" and self.forms and "name" in given:
            self.forms[-1][1][given["name"]] = given.get("value", "")
