"""The region and where it comes from, in the order of the AWS CLI; none, or none that there is, is said."""

import pytest

from ostiary.aws.region import partition_of, region_of
from ostiary.errors import UsageError


@pytest.fixture
def config(tmp_path, monkeypatch):
    """An AWS config file; what this machine's environment says does not count."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config"
    path.write_text("[default]\nregion = eu-west-1\n[profile gov]\nregion = us-gov-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return path


@pytest.mark.parametrize(
    ("flag", "profile", "environ", "found"),
    [
        ("us-east-2", "gov", {"AWS_REGION": "a"}, ("us-east-2", "--region")),
        (
            None,
            "gov",
            {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "b"},
            ("us-west-2", "AWS_REGION"),
        ),
        (None, None, {"AWS_DEFAULT_REGION": "ap-south-1"}, ("ap-south-1", "AWS_DEFAULT_REGION")),
        (None, None, {"AWS_REGION": ""}, ("eu-west-1", "profile default")),
        (None, "gov", {}, ("us-gov-west-1", "profile gov")),
    ],
)
def test_the_first_that_says_one(config, flag, profile, environ, found):
    assert region_of(flag, profile, environ) == found


def test_the_profile_of_the_environment(config, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "gov")
    environ = {"AWS_PROFILE": "gov"}
    assert region_of(None, None, environ) == ("us-gov-west-1", "profile gov")


def test_none(config):
    config.write_text("")
    with pytest.raises(UsageError) as refused:
        region_of(None, None, {})
    assert "export AWS_REGION=us-east-1" in refused.value.fix


def test_a_profile_that_there_is_not(config):
    with pytest.raises(UsageError, match="cannot read the profile nobodys"):
        region_of(None, "nobodys", {})


def test_a_profile_of_the_environment_that_there_is_not(config, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(UsageError, match="cannot read the AWS config file"):
        region_of("us-east-1", None, {})


@pytest.mark.parametrize("named", ["moon-east-1", "EU-WEST-1", "us-east-1.evil.example", "x" * 80])
def test_a_region_that_there_is_not(config, named):
    with pytest.raises(UsageError, match="cannot work in region"):
        region_of(named, None, {})


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("us-gov-east-1", "aws-us-gov"), ("cn-north-1", "aws-cn")],
)
def test_the_partition_is_the_regions(region, partition):
    assert partition_of(region) == partition
