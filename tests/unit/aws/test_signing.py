"""The lean signature is botocore's, header by header."""

import datetime as dt
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.aws.signing import UNSIGNED, RequestSigner

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
SEGMENT = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#."), min_size=1
)
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
NOW = 1_790_000_000.0


def botocores(url, headers, *, payload, token):
    """What botocore's own class signs at the same moment."""
    request = AWSRequest(method="PUT", url=url, headers=headers)
    auth = SigV4Auth(Credentials("AKIAEXAMPLE", "secret", token), "ebs", "eu-west-1")
    auth.payload = lambda _: payload
    auth.add_auth(request)
    return dict(request.headers)


@pytest.mark.chaos
@pytest.mark.parametrize("token", [None, "a/session+token=="])
def test_as_botocore_signs(monkeypatch, token):
    moment = dt.datetime.fromtimestamp(NOW, dt.UTC).replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: moment)
    signer = RequestSigner(
        "ebs",
        "eu-west-1",
        lambda: SimpleNamespace(access_key="AKIAEXAMPLE", secret_key="secret", token=token),
        clock=lambda: NOW,
    )

    @settings(max_examples=examples(50, 150), deadline=None)
    @given(
        segments=st.lists(SEGMENT, max_size=3),
        query=st.dictionaries(VALUE, TEXT, max_size=3),
        value=VALUE,
        payload=st.sampled_from([UNSIGNED, "0" * 64]),
    )
    def compare(segments, query, value, payload):
        path = "/" + "/".join(segments)
        headers = {"host": "ebs.eu-west-1.amazonaws.com", "x-amz-data-length": value}
        ours = signer.sign("PUT", path, query, headers, payload)
        asked = urlencode(query, quote_via=quote, safe="-_.~")
        url = f"https://ebs.eu-west-1.amazonaws.com{quote(path, safe='/-_.~')}" + (
            f"?{asked}" if asked else ""
        )
        theirs = botocores(url, headers, payload=payload, token=token)
        assert ours["authorization"] == theirs["Authorization"]

    compare()
