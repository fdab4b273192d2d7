"""Random plans, deaths, resumes, rollbacks and givings-up: what is live is what is desired, or it is listed."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from gpualloc.engine.doubt import doubtful
from gpualloc.engine.observe import look
from gpualloc.engine.open_runs import abandon, look_again, resume, roll_back
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.serial import OneAtATime
from gpualloc.engine.settle import settle
from gpualloc.engine.submit import submit
from gpualloc.errors import StateError, StoppedError, UnknownOutcomeError
from gpualloc.model.gang import living_parts
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.wiring import Options, open_context

CLUSTER = """
[[nodes]]
name = "n[1-2]"
gpus = ["2xH100-80GB"]
"""
ASKED = ("preflight", "do", "verify", "undo")
HELD = (WorkloadState.RUNNING, WorkloadState.SUSPENDED)


class KillError(BaseException):
    """Ends the run wherever it is, as a kill would."""


class DeadlyFleet:
    """The real fleet, where the nth question kills the one who asks, or loses the answer."""

    def __init__(self, fleet, number, error, *, after):
        self._fleet, self._left, self._error, self._after = fleet, number, error, after

    def __getattr__(self, name):
        asked = getattr(self._fleet, name)
        if name not in ASKED:
            return asked

        def ask(call):
            self._left -= 1
            if self._left == 0 and not self._after:
                raise self._error
            result = asked(call)
            if self._left == 0:
                raise self._error
            return result

        return ask


deaths = st.tuples(
    st.integers(1, 25), st.sampled_from([KillError(), UnknownOutcomeError("the connection was lost")]), st.booleans()
)
commands = st.sampled_from([("sleep", "90000"), ("true",), ("/nonexistent/train",)])
memories = st.sampled_from([None, 1024])
requests = st.one_of(
    st.builds(Request, command=commands, gpus=st.integers(0, 2), memory_mib=memories),
    st.builds(Request, command=commands, gpus=st.integers(2, 4), memory_mib=memories, gang=st.just(True)),
)


class Applying(RuleBasedStateMachine):
    """An operator with bad luck."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory(prefix="gpualloc-random-")
        cluster = Path(self.folder.name) / "cluster.toml"
        cluster.write_text(CLUSTER)
        self.world = open_context(Options(sim=str(cluster), state_dir=Path(self.folder.name) / "state"))
        ctx = self.world.__enter__()
        # One piece of work at a time, so that a death is where it was drawn.
        self.ctx = replace(ctx, crew=OneAtATime)

    def deadly(self, death):
        number, error, after = death
        return replace(self.ctx, fleet=DeadlyFleet(self.ctx.fleet, number, error, after=after))

    def survive(self, act):
        try:
            act()
        except (KillError, UnknownOutcomeError, StoppedError):
            pass
        except Exception as error:
            # What a release that was cut reports; anything else is a fault of ours.
            if getattr(error, "code", None) not in ("partly-applied", "step", "unknown-outcome"):
                raise

    @rule(request=requests)
    def submits(self, request):
        submit(self.ctx, "work", request)

    @rule(death=deaths)
    def dies_placing(self, death):
        self.survive(lambda: rebalance(self.deadly(death)))

    @rule(death=deaths)
    def dies_releasing(self, death):
        running = [work.id for work in self.ctx.journal.workloads([WorkloadState.RUNNING])]
        self.survive(lambda: release(self.deadly(death), running[:2]))

    @precondition(lambda self: self.ctx.journal.open_runs())
    @rule(death=deaths, how=st.sampled_from([resume, roll_back]))
    def dies_recovering(self, death, how):
        self.survive(lambda: how(self.deadly(death), "latest"))

    @precondition(lambda self: self.ctx.journal.open_runs())
    @rule(how=st.sampled_from([resume, roll_back]))
    def recovers(self, how):
        how(self.ctx, "latest")

    @precondition(lambda self: self.ctx.journal.open_runs())
    @rule()
    def gives_up(self):
        abandon(self.ctx, self.ctx.journal.open_runs()[0].id)

    @rule(death=deaths)
    def dies_looking_again(self, death):
        with self.ctx.journal.write("test") as writer:
            self.survive(lambda: look_again(self.deadly(death), writer))

    @rule()
    def looks_again(self):
        with self.ctx.journal.write("test") as writer:
            look_again(self.ctx, writer)

    @rule()
    def places(self):
        rebalance(self.ctx)

    @invariant()
    def what_is_live_is_desired_or_listed(self):
        snapshot = look(self.ctx)
        works = self.ctx.journal.workloads(HELD)
        now = {work.id: work for work in (*works, *settle(works, snapshot)[0])}
        held = {work.id: work for work in now.values() if not work.state.ended}
        listed = doubtful(self.ctx) | {
            step.workload for step in make_plan(self.ctx).steps if step.kind is StepKind.UNCLAIM
        }
        for node in snapshot.nodes:
            for claim in node.claims:
                work = held.get(claim.workload)
                devices = [grant.device for part in living_parts(work) for grant in part.grants] if work else []
                assert claim.device in devices or claim.workload in listed, f"claim of {claim.workload} is forgotten"
            for record in node.workloads:
                assert record.end is not None or record.workload in held or record.workload in listed
            alive = {record.workload for record in node.workloads if record.end is None}
            for work in held.values():
                for part in living_parts(work):
                    if part.node == node.name and work.id not in listed:
                        assert work.id in alive, f"{work.id} is said to run"
                        assert {claim.device for claim in node.claims if claim.workload == work.id} == {
                            grant.device for grant in part.grants
                        }

    def teardown(self):
        if not hasattr(self, "ctx"):
            return
        try:
            for _ in range(2):
                with self.ctx.journal.write("test") as writer:
                    look_again(self.ctx, writer)
                rebalance(self.ctx)
            assert self.ctx.journal.open_runs() == self.ctx.journal.abandoned_runs() == ()
            assert doubtful(self.ctx) == frozenset()
            self.what_is_live_is_desired_or_listed()
            assert self.ctx.journal.verify_audit() is None
            starts = [entry.detail["attempt"] for entry in self.ctx.journal.audit() if entry.kind == "start"]
            assert len(starts) >= len(self.ctx.journal.workloads([WorkloadState.RUNNING]))
        finally:
            self.world.__exit__(None, None, None)
            self.folder.cleanup()


