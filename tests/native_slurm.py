"""A stand-in for Slurm 18.08.9 and 19.05.8 with a checkpoint plugin; compared with both, built and run (2026-11).

A small state machine in a JSON file: each command first lets happen what is due by now (dumps end, jobs
start and fail, ended jobs are forgotten), then answers with the recorded texts. ``main`` makes executables
of it (``install``); ``NativeRunner`` answers in the test's own process, on the test's clock.
"""

from __future__ import annotations

import copy
import fcntl
import json
import os
import pwd
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

TOOLS = ("scontrol", "squeue", "sinfo", "scancel", "sbatch", "srun")
_ERRORS = {
    1001: "Communication connection failure",
    2021: "Job/step already completing or completed",
    4027: "Job step not running",
}
_NOT_SUPPORTED = "Requested operation not supported on this system"
_START_SECONDS = 0.2
_DEFAULTS: dict[str, Any] = {
    "version": "18.08.9",
    "plugin": "checkpoint/blcr",
    "min_job_age": 2,
    "purge_seconds": 0.6,
    "refusals": 0,  # an ended job is forgotten when a restart was refused this often, too
    "dump_seconds": 0.3,
    "fail": [],  # error codes of the next dumps; 0: says that it is well and writes nothing
    "mistaken": [],  # of the next dumps, each good: whether it is said to have failed; the plugin's race
    "ending_seconds": 0.1,  # a cancelled job is COMPLETING so long
    "end_state": "FAILED",  # of jobs whose image cannot be read
    "missing_ranks": 0,  # so many of a step's last files are not written
    "busy_nodes": False,
    "blind": False,  # the nodes do not see the directories that are named
    "down": False,
    "records": [],  # jobs with a record in JobCheckpointDir
    "next_id": 100,
    "jobs": {},
    "log": [],
}


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    status: int = 0
    out: str = ""
    err: str = ""


def refuse(text: str) -> Answer:
    return Answer(1, "", f"scontrol_checkpoint error: {text}\n")


