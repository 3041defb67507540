"""``SrunWorkers``: the nodes of a running job, reached by short steps that Slurm starts and guards.

One process per node and request, or per checkpoint (``steps.py``); it prints messages (``wire.py``) on standard output and its log on
standard error. No port is open, no daemon runs, and who may do it is Slurm's decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from syscr.errors import JobStateError, SyscrError
from syscr.model import Job, JobState, NodeReport
from syscr.ports import CommandTimeout, Completed, TalkingRunner
from syscr.result import NodeHealth
from syscr.slurm import commands
from syscr.slurm.answers import build_missing_error, build_node_error, build_step_error
from syscr.slurm.steps import Answers, KeptStep
from syscr.wire import WorkerRequest, build_health, build_report, encode_request

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 60.0
# Start of the step, and the time that a worker needs to say that its own limit has passed.
_START_SECONDS = 30.0
Progress = Callable[[Mapping[str, object]], None]


class SrunWorkers:
    """Asks all nodes of a job at once.

    Attributes:
        timeout_seconds: Limit for requests that name none (inspect, finish, probe).
    """

    def __init__(
        self,
        runner: TalkingRunner,
        syscr_command: Sequence[str],
        *,
        as_owner: bool = False,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        """Keep how to reach the nodes.

        Args:
            runner: Runs srun.
            syscr_command: Words that start syscr on a node, the first an absolute path.
            as_owner: Become the job's owner for each step; for an administrator's syscr (root).
            timeout_seconds: Limit for requests that name none.
        """
        self._runner = runner
        self._command = tuple(syscr_command)
        self._as_owner = as_owner
        self._nodes: dict[tuple[int, str], tuple[str, ...]] = {}
        self._kept: dict[int, KeptStep] = {}
        self._leaving: dict[int, KeptStep] = {}
        self.timeout_seconds = timeout_seconds

    def inspect(
        self, job: Job, *, step: str | None, keep_seconds: float = 0.0
    ) -> tuple[NodeReport, ...]:
        """Look at the tasks of a job; see ``ports.Workers.inspect``.

        Takes note of the nodes that have tasks of a step: ``dump`` and ``finish`` ask only those.
        """
        request = WorkerRequest(
            "inspect",
            job.number,
            step,
            timeout_seconds=self.timeout_seconds,
            keep_seconds=keep_seconds,
        )
        reports = self._ask(job, request, _name("look into", job, step))
        places = {(task.step, report.node) for report in reports for task in report.tasks}
        for name in {step for step, _ in places}:
            nodes = tuple(node for node in job.nodes if (name, node) in places)
            self._nodes[job.number, name] = nodes
        return reports

    def dump(
        self,
        job: Job,
        *,
        step: str,
        staging_dir: str,
        hold_seconds: float,
        timeout_seconds: float,
        progress: Progress,
        together: bool = False,
    ) -> tuple[NodeReport, ...]:
        """Dump the tasks of a step; see ``ports.Workers.dump``."""
        there = self._on_nodes_of(job, step)
        request = WorkerRequest(
            "dump",
            job.number,
            step,
            staging_dir=staging_dir,
            hold_seconds=hold_seconds,
            timeout_seconds=timeout_seconds,
            node_count=len(there.nodes),
            together=together,
            keep_seconds=hold_seconds + _START_SECONDS,
        )
        try:
            return self._ask(there, request, _name("checkpoint", job, step), progress)
        except SyscrError as error:
            if hold_seconds > 0:
                self._end_hold(job, step, error)
            raise

    def finish(self, job: Job, *, step: str, action: str) -> tuple[NodeReport, ...]:
        """End the hold; see ``ports.Workers.finish``."""
        resumes = action == "resume"
        request = WorkerRequest(
            "finish",
            job.number,
            step,
            timeout_seconds=self.timeout_seconds,
            finish_action=action,
            keep_seconds=_START_SECONDS if resumes else 0.0,
        )
        try:
            return self._ask(self._on_nodes_of(job, step), request, _name(action, job, step))
        finally:
            if not resumes:  # else somebody may want to know whether the tasks run
                self.release(job)

    def release(self, job: Job, *, wait: bool = True) -> None:
        """Send the workers of a kept step away; see ``ports.Workers.release``."""
        kept = self._kept.pop(job.number, None)
        if kept is not None and not wait:
            kept.dismiss()
            self._leaving[job.number] = kept
            return
        for step in (kept, self._leaving.pop(job.number, None)):
            if step is not None:
                step.end()

    def probe_nodes(self, nodes: Sequence[str]) -> tuple[NodeHealth, ...]:
        """Look at nodes outside any job, one after the other, for ``syscr doctor --node``.

        Returns:
            One entry per node, in order; ``error`` says why a node could not be asked.
        """
        return tuple(self._probe(node) for node in nodes)

    def _probe(self, node: str) -> NodeHealth:
        what = f"look at node '{node}'"
        limit = self.timeout_seconds
        request = WorkerRequest("probe", timeout_seconds=limit)
        argv = commands.build_probe_step(node, self._build_command(request), timeout_seconds=limit)
        try:
            completed, answers, timed_out = self._run(argv, limit, None)
            if answers:
                return replace(build_health(next(iter(answers.values()))), node=node)
            step_error = None if timed_out else build_step_error(what, completed)
            raise step_error or build_missing_error(what, [node], completed)
        except SyscrError as error:
            return NodeHealth(node, error=error.message)

    def _ask(
        self, job: Job, request: WorkerRequest, what: str, progress: Progress | None = None
    ) -> tuple[NodeReport, ...]:
        """Send one request to all nodes and put their answers in node order."""
        _check_state(job, what)
        completed, answers, timed_out = self._send(job, request, progress)
        missing = [node for node in job.nodes if node not in answers]
        if missing:
            step_error = None if answers or timed_out else build_step_error(what, completed)
            raise step_error or build_missing_error(
                what,
                missing,
                completed,
                fate="nothing was touched" if request.action == "inspect" else "",
                timed_out=timed_out and request.action == "dump",
            )
        reports = tuple(replace(build_report(answers[node]), node=node) for node in job.nodes)
        if request.keep_seconds > 0 and not all(report.is_waiting for report in reports):
            self.release(job)  # a node's syscr may be one that does not wait
        failed = {report.node: report.error for report in reports if report.error is not None}
        if failed:
            raise build_node_error(what, failed)
        return reports

    def _send(
        self, job: Job, request: WorkerRequest, progress: Progress | None
    ) -> tuple[Completed, Mapping[str, Mapping[str, object]], bool]:
        """Ask the workers of a kept step where there is one, else start some; returns what ``_run`` does."""
        kept = self._kept.get(job.number)
        if kept is not None and not set(job.nodes) <= set(kept.nodes):
            self.release(job)
            kept = None
        was_there = kept is not None
        if kept is not None:
            kept.send(replace(request, nodes=job.nodes), progress)
        elif request.action == "inspect" and request.keep_seconds > 0:
            self._kept[job.number] = kept = self._start(job, request, progress)
        else:
            request = replace(request, keep_seconds=0.0)
            return self._run(self._build_step(job, request), request.timeout_seconds, progress)
        completed, answers, timed_out = kept.collect(
            job.nodes, request.timeout_seconds + _START_SECONDS
        )
        if completed is not None:
            del self._kept[job.number]
            has_left = was_there and not answers and not timed_out
            if has_left and request.action != "dump":
                return self._send(job, request, progress)
        return completed or Completed((), 0), answers, timed_out

    def _start(self, job: Job, request: WorkerRequest, progress: Progress | None) -> KeptStep:
        answers = Answers(progress)
        talk = self._runner.start(self._build_step(job, request), on_line=answers.take)
        return KeptStep(job.nodes, answers, talk)

    def _run(
        self, argv: Sequence[str], limit_seconds: float, progress: Progress | None
    ) -> tuple[Completed, dict[str, Mapping[str, object]], bool]:
        """Run a step; return how it ended, the answer of each node, and whether time was up."""
        answers = Answers(progress)
        try:
            completed = self._runner.run(
                argv, timeout_seconds=limit_seconds + _START_SECONDS, on_line=answers.take
            )
        except CommandTimeout as timeout:
            return timeout.completed, answers.by_node, True
        return completed, answers.by_node, False

    def _build_step(self, job: Job, request: WorkerRequest) -> tuple[str, ...]:
        return commands.build_worker_step(
            job,
            self._build_command(request),
            timeout_seconds=request.timeout_seconds + request.keep_seconds,
            as_owner=self._as_owner,
            keep_input=request.keep_seconds > 0,
        )

    def _build_command(self, request: WorkerRequest) -> tuple[str, ...]:
        return (*self._command, "worker", "--request", encode_request(request))

    def _on_nodes_of(self, job: Job, step: str) -> Job:
        """Narrow a job to the nodes that have tasks of a step, as far as ``inspect`` has seen."""
        nodes = self._nodes.get((job.number, step), ())
        return replace(job, nodes=nodes) if nodes and set(nodes) <= set(job.nodes) else job

    def _end_hold(self, job: Job, step: str, error: SyscrError) -> None:
        """Let the nodes whose dump succeeded go on at once; without it they would do so by themselves."""
        try:
            self.finish(job, step=step, action="resume")
        except SyscrError as second:
            error.add_note(f"tasks that were dumped go on when their hold ends: {second.message}")


def _check_state(job: Job, what: str) -> None:
    """Refuse states in which srun would wait or be refused."""
    if job.state is JobState.RUNNING and job.nodes:
        return
    hints = {
        JobState.SUSPENDED: f"resume it first with 'scontrol resume {job.job_id}'",
        JobState.PENDING: "wait until it runs",
        JobState.COMPLETING: "it is ending; its images are in 'syscr image list'",
    }
    raise JobStateError(
        f"cannot {what}: the job is {job.raw_state}",
        hint=hints.get(job.state),
        job_id=str(job.job_id),
        state=job.raw_state,
        allowed_states=[JobState.RUNNING.value],
    )


def _name(verb: str, job: Job, step: str | None) -> str:
    return f"{verb} job {job.job_id}" if step is None else f"{verb} step {job.job_id}.{step}"
