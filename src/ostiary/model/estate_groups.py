"""The grammar of role groups: group-name template, Okta's Group Filter and Role Value Pattern.

Okta writes a named group of a filter ``(?{{name}}…)`` (help page "Enable group-based role mapping"). Its
engine is not documented; RE2 is used here because it is linear in time and knows only ASCII classes, and
everything is matched from the first to the last character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import re2

from ostiary.model.partition import Partition

PLACEHOLDERS = ("alias", "role", "account")
DOCUMENTED_ROLE = r"[\w\-]+"  # the class of Okta's documented filter
EVERY_ROLE = r"[\w+=,.@\-]+"  # every name that IAM allows
PROVIDER_PLACEHOLDER = "[SAML Provider Name]"
_FIELD = re.compile(r"\{([a-z]+)\}")


def translate(group_filter: str) -> str:
    """Okta's spelling of named groups as RE2's."""
    return re.sub(r"\(\?\{\{(\w+)\}\}", r"(?P<\1>", group_filter)


def compile_filter(group_filter: str) -> Any:
    """The filter as a compiled RE2 pattern. Raises ValueError with RE2's reason."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(translate(group_filter), options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def template_problems(template: str) -> Iterator[str]:
    """What is wrong with a ``group_name`` template."""
    fields = _FIELD.findall(template)
    for unknown in sorted(set(fields) - set(PLACEHOLDERS)):
        yield f"group_name knows {{alias}}, {{role}} and {{account}}, not {{{unknown}}}"
    for name in ("role", "account"):
        if fields.count(name) != 1:
            yield f"group_name must hold {{{name}}} exactly once"
    if fields.count("alias") > 1:
        yield "group_name may hold {alias} only once"
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest or not re.fullmatch(r"[ -~]*", template):
        yield "group_name may hold only printable ASCII, with braces only around placeholders"
    if "}{" in template or template.startswith("{"):
        yield "group_name must start with fixed text and keep placeholders apart by a delimiter"


def name_group(template: str, *, alias: str, role: str, account: str) -> str:
    """The role group's name."""
    values = {"alias": alias, "role": role, "account": account}
    return _FIELD.sub(lambda found: values[found[1]], template)


def derive_filter(template: str, roles: Iterable[str]) -> str:
    r"""The Group Filter that admits exactly the names of ``template``, in Okta's spelling.

    The documented class ``[\w\-]+`` is kept when every role name fits it, so that the filter is the very
    one of Okta's help page; otherwise the class is all that IAM allows in a role name.
    """
    plain = all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in roles)
    groups = {
        "alias": r"\S+",
        "role": f"(?{{{{role}}}}{DOCUMENTED_ROLE if plain else EVERY_ROLE})",
        "account": r"(?{{accountid}}\d+)",
    }
    parts = _FIELD.split(template)
    text = "".join(
        groups[part] if index % 2 else re.sub(r"([^A-Za-z0-9_])", r"\\\1", part)
        for index, part in enumerate(parts)
    )
    return f"^{text}$"


def derive_pattern(partition: Partition, provider: str) -> str:
    """The Role Value Pattern for one provider name, on one line, principal first."""
    principal = partition.iam_arn("${accountid}", f"saml-provider/{provider}")
    return f"{principal},{partition.iam_arn('${accountid}', 'role/${role}')}"


def filter_defects(group_filter: str) -> Iterator[str]:
    """What makes a Group Filter unusable."""
    try:
        groups = compile_filter(group_filter).groupindex
    except ValueError as error:
        yield f"group filter is not an expression that RE2 reads: {error}"
        return
    for name in ("role", "accountid"):
        if name not in groups:
            yield f"group filter has no group (?{{{{{name}}}}}...)"
    if not is_anchored(group_filter):
        yield "group filter must be anchored with ^ and $, or other names that contain a match give access"


def is_anchored(group_filter: str) -> bool:
    """Whether the filter can only match whole names: ``^`` and ``$`` outside, and no ``|`` beside groups."""
    outside = re.sub(r"\\.|\[[^\]]*\]", "", group_filter)
    while (inner := re.sub(r"\([^()]*\)", "", outside)) != outside:
        outside = inner
    return (
        group_filter.startswith("^")
        and group_filter.endswith("$")
        and outside.endswith("$")
        and "|" not in outside
    )


def pattern_defects(pattern: str, provider: str, partition: Partition) -> Iterator[str]:
    """What makes a Role Value Pattern unusable with this provider name in this partition."""
    if any(character in pattern for character in "\r\n"):
        yield "role value pattern is broken over two lines; it must be one"
        return
    if PROVIDER_PLACEHOLDER in pattern:
        yield f"role value pattern still holds {PROVIDER_PLACEHOLDER}; put {provider!r} there"
        return
    for name in ("accountid", "role"):
        if f"${{{name}}}" not in pattern:
            yield f"role value pattern lacks ${{{name}}}"
            return
    if pattern != derive_pattern(partition, provider):
        yield (
            f"role value pattern does not give this console's roles; it should be "
            f"{derive_pattern(partition, provider)}"
        )