class NativeSlurm:
    """One cluster; ``state`` is what is in the file."""

    def __init__(self, state: dict[str, Any], now: float) -> None:
        self.state = {**copy.deepcopy(_DEFAULTS), **state}
        self.now = now

    def add_job(self, number: int, **changes: Any) -> None:
        """Let a batch job run; changes: ``batch``, ``steps`` {id: tasks}, ``uid``, ``array``, ``state``."""
        job = {
            "uid": os.getuid(), "state": "RUNNING", "batch": True, "steps": {}, "array": None,
            "nodes": ["n1"], "reason": "None", "end_at": None, "disabled": 0, "dumps": {}, "work_dir": "/tmp",
        }  # fmt: skip
        self.state["jobs"][str(number)] = job | changes

    def answer(self, argv: Sequence[str]) -> Answer:
        self._settle()
        names = [os.path.basename(word) for word in argv]
        place = next(
            place for place, name in enumerate(names) if name in TOOLS
        )  # behind ``env``, too
        tool, rest = names[place], list(argv[place + 1 :])
        self.state["log"].append([tool, *rest])
        if tool == "sinfo":
            return Answer(out=f"slurm {self.state['version']}\n")
        if self.state["down"]:
            return self._unreachable(tool, rest)
        answers: dict[str, Callable[[list[str]], Answer]] = {
            "scontrol": self._scontrol,
            "squeue": self._squeue,
            "scancel": self._scancel,
            "sbatch": self._sbatch,
            "srun": self._srun,
        }
        return answers[tool](rest)

    def _unreachable(self, tool: str, rest: list[str]) -> Answer:
        text = "Unable to contact slurm controller (connect failure)"
        if tool == "squeue":
            return Answer(1, "", f"slurm_load_jobs error: {text}\n")
        what = "scontrol_checkpoint" if "checkpoint" in rest else "slurm_load_ctl_conf"
        return Answer(1, "", f"{what} error: {text}\n")

    # -- what happens by itself ---------------------------------------------------------------------
    def _settle(self) -> None:
        for number, job in list(self.state["jobs"].items()):
            for name, dump in job["dumps"].items():
                self._settle_dump(name, dump)
            if (
                job["state"] == "PENDING"
                and not self.state["busy_nodes"]
                and self._due(job, "start_at")
            ):
                job.update(state="RUNNING", reason="None")
            if job["state"] == "RUNNING" and self._due(job, "fails_at"):
                job.update(state=self.state["end_state"], end_at=job["fails_at"])
            if job["state"] == "COMPLETING" and self._due(job, "gone_at"):
                job["state"] = "CANCELLED"
            if job["end_at"] and self.now >= job["end_at"] + self.state["purge_seconds"]:
                del self.state["jobs"][number]

    def _due(self, job: Mapping[str, Any], key: str) -> bool:
        return bool(job.get(key)) and self.now >= job[key]

    def _settle_dump(self, name: str, dump: dict[str, Any]) -> None:
        folder = Path(dump["dir"], name)
        if dump["writes"] and not dump["made"] and self.now >= dump["starts"]:
            dump["made"] = True
            with suppress(OSError):  # the dump program begins with mkdir -p
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if dump["began"] and self.now >= min(dump["due"], dump["limit"]):
            too_late = dump["due"] > dump["limit"]
            dump.update(began=0, error=1001 if too_late else dump["code"])
        if dump["writes"] and self.now >= dump["due"]:
            dump["writes"] = False
            if not self._write(name, folder):
                dump["error"] = 4027

    def _write(self, name: str, folder: Path) -> bool:
        """Write files; into a directory that has gone since the dump's start nothing is written."""
        job = self.state["jobs"][name.partition(".")[0]]
        files = ["script.ckpt"]
        if "." in name:
            tasks = job["steps"][name.partition(".")[2]] - self.state["missing_ranks"]
            files = [f"task.{rank}.ckpt" for rank in range(tasks)]
        try:
            for file in files:
                (folder / file).write_bytes(f"image of {name} at {self.now}\n".encode())
        except OSError:
            return False
        return True

    def _find_start(self, name: str) -> float:
        """Return when an order is carried out: one job at a time in the cluster, and one dump of it on the node."""
        number = name.partition(".")[0]
        start = self.now
        for key, job in self.state["jobs"].items():
            for other, dump in job["dumps"].items():
                agent_ends = min(dump["due"], dump["limit"])
                start = max(start, agent_ends if key != number else 0.0)
                start = max(start, dump["due"] if other == name else 0.0)
        return start

    # -- scontrol -------------------------------------------------------------------------------------
    def _scontrol(self, words: list[str]) -> Answer:
        if words[:2] == ["show", "config"]:
            return self._show_config()
        if words[:2] == ["show", "step"]:
            number, _, step = words[2].partition(".")
            tasks = self.state["jobs"].get(number, {"steps": {}})["steps"].get(step)
            if tasks is None:
                return Answer(1, f"Job step {words[2]} not found\n")
            return Answer(
                out=f"StepId={words[2]} UserId=1000\n   Nodes=1 CPUs={tasks} Tasks={tasks} Name=x Tasks=9\n"
            )
        if words[:2] == ["write", "batch_script"]:
            job = self.state["jobs"].get(words[2])
            if job is None:
                return Answer(1, "", "job script retrieval failed: Invalid job id specified\n")
            if not job["batch"]:
                return Answer(1, "", "job script retrieval failed: Job script not specified\n")
            return Answer(out="#!/bin/sh\n./count\n")
        if words[:1] == ["-Q"]:
            return self._scontrol(words[1:])._replace(err="")
        if words[:1] == ["checkpoint"] and self.state["plugin"]:
            return self._checkpoint(words)
        return Answer(1, "", f"invalid keyword: {words[0]}\n")

    def _show_config(self) -> Answer:
        lines = [
            "Configuration data as of 2026-11-22T06:24:00",
            f"MinJobAge               = {self.state['min_job_age']} sec",
            f"SLURM_VERSION           = {self.state['version']}",
        ]
        if self.state["plugin"]:
            lines.append(f"CheckpointType          = {self.state['plugin']}")
            lines.append("JobCheckpointDir        = /var/slurm/checkpoint")
        return Answer(out="\n".join([*lines, ""]))

    def _checkpoint(self, words: list[str]) -> Answer:
        operation, name, keys = words[1], words[2], words[3:]
        number, dot, step = name.partition(".")
        if not number.isdigit() or (dot and not step.isdigit()):
            return Answer(0, "", "Invalid job step name\n")
        if operation not in {"able", "create", "disable", "enable", "error", "restart", "vacate"}:
            return Answer(0, "", f"Invalid checkpoint operation: {operation}\n")
        if operation == "restart":
            return self._restart(number, bool(dot), keys)
        gate = self._judge(number, step)
        if gate is not None:
            return gate
        job = self.state["jobs"][number]
        if operation in {"disable", "enable"}:
            job["disabled"] += 1 if operation == "disable" else -1
            return Answer()
        targets = [name] if dot or job["batch"] else [f"{number}.{one}" for one in job["steps"]]
        if operation in {"create", "vacate"}:
            return max((self._create(job, one, keys) for one in targets), default=Answer())
        dumps = [job["dumps"][one] for one in targets if one in job["dumps"]]
        if operation == "error":
            code = max((dump["error"] for dump in dumps), default=0)
            return Answer(out=f"error({code}): {_ERRORS.get(code, '')}\n")
        if job["disabled"]:
            return Answer(out="No\n")
        began = max((dump["began"] for dump in dumps), default=0)
        return Answer(out="Began at 2026-11-22T06:36:56\n" if began else "Yes\n")

    def _judge(self, number: str, step: str) -> Answer | None:
        """Return why nothing may be asked of a job; the order of the checks is the controller's."""
        job = self.state["jobs"].get(number)
        if job is None or (step and step not in job["steps"]):
            return refuse("Invalid job id specified")
        if job["uid"] != os.getuid():
            return refuse("Access/permission denied")
        if job["state"] == "PENDING":
            return refuse("Job is pending execution")
        if job["state"] != "RUNNING":
            return refuse("Job/step already completing or completed")
        return refuse(_NOT_SUPPORTED) if self.state["plugin"] == "checkpoint/none" else None

    def _create(self, job: dict[str, Any], name: str, keys: list[str]) -> Answer:
        options = dict(key.split("=", 1) for key in keys)
        number = name.partition(".")[0]
        if "." not in name and number not in self.state["records"]:
            self.state["records"].append(number)  # also when it is refused
        if job["disabled"]:
            return refuse("Requested operation is presently disabled")
        last = job["dumps"].get(name)
        if last and last["began"]:
            return refuse("Operation already in progress")
        if last and int(last["asked"]) == int(self.now):
            last["error"] = 2021
            return Answer()
        code = self.state["fail"].pop(0) if self.state["fail"] else None
        writes = code is None
        if writes and self.state["mistaken"] and self.state["mistaken"].pop(0):
            code = 4027
        start = self._find_start(name)
        job["dumps"][name] = {
            "asked": self.now, "began": self.now, "starts": start, "made": False,
            "due": start + self.state["dump_seconds"], "limit": start + int(options["MaxWait"]),
            "dir": options["ImageDir"], "code": code or 0, "error": 0, "writes": writes,
        }  # fmt: skip
        return Answer()

    def _restart(self, number: str, has_step: bool, keys: list[str]) -> Answer:
        if has_step:
            return refuse(_NOT_SUPPORTED)
        job = self.state["jobs"].get(number)
        if job is not None and job["end_at"]:
            self.state["refusals"] -= 1
            if self.state["refusals"] == 0:
                del self.state["jobs"][number]
            return refuse("Duplicate job id")
        if job is not None:
            return refuse("Job is not finished")
        if number not in self.state["records"]:
            return refuse("No such file or directory")
        options = dict(key.split("=", 1) for key in keys if "=" in key)
        image = Path(options["ImageDir"], number, "script.ckpt")
        start = self.now + _START_SECONDS
        self.add_job(int(number), state="PENDING", start_at=start)
        if "StickToNodes" in keys:
            self.state["jobs"][number]["reason"] = "Resources"
        if self.state["blind"] or not image.is_file():
            self.state["jobs"][number]["fails_at"] = start + 0.5
        return Answer()

    # -- the other commands -----------------------------------------------------------------------------
    def _squeue(self, words: list[str]) -> Answer:
        if "--me" in words:
            return Answer(
                1,
                "",
                "squeue: unrecognized option '--me'\nTry \"squeue --help\" for more information\n",
            )
        if "-u" in words:
            jobs = self.state["jobs"].items()
            return Answer(
                out="".join(self._job_line(int(key), job) for key, job in jobs if not job["end_at"])
            )
        number = words[words.index("-j") + 1]
        matches = [
            (int(key), job)
            for key, job in self.state["jobs"].items()
            if number in {key, job["array"] or ""}
        ]
        if not matches:
            return Answer(1, "", "slurm_load_jobs error: Invalid job id specified\n")
        if "-s" in words:
            steps = [f"{key}.{step}" for key, job in matches for step in job["steps"]]
            return Answer(out="".join(f"{step}\n" for step in steps))
        if "-O" in words:
            field = words[words.index("-O") + 1]
            if field.startswith("numnodes"):
                return Answer(
                    out=f"{len(matches[0][1]['nodes']):>12}{1:>12}{1:>12}{0:>12}{1:>12}\n"
                )
            return Answer(out=f"{matches[0][1]['work_dir']}/slurm-{matches[0][0]}.out\n")
        form = words[words.index("-o") + 1]
        if "|" in form:
            return Answer(out="".join(self._job_line(key, job) for key, job in matches))
        texts = {
            "%j": "count",
            "%a": "",
            "%q": "normal",
            "%Z": matches[0][1]["work_dir"],
            "%f": "(null)",
        }
        return Answer(out=f"{texts[form]}\n")

    def _job_line(self, number: int, job: Mapping[str, Any]) -> str:
        array = (job["array"] or str(number)).partition("_")
        nodes = ",".join(job["nodes"]) if job["state"] != "PENDING" else ""
        end = str(int(job["end_at"])) if job["end_at"] else "N/A"
        host = job["nodes"][0] if nodes else ""
        fields = (
            job["array"] or number, number, array[0], array[2] or "N/A", job["uid"], pwd.getpwuid(os.getuid()).pw_name, job["state"],
            nodes, host, "main", "1:00:00", end, job["reason"],
        )  # fmt: skip
        return "|".join(map(str, fields)) + "\n"

    def _scancel(self, words: list[str]) -> Answer:
        number, dot, step = words[0].partition(".")
        job = self.state["jobs"].get(number)
        if job is None:
            return Answer(
                1,
                "",
                f"scancel: error: Kill job error on job id {number}: Invalid job id specified\n",
            )
        if dot:
            job["steps"].pop(step, None)
        elif not job["end_at"]:
            gone_at = self.now + self.state["ending_seconds"]
            job.update(state="COMPLETING", end_at=self.now, gone_at=gone_at, steps={})
        return Answer()

    def _reject(self, tool: str, words: list[str]) -> Answer | None:
        """19.05 has lost the options that name directories."""
        lost = [word for word in words if word.startswith(("--checkpoint-dir", "--restart-dir"))]
        if not lost or self.state["version"].startswith("18"):
            return None
        text = (
            f"{tool}: unrecognized option '{lost[0]}'\nTry \"{tool} --help\" for more information\n"
        )
        return Answer(255, "", text)

    def _srun(self, words: list[str]) -> Answer:
        return self._reject("srun", words) or Answer(out="n1\n")

    def _sbatch(self, words: list[str]) -> Answer:
        rejected = self._reject("sbatch", words)
        if rejected is not None:
            return rejected
        script = self.state.pop("stdin", "")
        number = self.state["next_id"]
        self.state["next_id"] += 1
        folder = next(
            (
                word.partition("=")[2]
                for word in shlex.split(script)
                if word.startswith("--restart-dir=")
            ),
            "",
        )
        start = self.now + _START_SECONDS
        self.add_job(number, state="PENDING", start_at=start)
        if folder and not Path(folder, "task.0.ckpt").is_file():
            self.state["jobs"][str(number)]["fails_at"] = start + 0.5
        return Answer(
            out=f"{number}\n" if "--parsable" in words else f"Submitted batch job {number}\n"
        )


@contextmanager
def opened(path: Path, now: float) -> Iterator[NativeSlurm]:
    """Let a test, or one command, at the state; nobody else meanwhile."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        slurm = NativeSlurm(json.loads(file.read() or "{}"), now)
        yield slurm
        file.seek(0)
        file.truncate()
        json.dump(slurm.state, file)


def install(folder: Path, state: Path) -> None:
    """Write executables with Slurm's names into a folder."""
    folder.mkdir(exist_ok=True)
    for tool in TOOLS:
        path = folder / tool
        path.write_text(
            f"#!/bin/sh\nNATIVE_SLURM={shlex.quote(str(state))} "
            f'exec {shlex.quote(sys.executable)} -S {shlex.quote(__file__)} {tool} "$@"\n'
        )
        path.chmod(0o755)


def main(argv: list[str]) -> int:
    with opened(Path(os.environ["NATIVE_SLURM"]), time.time()) as slurm:
        if argv[0] == "sbatch":
            slurm.state["stdin"] = sys.stdin.read()
        answer = slurm.answer(argv)
    sys.stdout.write(answer.out)
    sys.stderr.write(answer.err)
    return answer.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
