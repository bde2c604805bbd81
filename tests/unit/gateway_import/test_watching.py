"""A task is watched by a clock of the test: what ends the waiting, and after how long."""

import threading

import pytest

from ostiary.aws.image_tasks import ImportTask
from ostiary.doors.gateway.importing.watching import FAILING, GOING_ON, Patience, watch
from ostiary.errors import Conflict, Denied, NotFound, Throttled, Unreachable

HOUR = 3600.0


def task(status, message="", progress=-1, image=""):
    return ImportTask("import-ami-1", status, message, progress, image, ())


DONE = task("completed", image="ami-1")


class Watched:
    """``looks`` are what each look gives, the last one for ever; an exception is raised."""

    def __init__(self, *looks, patience=None):
        self.looks, self.time, self.steps = list(looks), 0.0, []
        self.patience = patience or Patience()

    def look(self):
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    def sleep(self, seconds):
        self.time += seconds

    def run(self):
        return watch(
            self.look,
            "import-ami-1",
            on_step=self.steps.append,
            stop=threading.Event(),
            patience=self.patience,
            clock=lambda: self.time,
            sleep=self.sleep,
        )


def test_every_state_is_told_once_in_the_services_words():
    states = [
        ("active", "pending", 2),
        ("active", "validating", 15),
        ("active", "validating", 15),
        ("active", "converting", 30),
        ("active", "booting", 61),
    ]
    watched = Watched(*(task(*one) for one in states), DONE)
    assert watched.run().image_id == "ami-1"
    told = [(step.what, step.done) for step in watched.steps]
    assert told == [
        ("pending", 2),
        ("validating", 15),
        ("converting", 30),
        ("booting", 61),
        ("completed", 100),
    ]


def test_often_in_the_first_minute_then_less():
    watched = Watched(*[task("active", "pending", 2)] * 100, DONE)
    watched.run()
    assert 60 * 1.0 + 40 * 5.0 - 10 <= watched.time <= 60 * 1.0 + 40 * 5.0 + 10


@pytest.mark.parametrize(
    "silence", [Throttled("cannot look", why="Rate exceeded"), Unreachable("cannot look")]
)
def test_a_bad_minute_does_not_end_an_import_of_an_hour(silence):
    watched = Watched(task("active", "pending", 2), *[silence] * 60, DONE)
    assert watched.run() is DONE


def test_a_service_that_stays_silent_is_given_up():
    watched = Watched(task("active", "pending", 2), Throttled("cannot look", why="Rate exceeded"))
    with pytest.raises(Unreachable, match="Rate exceeded") as given_up:
        watched.run()
    assert watched.time <= Patience().away + 10
    assert "begins no second task" in given_up.value.fix


def test_what_is_refused_is_not_waited_for():
    watched = Watched(Denied("cannot look", why="AccessDenied"))
    with pytest.raises(Denied):
        watched.run()
    assert watched.time == 0


def test_not_shown_for_a_minute_then_there():
    watched = Watched(*[None] * 60, task("active", "pending", 2), DONE)
    assert watched.run() is DONE


def test_never_shown():
    watched = Watched(None)
    with pytest.raises(NotFound):
        watched.run()
    assert watched.time <= Patience().unseen + 10


def test_stuck():
    watched = Watched(task("active", "converting", 28))
    with pytest.raises(Unreachable, match="at 28 %") as stuck:
        watched.run()
    assert watched.time <= 3 * HOUR + 10
    assert "gateway cancel import-ami-1" in stuck.value.fix


def test_slow_but_moving_is_waited_for():
    moving = [task("active", "converting", number) for number in range(1, 99)]
    watched = Watched(*moving, DONE, patience=Patience(first=HOUR, every=HOUR))
    assert watched.run() is DONE
    assert watched.time > 90 * HOUR


def test_completed_and_the_ami_comes_a_moment_later():
    assert Watched(*[task("completed", progress=100)] * 5, DONE).run() is DONE


def test_a_failing_task_is_not_waited_for():
    watched = Watched(task("deleting", "ClientError: Footers not identical"))
    with pytest.raises(Conflict) as failed:
        watched.run()
    assert failed.value.code == "ClientError"
    assert "Footers not identical" in failed.value.why


def test_no_word_is_both():
    assert not GOING_ON & FAILING
