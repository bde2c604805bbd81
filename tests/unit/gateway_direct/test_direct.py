"""A disk into a snapshot of the sandbox: what is sent, what is sent again, what is never completed."""

from __future__ import annotations

import io
import threading

import pytest
from botocore.awsrequest import AWSResponse
from disk_shapes import BLOCK, MIB, as_vmdk, made_raw, opened
from gateway_world import GatewayWorld
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostiary.aws.ebs_direct import EbsDirect
from ostiary.doors.gateway.importing import block_index, direct
from ostiary.errors import Conflict, Denied, Interrupted, UsageError
from ostiary.sandbox.adapters import aws_send
from ostiary.sandbox.appliance.make import DiskSpec


class Sending:
    """Sends disks into one world; each call is another process with the same run store."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder

    def __call__(self, raw, *, token="one", variant="footer", connections=4, **options):
        path = self.folder / "disk"
        path.write_bytes(as_vmdk(raw, variant) if variant else raw)
        reached = self.world.again()
        send = options.pop("send", reached.blocks)
        ebs = EbsDirect(reached.aws, reached.region, connections=connections, send=send)
        with opened(path) as disk:
            return direct.send(
                disk,
                ebs,
                reached.store.log(f"gateway/imports/{token}"),
                token=token,
                description="a disk",
                tags={"Name": "disk"},
                connections=connections,
                **options,
            )

    @property
    def puts(self):
        return self.world.calls("PutSnapshotBlock")

    def held(self, snapshot_id, size):
        """The snapshot as it is read back, block by block; it must be completed."""
        self.world.world.clock.advance(1)
        held = bytearray(-(-size // BLOCK) * BLOCK)
        ebs = EbsDirect(self.world.reached.aws, self.world.region, send=self.world.reached.blocks)
        for index, data in ebs.blocks(snapshot_id):
            assert index * BLOCK < size or not any(data), "something stands behind the disk"
            held[index * BLOCK : (index + 1) * BLOCK] = data
        assert not any(held[size : -(-size // BLOCK) * BLOCK])
        return bytes(held[:size])


@pytest.fixture
def sending(tmp_path, monkeypatch):
    return Sending(GatewayWorld(tmp_path, monkeypatch), tmp_path)


def blocks_of(raw):
    pieces = [raw[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(raw), BLOCK)]
    return {index: piece for index, piece in enumerate(pieces) if any(piece)}


def changed_in(raw, *blocks, value=b"\7"):
    data = bytearray(raw)
    for block in blocks:
        data[block * BLOCK + 100 : block * BLOCK + 101] = value
    return bytes(data)


class Stops:
    """Sets ``stop`` when so many blocks were put."""

    def __init__(self, world, after):
        self.real, self.after, self.stop = aws_send(world), after, threading.Event()
        self.lock = threading.Lock()

    def __call__(self, *call):
        answer = self.real(*call)
        with self.lock:
            self.after -= 1
            if self.after <= 0:
                self.stop.set()
        return answer


def test_only_what_is_not_zero_is_sent_and_all_of_it_arrives(sending):
    count = iter(range(1000))

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        st.integers(1, 5 * MIB // 512),
        st.sampled_from(["footer", "header", ""]),
        st.integers(0, 99),
    )
    def compare(sectors, variant, seed):
        raw = made_raw(sectors * 512, seed=seed, holes=0.8)
        before = sending.puts
        sent = sending(raw, variant=variant, token=f"t{next(count)}")
        wanted = blocks_of(raw)
        assert sending.puts - before == sent.sent == len(wanted)
        assert set(sent.digests) == set(wanted)
        assert sending.held(sent.snapshot_id, len(raw)) == raw

    compare()


def test_an_empty_disk_is_a_snapshot_without_blocks(sending):
    sent = sending(bytes(MIB))
    assert (sent.sent, sent.size) == (0, 1)
    assert sending.held(sent.snapshot_id, MIB) == bytes(MIB)


@pytest.mark.parametrize("after", [1, 7, 15])
def test_a_stopped_run_goes_on_and_sends_each_block_once(sending, after):
    raw = made_raw(12 * MIB, seed=2, holes=0.1)
    stops = Stops(sending.world.world, after)
    with pytest.raises(Interrupted):
        sending(raw, send=stops, stop=stops.stop)
    before = sending.puts
    assert after <= before < len(blocks_of(raw))
    sent = sending(raw)
    assert (sent.again, sent.again + sent.sent) == (before, len(blocks_of(raw)))
    assert sending.puts == len(blocks_of(raw))
    assert len(sending.world.images.snapshots) == 1
    assert sending.held(sent.snapshot_id, len(raw)) == raw


def test_a_run_after_the_end_sends_nothing_and_names_the_same_snapshot(sending):
    raw = made_raw(3 * MIB)
    first, before = sending(raw), sending.puts
    again = sending(raw)
    assert (again.snapshot_id, again.sent) == (first.snapshot_id, 0)
    assert sending.puts == before


def test_a_log_that_a_power_cut_shortened_costs_only_its_last_line(sending):
    raw = made_raw(12 * MIB, seed=2, holes=0.1)
    stops = Stops(sending.world.world, 8)
    with pytest.raises(Interrupted):
        sending(raw, send=stops, stop=stops.stop)
    (path,) = (sending.folder / "runs").rglob("one")
    path.write_bytes(path.read_bytes()[:-5])
    stops = Stops(sending.world.world, 4)
    with pytest.raises(Interrupted):
        sending(raw, send=stops, stop=stops.stop)
    before = sending.puts
    sent = sending(raw)
    assert sent.again >= before - 8, "what came after the cut is read"
    assert sending.held(sent.snapshot_id, len(raw)) == raw


class TestChanged:
    """O2: bytes of two files never become one snapshot."""

    @pytest.mark.parametrize("value", [b"\7", b""], ids=["another", "emptied"])
    def test_between_runs(self, sending, value):
        raw = made_raw(12 * MIB, seed=2, holes=0.1)
        stops = Stops(sending.world.world, 9)
        with pytest.raises(Interrupted):
            sending(raw, send=stops, stop=stops.stop)
        first = min(blocks_of(raw))
        other = (
            changed_in(raw, first)
            if value
            else raw[: first * BLOCK] + bytes(BLOCK) + raw[(first + 1) * BLOCK :]
        )
        with pytest.raises(Conflict) as refused:
            sending(other)
        assert refused.value.code == "file-changed"
        assert f"block {first} is another one" in refused.value.why
        assert sending.world.calls("CompleteSnapshot") == 0
        assert sending.held(sending(raw).snapshot_id, len(raw)) == raw

    def test_under_the_reader(self, sending):
        with pytest.raises(Conflict) as refused:
            sending(made_raw(2 * MIB), unchanged=lambda: False)
        assert refused.value.code == "file-changed"
        assert sending.world.calls("CompleteSnapshot") == 0

    def test_an_appliance_that_is_written_to_while_it_is_sent(self, sending):
        """The end of the archive is written anew with the bytes that were there: even that is seen."""
        gateway = sending.world
        path = gateway.ova(disks=(DiskSpec(), DiskSpec(8 * MIB, noise=200_000, every=1)))

        def spoil(step):
            if step.what == "sending" and step.done:
                with path.open("r+b") as file:
                    file.seek(-512, io.SEEK_END)
                    file.write(bytes(512))

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: spoil(step)})()
        with pytest.raises(Conflict) as refused:
            gateway.run(path, "ebs-direct")
        assert refused.value.code == "file-changed"
        assert gateway.calls("CompleteSnapshot", "RegisterImage") == 0


class TestParent:
    def parent(self, sending, raw):
        sent = sending(raw, token="parent")
        store = sending.world.reached.store
        block_index.keep(store, sent.snapshot_id, sent.digests)
        sending.world.world.clock.advance(1)
        return {
            "parent": sent.snapshot_id,
            "parent_digests": block_index.load(store, sent.snapshot_id),
        }

    def test_only_what_differs_is_sent(self, sending):
        raw = made_raw(12 * MIB, seed=4, holes=0.0)
        parent = self.parent(sending, raw)
        after = changed_in(raw, 3, 12, 23)
        sent = sending(after, **parent)
        assert (sent.sent, sent.same) == (3, 21)
        assert sending.held(sent.snapshot_id, len(after)) == after
        assert sending.held(parent["parent"], len(raw)) == raw

    def test_what_became_zero_is_sent_as_zeros_and_what_grew_is_sent(self, sending):
        raw = made_raw(4 * MIB, seed=4, holes=0.0)
        parent = self.parent(sending, raw)
        after = raw[:BLOCK] + bytes(2 * BLOCK) + raw[3 * BLOCK :] + made_raw(MIB, holes=0.0)
        sent = sending(after, **parent)
        assert sent.sent == 4
        assert set(sent.digests) == set(blocks_of(after))
        assert sending.held(sent.snapshot_id, len(after)) == after
        block_index.keep(sending.world.reached.store, sent.snapshot_id, sent.digests)
        known = block_index.load(sending.world.reached.store, sent.snapshot_id)
        again = sending(raw, token="third", parent=sent.snapshot_id, parent_digests=known)
        assert sending.held(again.snapshot_id, len(after)) == raw + bytes(MIB)

    def test_a_stopped_difference_goes_on(self, sending):
        raw = made_raw(10 * MIB, seed=4, holes=0.0)
        parent = self.parent(sending, raw)
        after = changed_in(raw, *range(0, 20, 2))
        after = after[:BLOCK] + bytes(BLOCK) + after[2 * BLOCK :]
        stops = Stops(sending.world.world, 6)
        with pytest.raises(Interrupted):
            sending(after, send=stops, stop=stops.stop, **parent)
        sent = sending(after, **parent)
        assert (sent.sent + sent.again, sent.same) == (11, 9)
        assert sending.held(sent.snapshot_id, len(after)) == after

    def test_a_parent_and_a_key_exclude_each_other(self, sending):
        raw = made_raw(MIB)
        parent = self.parent(sending, raw)
        before = sending.world.calls("StartSnapshot")
        with pytest.raises(UsageError, match="a parent or a key, not both"):
            sending(raw, kms_key="arn:aws:kms:us-east-1:1:key/x", **parent)
        assert sending.world.calls("StartSnapshot") == before

    def test_only_one_route_knows_parents(self, sending):
        with pytest.raises(UsageError, match="cannot build on a parent"):
            sending.world.run(sending.world.ova(), "import-image", parent="ami-1")


class TestService:
    """What the service says is told, and answered rightly."""

    def test_a_snapshot_that_ran_out_of_time_is_begun_anew(self, sending):
        gateway = sending.world
        path, stop = gateway.ova(), threading.Event()

        def on_step(step):
            if step.what == "sending":
                stop.set()

        gateway.steps = type("Steps", (list,), {"append": lambda _, step: on_step(step)})()
        with pytest.raises(Interrupted):
            gateway.run(path, "ebs-direct", stop=stop)
        (first,) = gateway.images.snapshots.values()
        first.touched -= 100 * 3600
        gateway.steps = []
        with pytest.raises(Conflict) as dropped:
            gateway.run(path, "ebs-direct", reached=gateway.again())
        assert "begins a new snapshot" in dropped.value.fix
        made = gateway.run(path, "ebs-direct", reached=gateway.again())
        assert made.image_id
        assert first.id not in made.snapshots

    def test_a_completion_whose_answer_was_lost_and_that_is_refused_when_repeated(self, sending):
        """Should the service take a completion once only, what it made is believed."""
        said = []

        def second(request, **_):
            if "/snapshots/completion/" in request.url:
                said.append(request.url)
                if len(said) == 1:
                    return None  # the sandbox answers, and the answer below is never read
                body = b'{"Message":"is completed","Reason":"INVALID_SNAPSHOT_ID"}'
                headers = {"x-amzn-ErrorType": "ValidationException"}
                raw = io.BytesIO(body)
                raw.stream = lambda *_, **__: iter([body])
                return AWSResponse(request.url, 400, headers, raw)
            return None

        client = sending.world.client("ebs")
        client.meta.events.register_first("before-send", second)
        try:
            raw = made_raw(2 * MIB)
            first = sending(raw)
            again = sending(raw)
        finally:
            client.meta.events.unregister("before-send", second)
        assert len(said) == 2
        assert again.snapshot_id == first.snapshot_id
        assert sending.held(first.snapshot_id, len(raw)) == raw

    def test_a_world_that_throttles_and_loses_answers(self, sending):
        raw = made_raw(6 * MIB, seed=8, holes=0.2)
        sending.world.world.switches.throttle_share = 0.2
        sending.world.world.switches.lost_answer_share = 0.2
        sent = sending(raw, connections=8)
        sending.world.world.switches.throttle_share = 0.0
        sending.world.world.switches.lost_answer_share = 0.0
        assert sending.puts > len(blocks_of(raw))
        assert len(sending.world.images.snapshots) == 1
        assert sending.held(sent.snapshot_id, len(raw)) == raw

    def test_a_put_that_is_refused_ends_the_run_and_what_was_put_is_known(self, sending):
        raw = made_raw(8 * MIB, seed=2, holes=0.1)
        real, count, lock = aws_send(sending.world.world), [0], threading.Lock()

        def denied(method, url, headers, body):
            with lock:
                count[0] += 1
                if count[0] == 6:
                    headers = {**headers, "x-amz-checksum": "A" * 43 + "="}
            return real(method, url, headers, body)

        with pytest.raises(Denied) as refused:
            sending(raw, send=denied)
        assert refused.value.code == "InvalidSignatureException"
        before = sending.puts
        sent = sending(raw)
        assert sent.again >= 5
        assert sending.puts - before == sent.sent
        assert sending.held(sent.snapshot_id, len(raw)) == raw


def test_progress_comes_to_its_end(sending):
    seen = []
    sending(made_raw(3 * MIB + 512, holes=0.7), on_bytes=lambda *both: seen.append(both))
    assert seen == sorted(seen)
    assert seen[-1] == (3 * MIB + 512, 3 * MIB + 512)


def test_no_more_buffers_than_connections(sending):
    """Blocks under way at once, at most."""
    real, now, most, lock = aws_send(sending.world.world), [0], [0], threading.Lock()

    def counted(*call):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            return real(*call)
        finally:
            with lock:
                now[0] -= 1

    sending.world.world.switches.latency = 0.01
    sending(made_raw(8 * MIB, seed=2, holes=0.0), send=counted, connections=3)
    assert most[0] == 3
