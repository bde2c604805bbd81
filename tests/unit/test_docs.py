"""The pages say what the code does: commands, exit codes, kinds, words, JSON, seed steps."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from ostiary import connect, connect_okta, errors
from ostiary.aws import bootstrap_policies
from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.ownership import TAG
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.trust_document import sid_prefix
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.cli import root
from ostiary.doors.federation.proof import ProofResult
from ostiary.doors.federation.reached import Reached
from ostiary.doors.federation.role_groups import Preview
from ostiary.doors.gateway.deploy import work as gateway_work
from ostiary.doors.gateway.deploy.checklist import Item
from ostiary.doors.gateway.deploy.work import Deployed, Node
from ostiary.doors.gateway.importing.settings import Imported
from ostiary.okta.app import AppKind
from ostiary.okta.app_assignment import AppAssignmentKind
from ostiary.okta.group import GroupKind
from ostiary.okta.group_rule import GroupRuleKind
from ostiary.okta.mark import Mark
from ostiary.okta.role_group_members import RoleGroupMembersKind
from ostiary.plan import guard, lease
from ostiary.plan.change import Change, Plan
from ostiary.plan.outcome import RESULTS, Outcome
from ostiary.plan.resource import Key, Risk
from ostiary.plan.saved import to_json

TOP = Path(__file__).resolve().parents[2]
DOCS = TOP / "docs"
PAGES = [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PAGES if page.name != "commands.md"]
KINDS = {
    kind.name: kind
    for kind in (
        AppKind, GroupKind, SamlProviderKind, IamRoleKind, TrustStatementKind, GroupRuleKind,
        RoleGroupMembersKind, AppAssignmentKind,
    )
}  # fmt: skip


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the table whose header line begins with ``heading``."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(heading):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


# Commands


def test_the_page_of_commands_is_current():
    spec = importlib.util.spec_from_file_location("docs_commands", DOCS / "commands.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_commands"] = module
    spec.loader.exec_module(module)
    hint = "run: .venv/bin/python docs/commands.py"
    assert text_of("reference/commands.md") == module.page(), hint


def test_the_tables_of_the_inspection_are_current():
    spec = importlib.util.spec_from_file_location("docs_gateway", DOCS / "gateway.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = text_of("reference/gateway-inspect.md")
    assert text == module.page(text), "run: .venv/bin/python docs/gateway.py"
    assert "`not-an-appliance`" in text


def test_the_gateway_kinds_are_those_of_a_deployment():
    rows = table(text_of("reference/kinds.md"), "| gateway kind")
    for name, _, file in rows:
        text = (TOP / "src/ostiary" / file.strip("`")).read_text("utf-8")
        assert f"name = {name.replace('`', chr(34))}" in text
    used = inspect.getsource(gateway_work.kinds_of)
    classes = [
        one
        for row in rows[1:]
        for one in re.findall(
            r"^class (\w+Kind)\(",
            (TOP / "src/ostiary" / row[2].strip("`")).read_text(),
            re.MULTILINE,
        )
    ]
    positions = [used.index(f"{one}(") for one in classes]
    assert positions == sorted(positions)


def test_the_environment_of_the_page_is_what_the_code_reads():
    code = "".join(path.read_text("utf-8") for path in (TOP / "src").rglob("*.py"))
    for row in table(text_of("reference/commands.md"), "| environment"):
        name = row[0].strip("`")
        if name.startswith("OSTIARY_") and name != "OSTIARY_OKTA_TOKEN_<ORG>":
            setting = f'"{name.removeprefix("OSTIARY_").lower()}"'
            assert name in code or f"pick({setting}" in code, name
    assert "OSTIARY_OKTA_TOKEN_{" in code


def commands_in(text: str) -> list[str]:
    """Every ``ostiary`` command line: in blocks of code, after a prompt or alone, and in spans."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = re.findall(r"^(?:\$ |\s*- run: )(ostiary .*)$", block, re.MULTILINE)
        if language == "sh":
            lines += re.findall(r"^(ostiary .*)$", block, re.MULTILINE)
        found += lines
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(ostiary [^`]+)`", outside)
    return found + [
        span for span in spans if not re.match(r"ostiary (estate=|[0-9a-f]{8}\b)", span)
    ]


def check_command(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    end = next((n for n, word in enumerate(words) if word in {"|", ">", "2>&1", "&&", "…"}), None)
    words = words[:end]
    command, context = root, click.Context(root, info_name="ostiary", **root.context_settings)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, context, info_name=command.name)
    command.make_parser(context).parse_args(list(words))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_every_command_on_a_page_exists_with_its_options(page):
    for line in commands_in(page.read_text("utf-8")):
        try:
            check_command(line)
        except click.UsageError as wrong:
            pytest.fail(f"{line}: {wrong.format_message()}")


def test_every_make_target_on_a_page_exists():
    targets = set(re.findall(r"^(\w+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"`make (\w+)`|^make (\w+)", page.read_text("utf-8"), re.MULTILINE)
        assert {one or other for one, other in named} <= targets, page


# Tables


def test_exit_codes_are_those_of_the_error_tree():
    classes = (one for _, one in inspect.getmembers(errors, inspect.isclass))
    code = {one.__name__: one.exit_code for one in classes if issubclass(one, errors.OstiaryError)}
    rows = table(text_of("reference/exit-codes.md"), "| code | name")
    assert {name: int(number) for number, name, *_ in rows if name} == code
    assert [int(number) for number, *_ in rows] == sorted(int(number) for number, *_ in rows)


def test_the_table_of_kinds_is_that_of_the_code():
    rows = {row[0].strip("`"): row for row in table(text_of("reference/kinds.md"), "| kind")}
    assert list(rows) == list(KINDS)
    for name, (_, _, _, _, _, risk, file) in rows.items():
        path = file.strip("`")
        assert f'name = "{name}"' in (TOP / "src/ostiary" / path).read_text("utf-8")
        assert KINDS[name].__module__ == "ostiary." + path.removesuffix(".py").replace("/", ".")
        grades = set(re.findall(r"Risk\.(\w+)", inspect.getsource(KINDS[name].risk))) - {"NONE"}
        named = {one.value for one in Risk if re.search(rf"\b{one.value}\b", risk)}
        assert named == {grade.lower() for grade in grades}, name


def test_the_order_of_kinds_is_that_of_creation():
    source = inspect.getsource(connect.connect)
    assert "(*okta[:2], *_aws_kinds(estate, fleet, readings), *okta[2:])" in source
    bound = inspect.getsource(connect._aws_kinds)
    positions = [bound.index(f"{kind.__name__}(") for kind in list(KINDS.values())[2:5]]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("kind", "mark"),
    [
        ("okta-app", Mark("acme").text),
        ("okta-group", Mark("acme").text),
        ("okta-group-rule", Mark("acme").rule_prefix.strip()),
        ("trust-statement", sid_prefix("acme")),
        ("saml-provider", TAG),
        ("iam-role", TAG),
    ],
)
def test_marks_are_as_written(kind, mark):
    rows = {row[0].strip("`"): row for row in table(text_of("reference/kinds.md"), "| kind")}
    assert mark in rows[kind][2]


@pytest.mark.parametrize("page", ["reference/kinds.md", "explanation/threats.md"])
def test_caps_are_those_of_the_guard(page):
    text = " ".join(text_of(page).split())
    assert f"max({guard.CAP_FLOOR}, {guard.CAP_SHARE * 100:.0f} %)" in text
    assert f"never above {guard.CAP_CEILING * 100:.0f} %" in text


def test_the_lease_lasts_as_long_as_the_page_says():
    text = text_of("reference/runs-store.md")
    assert f"lasts {lease.TTL:.0f} s and is renewed every {lease.TTL / 3:.0f} s" in text
    assert f"wait {lease.SKEW:.0f} s longer" in text
    assert f"more than {lease.TTL + lease.SKEW:.0f} s" in text


def test_permissions_are_those_of_the_code():
    listed = re.search(r"```json\n(\[.*?\])\n```", text_of("how-to/bootstrap.md"), re.DOTALL)[1]
    assert re.findall(r'"([^"]+)"', listed) == list(bootstrap_policies.ORGANIZATION_READS)
    for page in ("how-to/first-real-account.md", "how-to/ci.md"):
        text = text_of(page)
        for scopes in connect_okta.SCOPES.values():
            assert all(f"`{scope}`" in text for scope in scopes), page


# Words


def test_every_noun_is_in_the_glossary():
    listed = set(re.findall(r"`(\w+)`", text_of("reference/glossary.md")))
    for name in ("access", "account", "partition", "selector", "estate", "iam"):
        module = importlib.import_module(f"ostiary.model.{name}")
        for noun, one in inspect.getmembers(module, inspect.isclass):
            if one.__module__ == module.__name__ and not noun.startswith("_"):
                assert noun in listed, f"{noun} of model/{name}.py"


# JSON


def keys_of(heading: str) -> set[str]:
    """The words in code on the part of the JSON page under a heading."""
    text = text_of("reference/plan-json.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert text, heading
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))


def test_the_json_of_a_plan_is_described():
    change = Change("create", Key("iam-role", "111122223333", "Ops"))
    made = to_json(Plan("acme", "", "", (), (change,)))
    assert keys_of("`plan`, `drift`") >= {*made, *made["changes"][0], *made["summary"]}
    assert keys_of("`plan`, `drift`") >= set(inspect.signature(Plan).parameters) - {"keep"}


def test_the_json_of_an_apply_is_described():
    shown = keys_of("`apply`, `destroy`, `adopt`, `restore`")
    assert shown >= {*Outcome("", ()).as_json(), *RESULTS}
    assert shown >= {*ProofResult(frozenset(), frozenset()).as_json(), "accounts", "sign_ins"}


def test_the_json_of_access_and_groups_is_described():
    shown = re.findall(r'"(\w+)":', inspect.getsource(Reached.as_json))
    assert {"login", "because"} <= set(shown) <= keys_of("`access what`")
    assert keys_of("`groups preview`, `groups lint`") >= set(Preview("x").as_json())


def test_the_json_of_the_gateway_is_described():
    imported = Imported("", "", "", "", "", "", "", ())
    assert keys_of("`gateway import`") >= set(imported.as_json())
    deployed = Deployed("", "", "", "", (Node(*"abcde"),), "", False, None).as_json()
    shown = keys_of("`gateway deploy`, `gateway checklist`")
    assert shown >= {*deployed, *deployed["nodes"][0], *Item("", "", "", (), "").as_json()}
    assert shown >= {"probes", "target", "state", "told", "steps", "removed"}


def test_the_json_of_the_sandbox_is_described():
    source = (TOP / "src/ostiary/sandbox/daemon.py").read_text("utf-8")
    describe = source.partition("def describe(")[2].partition("\ndef ")[0]
    made = re.findall(r'^ +"(\w+)":', describe, re.MULTILINE)
    assert "totp_secret" in made
    assert keys_of("`sandbox up`, `sandbox status`") >= set(made)


# Seed steps


def listed_steps() -> list[str]:
    block = re.search(r"<!-- steps\n(.*?)-->", text_of("reference/seed-steps.md"), re.DOTALL)[1]
    found = []
    for line in block.strip().splitlines():
        section, numbers = line.split()
        first, _, last = numbers.partition("-")
        found += [f"{section}.{number}" for number in range(int(first), int(last) + 1)]
    return found


def step_rows() -> list[list[str]]:
    text = text_of("reference/seed-steps.md")
    parts = text.split("| step | asks for")[1:]
    return [row for part in parts for row in table("| step" + part, "| step")]


def test_every_seed_step_has_one_row():
    assert sorted(row[0] for row in step_rows()) == sorted(listed_steps())


def test_every_seed_step_has_a_command_or_says_that_it_is_not_covered():
    for step, _, command, _ in step_rows():
        covered = re.fullmatch(r"`(ostiary [^`]+)`", command)
        assert covered or command.startswith("not in this version: "), step


def test_the_mistakes_of_the_seeds_are_named():
    text = text_of("reference/seed-steps.md")
    for words in (
        "sts.AssumreRole",
        "Okta-Idp-cross-acount-role",
        '"SAML:aud": ""',
        "secret access key is printed",
        "list of actions is lost",
        "Create Users but not Update User Attributes",
        "LocationConstraint=us-east-1",
        "put-role-policyy",
        "sts:Externalid",
    ):
        assert words in text, words


# Pages


def test_the_tour_names_files_that_exist():
    text = text_of("explanation/tour.md")
    named = re.findall(r"`((?:tests|[a-z_]+)/[\w/]*(?:\.py)?)`", text.partition("## One")[2])
    assert len(named) > 25
    for name in named:
        path = TOP / name if name.startswith("tests/") else TOP / "src/ostiary" / name
        assert path.exists(), name


def test_the_index_leads_to_every_page():
    linked = set(re.findall(r"\]\(([^)#]+)", text_of("README.md")))
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name in linked or name.startswith("adr/0") or name == "README.md", name


def test_links_to_headings_lead_to_one():
    for page in PAGES:
        for target, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
            aim = (page.parent / target) if target else page
            titles = re.findall(r"^#+ (.*)$", aim.read_text("utf-8"), re.MULTILINE)
            assert heading in {
                re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles
            }
