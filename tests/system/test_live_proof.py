"""``apply --sign-in``: the operator's own sign-in by device flow ends the apply; ``--people`` signs in as everybody."""

from __future__ import annotations

import json
import os
import re
import subprocess

from conftest import OSTIARY


def start_apply(sandbox, *arguments):
    env = {"PATH": os.environ["PATH"], "HOME": str(sandbox.folder), **sandbox.described["env"]}
    return subprocess.Popen(
        [OSTIARY, "apply", "--yes", "--json", "--estate", "estate.yaml", *arguments],
        cwd=sandbox.folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_operator_signs_in_once_and_enters_every_role_of_the_estate(sandbox):
    person = sandbox.people["margaret"]
    with person.browser() as browser, start_apply(sandbox, "--sign-in") as process:
        url = next(
            found.group()
            for line in process.stderr
            if (found := re.search(r"https://\S+user_code=\S+", line))
        )
        person.allow_device(browser, url)
        output, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    assert f"signed in as {person.login}" in talk
    (report,) = json.loads(output)["sign_ins"]
    assert report["holds"]
    assert report["expected"] == report["succeeded"] == 12  # Auditor in every member account


def test_everybody_signs_in_where_passwords_are_known(sandbox):
    people = sandbox.folder / "people.json"
    people.write_text(
        json.dumps(
            {
                "people": [
                    one
                    for one in sandbox.described["people"]
                    if one["login"].startswith(("edgar", "mallory"))
                ]
            }
        )
    )
    with start_apply(sandbox, "--people", str(people)) as process:
        output, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    (report,) = json.loads(output)["sign_ins"]
    assert report["holds"]
    assert report["succeeded"] == 1  # edgar in dev-data; mallory nowhere, and that holds too
