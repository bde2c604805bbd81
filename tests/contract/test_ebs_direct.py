"""The client of the EBS direct APIs over real connections: TLS, proxies, what the service says, what botocore's model says."""

from __future__ import annotations

import base64
import hashlib
import http.server
import itertools
import json
import random
import threading

import botocore.session
import pytest

from ostiary.aws import ebs_direct, signed_calls
from ostiary.aws.ebs_direct import BLOCK, EbsDirect
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, Interrupted, Throttled, Unreachable
from ostiary.sandbox.seeds import acme
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


def checksum(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No profile, no metadata, no proxy but what a test sets."""
    for name in itertools.chain(PROXIES, (one.lower() for one in PROXIES)):
        monkeypatch.delenv(name, raising=False)
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", str(tmp_path / "none")),
    ):
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def served(alone, tmp_path):
    """The sandbox behind HTTPS with an authority of its own."""
    world = World()
    seed = acme(world)
    listeners = Listeners(world, tmp_path)
    listeners.start()
    for name, value in (
        ("AWS_ENDPOINT_URL", listeners.aws_url),
        ("AWS_CA_BUNDLE", str(listeners.ca_file)),
        ("AWS_ACCESS_KEY_ID", seed.admin_key[0]),
        ("AWS_SECRET_ACCESS_KEY", seed.admin_key[1]),
    ):
        alone.setenv(name, value)
    yield world
    listeners.stop()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(signed_calls, "RETRY_FOR", 1.0)
    monkeypatch.setattr(signed_calls, "full_jitter", lambda _: 0.01)


class Answering:
    """A server on loopback that gives one answer after the other, the last one for ever; it keeps what it was asked."""

    def __init__(self, *answers):
        self.asked, left = [], list(answers)
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(handler):  # noqa: N805 - ``self`` is the server's
                body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
                with lock:
                    self.asked.append((handler.command, handler.path, handler.headers, body))
                    status, headers, content = left[0] if len(left) == 1 else left.pop(0)
                if status == 0:  # the connection ends without a word
                    handler.close_connection = True
                    return
                handler.send_response(status)
                for name, value in headers.items():
                    handler.send_header(name, value)
                handler.send_header("content-length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            do_PUT = do_GET = do_POST = answer  # noqa: N815 - http.server's names

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def said(status, code="", reason="", message="no", **headers):
    body = json.dumps({"Message": message, **({"Reason": reason} if reason else {})}).encode()
    return status, {"x-amzn-ErrorType": code, **headers}, body


TAKEN = (201, {"x-amz-Checksum": "x"}, b"")


def client(connections=4):
    return EbsDirect(Aws(region="eu-west-1"), "eu-west-1", connections=connections)


def put(ebs, data=bytes(BLOCK), index=7):
    ebs.put("snap-0a", index, data, checksum(data))


def begin(ebs):
    return ebs.start(
        size=1, token="t", description="d", minutes=60, parent="", kms_key="", tags={}
    ).snapshot_id


class TestOverTls:
    def test_blocks_go_there_and_come_back(self, served):
        ebs, chance = client(), random.Random(1)
        snapshot_id = begin(ebs)
        blocks = {index: chance.randbytes(BLOCK) for index in (0, 5, 2047)}
        threads = [
            threading.Thread(target=ebs.put, args=(snapshot_id, index, data, checksum(data)))
            for index, data in blocks.items()
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        ebs.complete(
            snapshot_id, {index: hashlib.sha256(data).digest() for index, data in blocks.items()}
        )
        served.clock.advance(5)
        assert dict(ebs.blocks(snapshot_id)) == blocks

    def test_an_authority_that_is_not_known_is_refused_at_once(self, served, alone):
        alone.delenv("AWS_CA_BUNDLE")
        alone.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with pytest.raises(Unreachable) as refused:
            put(client())
        assert refused.value.code == "SSLError"
        assert "AWS_CA_BUNDLE" in refused.value.fix
        assert not served.calls

    def test_the_count_and_the_checksum_are_the_services_to_judge(self, served, monkeypatch):
        monkeypatch.setattr(ebs_direct, "LOOKS", 1)  # else each refusal is looked into for 10 s
        ebs = client()
        snapshot_id = begin(ebs)
        data = b"x" * BLOCK
        ebs.put(snapshot_id, 1, data, checksum(data))
        digest = hashlib.sha256(data).digest()
        for wrong in ({1: digest, 2: digest}, {1: hashlib.sha256(b"y").digest()}):
            with pytest.raises(Conflict) as refused:
                ebs.complete(snapshot_id, wrong)
            assert refused.value.code == "ValidationException"
            assert "begins a new snapshot" in refused.value.fix

    @pytest.mark.parametrize("index", [-1, 2048])
    def test_a_block_outside_of_the_volume(self, served, index):
        ebs = client()
        snapshot_id = begin(ebs)
        data = b"x" * BLOCK
        with pytest.raises(Conflict) as refused:
            ebs.put(snapshot_id, index, data, checksum(data))
        assert refused.value.code == "ValidationException"

    def test_a_snapshot_that_is_not_there(self, served):
        with pytest.raises(Conflict) as refused:
            put(client())
        assert refused.value.code == "ResourceNotFoundException"
        assert "SNAPSHOT_NOT_FOUND" in refused.value.why


class TestAnswers:
    @pytest.mark.parametrize(
        "first",
        [
            said(400, "RequestThrottledException", "ACCOUNT_THROTTLED"),
            said(400, "ConcurrentLimitExceededException"),
            said(400, "ValidationException", "WRITE_REQUEST_TIMEOUT"),
            said(400, "ValidationException", "CONFLICTING_BLOCK_UPDATE"),
            said(500, "InternalServerException"),
            said(503, ""),
            said(429, ""),
            (0, {}, b""),
            (502, {}, b"<html>bad gateway</html>"),
        ],
        ids=lambda row: f"{row[0]}-{row[1].get('x-amzn-ErrorType', '')}",
    )
    def test_what_may_go_well_is_tried_again(self, alone, impatient, first):
        with Answering(first, first, TAKEN) as server:
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            put(client())
        assert len(server.asked) == 3
        assert {path for _, path, _, _ in server.asked} == {"/snapshots/snap-0a/blocks/7"}
        assert {len(body) for *_, body in server.asked} == {BLOCK}

    @pytest.mark.parametrize(
        ("answer", "kind", "code", "fix"),
        [
            (said(400, "ValidationException", "INVALID_BLOCK"), Conflict, "ValidationException", "begins a new"),
            (said(404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND"), Conflict, "ResourceNotFoundException", "begins a new"),
            (said(402, "ServiceQuotaExceededException"), Conflict, "ServiceQuotaExceededException", "begins a new"),
            (
                said(403, "AccessDeniedException", message="User: x is not authorized to perform: ebs:PutSnapshotBlock on resource: y"),
                Denied, "AccessDeniedException", "allow ebs:PutSnapshotBlock on y",
            ),
            (said(403, "ExpiredTokenException:http://x/"), Denied, "ExpiredTokenException", "renew the credentials"),
            (said(403, "InvalidSignatureException", message="Signature expired: 1 is now earlier than 2"), Denied, "InvalidSignatureException", "set the clock"),
            ((400, {}, b'{"__type":"com.amazonaws.ebs#ValidationException","message":"no"}'), Conflict, "ValidationException", "begins"),
            ((301, {"location": "http://127.0.0.1:9/"}, b""), Conflict, "301", ""),
            ((403, {}, b"[]"), Denied, "403", ""),
        ],
    )  # fmt: skip
    def test_what_cannot_go_well_is_said_in_the_services_words(
        self, alone, answer, kind, code, fix
    ):
        with Answering(answer) as server:
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            with pytest.raises(kind) as refused:
                put(client())
        assert len(server.asked) == 1
        assert refused.value.code == code
        assert refused.value.what == "cannot send block 7 of snap-0a"
        assert fix in refused.value.fix

    def test_giving_up_says_the_last_word(self, alone, impatient):
        with Answering(said(400, "RequestThrottledException", "ACCOUNT_THROTTLED")) as server:
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            with pytest.raises(Throttled, match="ACCOUNT_THROTTLED"):
                put(client())
        assert len(server.asked) > 5

    def test_a_stop_ends_the_waiting(self, alone):
        stopping = threading.Event()
        with Answering(said(503)) as server:
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            ebs = EbsDirect(Aws(region="eu-west-1", stopping=stopping), "eu-west-1")
            threading.Timer(0.2, stopping.set).start()
            with pytest.raises(Interrupted):
                put(ebs)

    def test_a_block_that_comes_back_with_another_checksum_is_not_believed(self, served):
        ebs = client()
        snapshot_id = begin(ebs)
        data = b"x" * BLOCK
        ebs.put(snapshot_id, 1, data, checksum(data))
        ebs.complete(snapshot_id, {1: hashlib.sha256(data).digest()})
        served.clock.advance(5)
        snapshot = served.aws.images.snapshots[snapshot_id]
        with snapshot.file.open("r+b") as file:
            file.seek(BLOCK + 9)
            file.write(b"rot")
        with pytest.raises(Conflict, match="cannot trust block 1"):
            list(ebs.blocks(snapshot_id))


class TestProxy:
    def test_blocks_go_the_way_that_botocore_goes(self, alone):
        with Answering(TAKEN) as proxy:
            alone.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://anna:s3cret@"))
            alone.setenv("AWS_ENDPOINT_URL_EBS", "http://ebs.example")
            put(client())
        ((method, path, headers, _),) = proxy.asked
        assert (method, path) == ("PUT", "http://ebs.example/snapshots/snap-0a/blocks/7")
        assert headers["host"] == "ebs.example"
        token = base64.b64encode(b"anna:s3cret").decode()
        assert headers["proxy-authorization"] == f"Basic {token}"

    def test_what_needs_no_proxy_gets_none(self, alone):
        with Answering(TAKEN) as server, Answering(said(500)) as proxy:
            alone.setenv("HTTP_PROXY", proxy.url)
            alone.setenv("NO_PROXY", "127.0.0.1")
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            put(client())
        assert (len(server.asked), len(proxy.asked)) == (1, 0)


class TestAsTheModelSays:
    def test_a_put_is_the_request_that_botocore_makes(self, alone):
        """The same line, the same headers but for who signs and what travels in them."""
        data = b"z" * BLOCK
        with Answering(TAKEN) as server:
            alone.setenv("AWS_ENDPOINT_URL_EBS", server.url)
            put(client(), data)
            theirs = botocore.session.get_session().create_client("ebs", region_name="eu-west-1")
            theirs.put_snapshot_block(
                SnapshotId="snap-0a",
                BlockIndex=7,
                BlockData=data,
                DataLength=BLOCK,
                Checksum=checksum(data),
                ChecksumAlgorithm="SHA256",
            )
        ours, peers = server.asked
        assert ours[:2] == peers[:2]
        assert ours[3] == peers[3] == data
        named = ("x-amz-data-length", "x-amz-checksum", "x-amz-checksum-algorithm", "host")
        assert [ours[2][name] for name in named] == [peers[2][name] for name in named]
        assert "x-amz-content-sha256" not in ours[2]

    @pytest.mark.parametrize(
        ("region", "fips", "host"),
        [
            ("eu-west-1", "false", "ebs.eu-west-1.amazonaws.com"),
            ("us-east-1", "true", "ebs-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "false", "ebs.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "false", "ebs.cn-north-1.amazonaws.com.cn"),
        ],
    )
    def test_the_endpoint_is_botocores(self, alone, region, fips, host):
        alone.setenv("AWS_USE_FIPS_ENDPOINT", fips)
        asked = []

        def send(method, url, headers, body):
            asked.append((url, headers))
            return 201, {}, b""

        put(EbsDirect(Aws(region=region), region, send=send))
        ((url, headers),) = asked
        assert url == f"https://{host}/snapshots/snap-0a/blocks/7"
        assert headers["host"] == host
        assert f"/{region}/ebs/aws4_request" in headers["authorization"]