TestApplying = Applying.TestCase
TestApplying.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


class FullJournal:
    """The real journal, on a disk that is full from the nth commit on."""

    def __init__(self, journal, number):
        self._journal, self._left = journal, number

    def __getattr__(self, name):
        return getattr(self._journal, name)

    def write(self, purpose, wait_s=0.0):
        return _Full(self._journal.write(purpose, wait_s), self)

    def commit(self):
        self._left -= 1
        if self._left < 0:
            raise StateError("the disk is full")


class _Full:
    def __init__(self, opened, journal):
        self._opened, self._journal = opened, journal

    def __enter__(self):
        self._writer = self._opened.__enter__()
        return self

    def __exit__(self, *error):
        return self._opened.__exit__(*error)

    def __getattr__(self, name):
        def write(*args, **named):
            self._journal.commit()
            return getattr(self._writer, name)(*args, **named)

        return write


class CountingFleet:
    """The real fleet; remembers what it was told to do."""

    def __init__(self, fleet):
        self._fleet, self.did = fleet, []

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        self.did.append(call.seq)
        return self._fleet.do(call)


@pytest.mark.parametrize("room", range(12))
def test_on_a_full_disk_nothing_is_begun_that_is_not_journaled_and_with_room_it_ends_well(tmp_path, room):
    with open_context(Options(sim="demo", state_dir=tmp_path)) as ctx:
        identity = submit(ctx, "work", Request(("sleep", "900"), gpus=1, memory_mib=1024)).workload.id
        fleet = CountingFleet(ctx.fleet)
        try:
            rebalance(replace(ctx, fleet=fleet, journal=FullJournal(ctx.journal, room)))
            ended = True
        except StateError:
            ended = False
        runs = [entry.detail["run"] for entry in ctx.journal.audit() if entry.kind == "apply"]
        journaled = [record.step.seq for run in runs for record in ctx.journal.steps(run)]
        assert ended or fleet.did == journaled
        rebalance(ctx)
        work = ctx.journal.find(identity)
        assert (work.state, work.attempt, ctx.journal.open_runs()) == (WorkloadState.RUNNING, 1, ())
        claims = [claim.workload for node in look(ctx).nodes for claim in node.claims]
        assert claims == [identity]
