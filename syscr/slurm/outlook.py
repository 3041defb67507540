"""What Slurm has in mind for a running job, with one small query: agents ask it again and again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from syscr.errors import JobNotFoundError, SchedulerReplyError, SchedulerUnavailableError
from syscr.model import JobId, JobState, Outlook, SiteTimes
from syscr.ports import CommandTimeout, Completed, Runner
from syscr.slurm import commands
from syscr.slurm.failure import build_failure

# Source: squeue manual, "--Format"; asked of 20.11 to 26.05, 2026-11. None of them is user text.
_FIELDS = "preempttime:.24,restartcnt:.12,endtime:.24,state:.24,reason:.60"


@dataclass(frozen=True, slots=True)
class SlurmOutlook:
    """Asks squeue, scontrol and sinfo.

    Attributes:
        runner: Runs them.
        timeout_seconds: Limit of each command.
    """

    runner: Runner
    timeout_seconds: float

    def look(self, job_id: JobId, *, within_seconds: float | None = None) -> Outlook:
        """Return what Slurm has in mind for a job.

        Args:
            job_id: The job.
            within_seconds: A shorter limit than that of the other commands; None: the same.

        Raises:
            JobNotFoundError, SchedulerUnavailableError and other SchedulerErrors.
        """
        argv = ("squeue", "-h", "-a", "-j", str(job_id), "-O", _FIELDS)
        return parse_outlook(self._run(argv, f"look up job {job_id}", within_seconds), job_id)

    def site_times(self, partition: str) -> SiteTimes:
        """Return the site's times for jobs of a partition; the defaults where Slurm does not say."""
        config = self._run(("scontrol", "show", "config"), "look up Slurm's configuration")
        shown = self._run(("scontrol", "show", "partition", partition), "look up the partition")
        return parse_site_times(config.stdout, shown.stdout)

    def is_draining(self, node: str) -> bool:
        """Whether a node is to take no more jobs."""
        completed = self._run(("sinfo", "-h", "-N", "-n", node, "-o", "%T"), f"look up '{node}'")
        return any(word.startswith("drain") for word in completed.stdout.split())

    def find_stops(self, partition: str) -> tuple[float, int]:
        """Return how long the user's jobs of a partition ran in 30 days, and how often that was broken off.

        His own only: all users' would be a heavy query, and sites hide them.

        Returns:
            Running time in seconds; node failures and preemptions.

        Raises:
            SchedulerError: There is no accounting, or it does not answer.
        """
        argv = ("sacct", "-X", "-n", "-P", "-D", "-S", "now-30days", "-r", partition)
        completed = self._run((*argv, "-o", "State,ElapsedRaw"), "look up past jobs")
        return parse_stops(completed.stdout)

    def _run(
        self, argv: tuple[str, ...], what: str, within_seconds: float | None = None
    ) -> Completed:
        limit = min(self.timeout_seconds, within_seconds or self.timeout_seconds)
        try:
            completed = self.runner.run(argv, timeout_seconds=limit, env=commands.TIME_ENVIRONMENT)
        except CommandTimeout as timeout:
            raise SchedulerUnavailableError(f"cannot {what}: {timeout}") from timeout
        if not completed.is_ok:
            raise build_failure(what, completed)
        return completed


def parse_outlook(completed: Completed, job_id: JobId) -> Outlook:
    """Read the answer of squeue: times in seconds since 1970, or a word where there is none."""
    words = completed.stdout.split()
    if not words:
        raise JobNotFoundError(f"Slurm does not know job {job_id} any more")
    try:
        preempted, restarts, end, state = words[:4]
        return Outlook(
            state=JobState.parse(state),
            raw_state=state,
            reason=" ".join(words[4:]) or "None",
            end_at=_time(end),
            preempted_at=_time(preempted),
            restart_count=int(restarts),
        )
    except ValueError as error:
        raise SchedulerReplyError(
            f"cannot look up job {job_id}: squeue answered {completed.stdout[:200]!r}"
        ) from error


def parse_stops(text: str) -> tuple[float, int]:
    r"""Read lines of State and ElapsedRaw; what cannot be read is left out.

    Example:
        >>> parse_stops("COMPLETED|100\nNODE_FAIL|20\nPREEMPTED|30\nCANCELLED by 7|5\nx")
        (155.0, 2)
    """
    rows = [line.split("|") for line in text.splitlines()]
    rows = [row for row in rows if len(row) > 1 and row[1].isdecimal()]
    stops = sum(row[0].startswith(("NODE_FAIL", "PREEMPTED")) for row in rows)
    return float(sum(int(row[1]) for row in rows)), stops


def parse_site_times(config: str, partition: str) -> SiteTimes:
    """Read ``scontrol show config`` and ``scontrol show partition``.

    Example:
        >>> parse_site_times("KillWait                = 5 sec", " GraceTime=20 Hidden=NO")
        SiteTimes(kill_wait_seconds=5.0, grace_seconds=20.0)
    """
    wait = re.search(r"^KillWait\s*=\s*(\d+)", config, re.MULTILINE)
    grace = re.search(r"\bGraceTime=(\d+)", partition)
    return SiteTimes(
        float(wait.group(1)) if wait else SiteTimes().kill_wait_seconds,
        float(grace.group(1)) if grace else 0.0,
    )


def _time(word: str) -> datetime | None:
    return datetime.fromtimestamp(int(word), UTC) if word.isdigit() and word != "0" else None
