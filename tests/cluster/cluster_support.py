"""The test cluster for tests: run commands, wait for conditions, look at jobs and files.

``Cluster`` drives ``slurm-test-cluster/cluster``; ``Work`` is one test's private directory on it, with the
jobs it starts there. Nothing here sleeps in place of a condition: ``wait_for`` asks until it holds.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from times_support import Spent

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = REPOSITORY / "slurm-test-cluster" / "cluster"
DEPLOY = REPOSITORY / "slurm-test-cluster" / "deploy"
PROGRAMS = Path(__file__).resolve().parent / "programs"
NODES = ("c1", "c2", "c3")
FINAL = frozenset(
    {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "DEADLINE"}
)
_LAST_JOBS = [
    "sh", "-c", "sacct -a -D -X -S now-10minutes -o JobID%12,State%20,ExitCode,Start,End,NodeList | tail -n 8"
]  # fmt: skip
_VERSIONS = (
    "date -u +date=%F; sinfo -V | sed -n 's/^[a-z-]* */slurm=/p'; "
    "/shared/opt/syscr/bin/python3 -V | sed 's/^[^ ]* /python=/'; "
    "criu --version | sed -n 's/^Version: */criu=/p'; "
    "/opt/dmtcp/bin/dmtcp_launch --version | sed -n '1s/.* /dmtcp=/p'"
)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Result:
    """One finished command on the cluster."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    def __str__(self) -> str:
        """Return what a failing assertion should show."""
        return (
            f"$ {shlex.join(self.argv)}\nexit code {self.exit_code} after {self.seconds:.1f} s\n"
            f"{self.stdout}{self.stderr}"
        )

    @property
    def data(self) -> Any:
        """Return ``data`` of the JSON document on standard output."""
        try:
            return json.loads(self.stdout)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise AssertionError(f"no JSON document of ours: {error}\n{self}") from error

    @property
    def error(self) -> dict[str, Any]:
        """Return the error object, the last line of standard error."""
        lines = self.stderr.strip().splitlines()
        try:
            found = json.loads(lines[-1])
            return dict(found.get("error", found))
        except (ValueError, IndexError, TypeError) as error:
            raise AssertionError(f"no error object of ours: {error}\n{self}") from error


@dataclass(frozen=True)
class Backend:
    """A backend that tests are run with.

    Attributes:
        name: As in ``--backend``.
        label: As in the names of tests and in the closing line.
        env: Variables that choose this variant of it.
    """

    name: str
    label: str
    env: Mapping[str, str] = field(default_factory=dict)


BACKENDS = (
    Backend("criu", "criu"),
    Backend("dmtcp", "dmtcp"),
    Backend("dmtcp", "dmtcp-main", {"SYSCR_DMTCP__PREFIX": "/opt/dmtcp-main"}),
)


@dataclass(frozen=True)
class JobFacts:
    """A job as Slurm has it now: state, nodes, exit code and signal (``7:0``)."""

    state: str
    nodes: tuple[str, ...]
    exit_code: str
    reason: str
    restarts: int

    @property
    def is_final(self) -> bool:
        """Whether it is over."""
        return self.state in FINAL


