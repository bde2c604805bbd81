"""An audit goes to S3 with Object Lock by the command, is removed by nobody, and is verified from a copy with nothing else up."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import time

import pytest
from conftest import STRICT, TOP
from conftest import Client as Foreign
from control_world import Client
from test_audit_serve import OSTIARY, Served

from ostiary.doors.servers.wire import admin

BUCKET, PLAIN, DAYS = "acme-audit", "acme-plain", 30
NOT_FOUND, DENIED, USAGE, NOT_WHOLE = 5, 4, 2, 11


class Site:
    """A sandbox's AWS with a bucket that locks and one that does not, a control plane whose checkpoints go there too."""

    def __init__(self, aws, folder):
        self.aws, self.folder = aws, folder
        aws.run("s3api", "create-bucket", "--object-lock-enabled-for-bucket", "--bucket", BUCKET)
        aws.run("s3api", "create-bucket", "--bucket", PLAIN)
        env = {name: value for name, value in aws.env.items() if name.startswith(("AWS_", "SSL_"))}
        env["NO_PROXY"] = "localhost,127.0.0.1"
        self.served = Served(folder, f"s3://{BUCKET}/checkpoints", env)
        self.served.start()
        made = self.make_project("prod")
        keys = [one.public_key for one in made.authorities if one.use == "host"]
        self.authority = folder / "host.pub"
        self.authority.write_text("".join(f"{one}\n" for one in keys))
        self.project_id = made.id

    def make_project(self, name):
        asked = admin.NewProject(name, 60001, 63001)
        return self.call("/v1/projects", asked, admin.Project)

    def call(self, path, message, kind):
        """By a connection of its own: one that was idle may be closed."""
        client = Client(self.served.url, self.served.client.session)
        try:
            return client.call("POST", path, message, kind)
        finally:
            client.close()

    def grow(self):
        """More rows, and a checkpoint for them: the process signs when it ends."""
        self.call("/v1/projects/prod/tokens", admin.NewToken(1, 60.0), admin.MadeToken)
        assert self.served.end() == 0, self.served.log.read_text()
        self.served.start()

    def export(self, to=f"s3://{BUCKET}/rows", days=DAYS, **env):
        words = ("audit", "export", "--project", "prod", "--to", to, "--keep-days", days, "--json")
        return self.served.ostiary(*words, **env)

    def keys(self, prefix):
        asked = ("--bucket", BUCKET, "--prefix", prefix)
        said = self.aws.run("s3api", "list-objects-v2", *asked)
        return [one["Key"] for one in json.loads(said or "{}").get("Contents", ())]


@pytest.fixture
def site(own_sandbox, tmp_path):
    program = TOP / ".envs/awscli/bin/aws"
    if not program.exists():
        text = f"not run: no {program.relative_to(TOP)}; make test installs it"
        (pytest.fail if STRICT else pytest.skip)(text)
    own_sandbox.up()
    for name in ("aws", "served"):
        (tmp_path / name).mkdir()
    site = Site(Foreign(program, own_sandbox, tmp_path / "aws"), tmp_path / "served")
    yield site
    site.served.close()


def verified(*arguments):
    """``ostiary audit verify`` with nothing of the environment that leads anywhere."""
    argv = [OSTIARY, "audit", "verify", *map(str, arguments), "--json"]
    env = {one: os.environ.get(one, "") for one in ("PATH", "PYTHONPATH")}
    env |= {"HOME": "/nonexistent", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_what_was_exported_stays_and_a_copy_of_it_proves_itself(site, own_sandbox):
    site.grow()
    first = site.export()
    assert first.returncode == 0, first.stderr
    site.grow()
    more = site.export()
    assert json.loads(more.stdout)["first"] == json.loads(first.stdout)["last"] + 1
    nothing = site.export()
    assert (nothing.returncode, json.loads(nothing.stdout)["last"]) == (0, 0)
    kept = site.keys(f"rows/{site.project_id}/")
    assert [one.rpartition(".")[2] for one in sorted(kept)] == ["checkpoint", "jsonl"] * 2
    for key in kept:
        that = ("--bucket", BUCKET, "--key", key)
        told = json.loads(site.aws.run("s3api", "head-object", *that))
        assert told["ObjectLockMode"] == "COMPLIANCE"
        until = dt.datetime.fromisoformat(told["ObjectLockRetainUntilDate"]).timestamp()
        assert until - time.time() == pytest.approx(DAYS * 86400, abs=600)
        with pytest.raises(AssertionError, match=r"AccessDenied.*object lock"):
            site.aws.run("s3api", "delete-object", *that, "--version-id", told["VersionId"])
    assert site.keys(f"rows/{site.project_id}/") == kept
    copy = site.folder / "copy"
    site.aws.run("s3", "cp", "--quiet", "--recursive", f"s3://{BUCKET}", str(copy))
    site.served.end()
    own_sandbox.ostiary("sandbox", "down")

    elsewhere = copy / "checkpoints" / site.project_id
    asked = (copy / "rows", "--authority", site.authority, "--checkpoint", elsewhere)
    code, told, talk = verified(*asked)
    assert (code, told["trusted"]) == (0, True), talk
    assert told["last"] == json.loads(more.stdout)["last"]
    rows = max((copy / "rows").rglob("*.jsonl"))
    rows.write_text(rows.read_text().replace("token.created", "token.revoked"))
    code, _, talk = verified(*asked)
    assert code == NOT_WHOLE
    assert "is not what was written" in talk


@pytest.fixture
def errors(site):
    """What it says where it cannot export, by what was wrong; nothing is written anywhere."""
    site.grow()
    site.aws.run("iam", "create-user", "--user-name", "nobody-much")
    made = json.loads(site.aws.run("iam", "create-access-key", "--user-name", "nobody-much"))
    key = made["AccessKey"]
    poor = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    asked = {
        "absent": site.export("s3://acme-absent/rows"),
        "plain": site.export(f"s3://{PLAIN}/rows"),
        "poor": site.export(**poor),
        "unknown": site.export(AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE"),
        "days": site.export(days=0),
        "nameless": site.export("s3://"),
        "other": site.export("gs://acme-audit/rows"),
    }
    assert site.keys("rows/") == []
    return asked


WORDS = {
    "absent": (
        NOT_FOUND,
        "NoSuchBucket",
        "run: aws s3api create-bucket --object-lock-enabled-for-bucket",
    ),
    "plain": (
        USAGE,
        "it has no Object Lock",
        "name another bucket, made with: aws s3api create-bucket",
    ),
    "poor": (DENIED, "s3:GetBucketObjectLockConfiguration", "s3:PutObject, s3:PutObjectRetention"),
    "unknown": (DENIED, "InvalidAccessKeyId", "renew the credentials"),
    "days": (USAGE, "1 to 36500 days", "--keep-days 365"),
    "nameless": (USAGE, "no address of a bucket", "s3://BUCKET/PREFIX"),
    "other": (USAGE, "no address of a bucket", "s3://BUCKET/PREFIX"),
}


def test_where_it_cannot_be_kept_it_says_why_and_what_to_run(errors):
    for name, (code, why, fix) in WORDS.items():
        done = errors[name]
        assert (done.returncode, done.stdout) == (code, ""), f"{name}: {done.stderr}"
        told = json.loads(done.stderr)
        assert why in told["why"], name
        assert fix in told["fix"], name
