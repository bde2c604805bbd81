import pytest

from ostiary.saml.roles import NotRolePair, parse_pair, parse_pairs

ROLE = "arn:aws:iam::111122223333:role/Ops"
PROVIDER = "arn:aws:iam::111122223333:saml-provider/Okta"


@pytest.mark.parametrize(
    "value", [f"{ROLE},{PROVIDER}", f"{PROVIDER},{ROLE}", f" {PROVIDER} , {ROLE} "]
)
def test_either_order(value):
    pair = parse_pair(value)
    assert (pair.role_arn, pair.provider_arn) == (ROLE, PROVIDER)
    assert (pair.partition, pair.account_id) == ("aws", "111122223333")
    assert (pair.role_name, pair.provider_name) == ("Ops", "Okta")


def test_names_with_commas_and_paths():
    pair = parse_pair(
        "arn:aws:iam::111122223333:role/team/a,b=+@.-_,arn:aws:iam::111122223333:saml-provider/A,B"
    )
    assert pair.role_arn.endswith("role/team/a,b=+@.-_")
    assert (pair.role_name, pair.provider_name) == ("a,b=+@.-_", "A,B")


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        ROLE,
        f"{ROLE},{ROLE}",
        f"{PROVIDER},{PROVIDER}",
        f"{ROLE};{PROVIDER}",
        f"{ROLE},{PROVIDER.replace('1111', '4444')}",
        f"{ROLE},{PROVIDER.replace('arn:aws:', 'arn:aws-us-gov:')}",
        f"{ROLE.replace('111122223333', '12345')},{PROVIDER}",
        f"{ROLE}\u00e4,{PROVIDER}",
        f"{ROLE},{PROVIDER},{ROLE}",
    ],
)
def test_no_pair(value):
    with pytest.raises(NotRolePair):
        parse_pair(value)


def test_what_is_no_pair_is_left_out():
    assert len(parse_pairs([f"{ROLE},{PROVIDER}", "x", f"{PROVIDER},{ROLE}"])) == 1