class Cluster:
    """A cluster of containers that belongs to this test session."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self._environ = {**environ, "SYSCR_CLUSTER": name}
        self._containers: dict[str, str] = {}
        self.on_image: Callable[[str, str, str], None] = lambda backend, version, label: None
        self.on_spent: Callable[[Spent], None] = lambda spent: None

    def drive(self, *argv: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Call the driver, or ``deploy``; raises AssertionError with its words where it fails."""
        command = [str(DEPLOY), *argv[1:]] if argv[0] == "deploy" else [str(DRIVER), *argv]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                timeout=timeout,
                env=self._environ,
            )
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"'{shlex.join(command)}' took longer than {timeout:.0f} s"
            ) from error
        if done.returncode:
            raise AssertionError(
                f"'{shlex.join(command)}' ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def find_container(self, node: str) -> str:
        """Return the id of a node's container."""
        if node not in self._containers:
            label = "label=com.docker.compose"
            argv = [
                "docker",
                "ps",
                "-q",
                "-f",
                f"{label}.project={self.name}",
                "-f",
                f"{label}.service={node}",
            ]
            found = subprocess.run(
                argv, capture_output=True, text=True, timeout=30, env=self._environ
            )
            assert found.stdout.strip(), f"no container of {node}: {found.stderr}"
            self._containers[node] = found.stdout.strip()
        return self._containers[node]

    def forget_containers(self) -> None:
        """Look the containers up again at the next call."""
        self._containers.clear()

    def run(
        self,
        user: str,
        node: str,
        argv: Sequence[str],
        *,
        stdin: str | bytes = "",
        timeout: float = 60,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> Result:
        """Run a command as ``cluster run`` does, half as slow.

        Args:
            user: ``alice``, ``bob`` or ``root``.
            node: ``login``, ``c1`` to ``c3``, or a daemon's container.
            argv: Command; found in PATH.
            stdin: What it reads; nothing unless given.
            timeout: Seconds until it is ended; its exit code is 124 then.
            cwd: Directory; the user's home unless given.
            env: Variables added.
            check: Fail the test unless the exit code is 0.
        """
        home = "/root" if user == "root" else f"/home/{user}"
        variables = {
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            **(env or {}),
        }
        where = cwd if cwd is not None else home if node in {"login", *NODES} else "/"
        command = ["docker", "exec", "-i", "-u", user]
        for name, value in variables.items():
            command += ["-e", f"{name}={value}"]
        # cd by a shell: docker's -w would make a directory that is missing
        command += [self.find_container(node), "timeout", "-k", "5", str(timeout), "sh", "-c"]
        command += ['cd -- "$0" && exec "$@"', where, *argv]
        started = time.monotonic()
        done = subprocess.run(
            command,
            input=stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=timeout + 20,
            env=self._environ,
        )
        result = Result(
            tuple(argv),
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
            time.monotonic() - started,
        )
        assert not check or result.exit_code == 0, str(result)
        return result

    def wait_for(self, condition: Callable[[], Found], message: str, timeout: float = 60) -> Found:
        """Ask until the condition is true; returns what it returned."""
        started = time.monotonic()
        while not (found := condition()):
            if time.monotonic() - started > timeout:
                raise AssertionError(
                    f"waited {timeout:.0f} s in vain until {message}\n{self.describe()}"
                )
            time.sleep(0.15)
        return found

    def read_versions(self) -> dict[str, str]:
        """Return what runs here: date, Slurm, Python of syscr, and the tools that there are."""
        lines = self.run("root", "c1", ["sh", "-c", _VERSIONS]).stdout.splitlines()
        return {name: text for name, _, text in (line.partition("=") for line in lines)}

    def describe(self) -> str:
        """Return what Slurm has now, for messages."""
        parts = (["squeue", "-a"], ["sinfo", "-N", "-o", "%N %T %E"], _LAST_JOBS)
        return "".join(self.run("root", "login", argv).stdout for argv in parts)

    def job(self, job_id: str) -> JobFacts:
        """Return what Slurm says of a job; state ``UNKNOWN`` where it knows none."""
        # our jobs have harmless names, so the forgeable one-line form will do
        answer = self.run("root", "login", ["scontrol", "-o", "show", "job", job_id])
        words = dict(word.partition("=")[::2] for word in answer.stdout.split(" ") if "=" in word)
        if answer.exit_code:
            return JobFacts("UNKNOWN", (), "", answer.stderr.strip(), 0)
        nodes = words.get("NodeList", "")
        expanded: tuple[str, ...] = (
            (nodes,) if nodes and "[" not in nodes and "," not in nodes else ()
        )
        if nodes and not expanded and nodes != "(null)":
            names = self.run("root", "login", ["scontrol", "show", "hostnames", nodes], check=True)
            expanded = tuple(names.stdout.split())
        return JobFacts(
            words.get("JobState", "UNKNOWN"),
            () if nodes == "(null)" else expanded,
            words.get("ExitCode", ""),
            words.get("Reason", ""),
            int(words.get("Restarts", "0")),
        )

    def wait_for_end(self, job_id: str, timeout: float = 60) -> JobFacts:
        """Wait until a job is over; returns what Slurm says of it then."""

        def ended() -> JobFacts | None:
            facts = self.job(job_id)
            return facts if facts.is_final else None

        found = self.wait_for(ended, f"job {job_id} has ended", timeout)
        assert found is not None
        return found

    @contextmanager
    def drained(self, *nodes: str) -> Iterator[None]:
        """Take nodes out of service, so that nothing new starts there; give them back afterwards."""
        names = ",".join(nodes)
        update = ["scontrol", "update", f"NodeName={names}"]
        self.run("root", "login", [*update, "State=DRAIN", "Reason=test"], check=True)
        try:
            yield
        finally:
            self.run("root", "login", [*update, "State=RESUME"], check=True)

    def save_logs(self, folder: Path) -> None:
        """Write what each daemon said, and what Slurm knows, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for service in ("slurmctld", "slurmdbd", "mariadb", "login", *NODES):
            try:
                text = self.drive("logs", service, timeout=60).stdout
            except AssertionError as error:
                text = str(error)
            (folder / f"{service}.log").write_text(text, errors="surrogateescape")
        for name, argv in {"squeue": ["squeue", "-a"], "sinfo": ["sinfo", "-N", "-l"]}.items():
            try:
                (folder / f"{name}.log").write_text(str(self.run("root", "login", argv)))
            except (AssertionError, subprocess.TimeoutExpired) as error:
                (folder / f"{name}.log").write_text(str(error))


@dataclass
class Work:
    """A private directory of one test on the cluster, and the jobs that it starts there.

    Attributes:
        cluster: The cluster.
        path: The directory, on storage that all nodes share.
        backend: Backend of all that is started here; None: syscr's own choice.
        user: Whose it is.
        settings: More variables for all commands.
        node: Where its commands run.
        checkpoint_dir: Where images go; empty: into the directory.
        title: Name of the test.
    """

    cluster: Cluster
    path: str
    backend: Backend | None = None
    user: str = "alice"
    settings: dict[str, str] = field(default_factory=dict)
    node: str = "login"
    checkpoint_dir: str = ""
    title: str = ""

    @property
    def images(self) -> str:
        """Return the checkpoint directory."""
        return self.checkpoint_dir or f"{self.path}/images"

    @property
    def env(self) -> dict[str, str]:
        """Return the variables that all commands get."""
        backend = self.backend.env if self.backend else {}
        return {"SYSCR_CHECKPOINT_DIR": self.images, **backend, **self.settings}

    def run(
        self,
        *argv: str,
        node: str = "",
        stdin: str | bytes = "",
        timeout: float = 60,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command in the directory."""
        variables = {**self.env, **(env or {})}
        return self.cluster.run(
            self.user,
            node or self.node,
            argv,
            stdin=stdin,
            timeout=timeout,
            cwd=self.path,
            env=variables,
            check=check,
        )

    def syscr(self, *argv: str, timeout: float = 120, check: bool = True) -> Result:
        """Run syscr in its JSON form."""
        return self.run("syscr", "--json", *argv, timeout=timeout, check=check)

    def write(self, name: str, text: str | bytes, *, mode: str = "644") -> str:
        """Write a file; returns its path."""
        path = str(PurePosixPath(self.path, name))
        self.run("sh", "-c", 'cat >"$0" && chmod "$1" "$0"', path, mode, stdin=text)
        return path

    def add_program(self, name: str) -> str:
        """Put a program of ``tests/cluster/programs`` here; returns its path."""
        return self.write(name, (PROGRAMS / name).read_bytes(), mode="755")

    def read(self, name: str, *, node: str = "") -> str:
        """Return what a file holds; empty if it isn't there."""
        return self.run("cat", "--", name, node=node, check=False).stdout

    def count_lines(self, name: str) -> int:
        """Return the number of complete lines in a file; 0 if it isn't there."""
        return self.read(name).count("\n")

    def wait_for_lines(self, name: str, count: int, timeout: float = 60) -> int:
        """Wait until a file has this many lines."""
        return self.cluster.wait_for(
            lambda: (lines := self.count_lines(name)) >= count and lines,
            f"'{name}' has {count} lines (it has {self.count_lines(name)})",
            timeout,
        )

    def submit(self, *argv: str, stdin: str | bytes = "") -> str:
        """Submit a batch job with ``syscr sbatch``; returns its id."""
        backend = [f"--backend={self.backend.name}"] if self.backend else []
        words = [
            "syscr",
            "sbatch",
            "--parsable",
            f"--checkpoint-dir={self.images}",
            *backend,
            *argv,
        ]
        return self.run(*words, stdin=stdin).stdout.strip()

    def wait_until_running(
        self, job_id: str, *, restarts: int = 0, timeout: float = 60
    ) -> JobFacts:
        """Wait until a job runs, for the first time or after so many restarts; fails if it ends."""

        def running() -> JobFacts | None:
            facts = self.cluster.job(job_id)
            assert not facts.is_final, f"job {job_id} ended: {facts}\n{self.cluster.describe()}"
            return facts if facts.state == "RUNNING" and facts.restarts >= restarts else None

        found = self.cluster.wait_for(running, f"job {job_id} runs", timeout)
        assert found is not None
        return found

    def checkpoint(self, target: str, verb: str = "checkpoint") -> Any:
        """Checkpoint, vacate or requeue one target; returns its result."""
        reply = self.syscr(verb, target).data["results"][0]
        assert reply["ok"], reply
        self._note(reply["result"]["image"])
        return reply["result"]

    def _note(self, image: Any) -> None:
        """Take note that a backend was at work."""
        label = self.backend.label if self.backend else image["backend"]
        self.cluster.on_image(image["backend"], image["tool_version"], label)

    def cancel(self, job_id: str) -> JobFacts:
        """Kill a job with scancel and wait until it is gone."""
        self.run("scancel", job_id)
        return self.cluster.wait_for_end(job_id)

    def restart(self, target: str, *options: str) -> Any:
        """Bring a job back; returns the result, with the job running again."""
        answer = self.syscr("restart", target, *options)
        result = answer.data
        assert result["job_state"] == "running", str(answer)
        self._note(result["image"])
        return result

    def finish(self, job_id: str, timeout: float = 60) -> JobFacts:
        """Let our programs run to their end, and wait until the job is over."""
        self.run("touch", "finish")
        return self.cluster.wait_for_end(job_id, timeout)

    def list_jobs(self) -> list[str]:
        """Return the ids of unfinished jobs that were submitted from here."""
        answer = self.cluster.run(
            "root", "login", ["squeue", "-h", "-a", "-u", self.user, "-o", "%A %Z"]
        )
        rows = [line.split(" ", 1) for line in answer.stdout.splitlines()]
        return [row[0] for row in rows if len(row) == 2 and row[1].startswith(self.path)]

    def clean_up(self) -> None:
        """End what still runs here, and wait until it is gone.

        More than once: Slurm takes no cancellation of a job that it is just putting back into its queue.
        """

        def are_gone() -> bool:
            jobs = self.list_jobs()
            if jobs:
                self.cluster.run("root", "login", ["scancel", *jobs])
            return not jobs

        self.cluster.wait_for(are_gone, f"the jobs in {self.path} are gone")

    def describe(self) -> str:
        """Return the ends of all small files here, for the report of a failed test."""
        script = (
            "ls -la; find . -path ./images -prune -o -type f -size -200k -print0 | sort -z | "
            "xargs -0 -r tail -n 12; find images -name '*.log' -size +0 -print0 | xargs -0 -r tail -n 8"
        )
        return self.run("sh", "-c", script, check=False).stdout[-12000:]
