"""The reference page names every key, and its example is an estate."""

import re
from pathlib import Path

from ostiary.model.estate_schema import SHAPES
from ostiary.model.estate_text import parse

PAGE = Path(__file__).parents[3] / "docs/reference/estate.md"


def test_the_page_names_every_key():
    text = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    words = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", text))))
    missing = {key for shape in SHAPES.values() for key in shape} - words
    assert not missing


def test_the_example_is_an_estate():
    example = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert parse(example, file="estate.md").name == "acme-prod"
