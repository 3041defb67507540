"""A manifest from what Slurm, the nodes and the store said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from core_support import JOB, task

from syscr import assemble
from syscr.model import (
    HostFacts,
    ImageFile,
    Job,
    JobDetails,
    JobState,
    NodeReport,
    Submission,
    TaskImage,
    Timings,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PLAIN_JOB = Job(JOB, 4711, "alice", 1000, JobState.RUNNING, "RUNNING", partition="main")
PARTS = assemble.Parts(
    "20261124T000000Z-00000001", NOW, PLAIN_JOB, JobDetails(), Submission(), "24.11.5", "blake3"
)


def image(rank: int, node: str) -> TaskImage:
    return TaskImage(rank, node, f"data/{rank}")


def stored(path: str) -> ImageFile:
    return ImageFile(path, 1, "00")


def test_manifest_lists_tasks_by_rank_and_files_by_path() -> None:
    reports = [
        NodeReport("c0"),  # has no task of the step
        NodeReport(
            "c2",
            tasks=(task(2, task_count=3),),
            images=(image(2, "c2"),),
            files=(stored("data/2/b"), stored("data/2/a")),
            notes=("slow disk", "vdso differs"),
        ),
        NodeReport(
            "c1",
            tasks=(task(0, task_count=3), task(1, task_count=3)),
            images=(image(1, "c1"), image(0, "c1")),
            files=(stored("data/10/x"), stored("data/0/x")),
            host=HostFacts("c1"),
            tool_version="4.2.1",
            launcher_digest="abc",
            notes=("slow disk",),
        ),
    ]
    manifest = assemble.build_manifest(PARTS, reports, Timings())
    assert [one.rank for one in manifest.tasks] == [0, 1, 2]
    assert [file.path for file in manifest.files] == [
        *["data/0/x", "data/10/x", "data/2/a", "data/2/b"],
    ]
    assert (manifest.tool_version, manifest.launcher_digest) == ("4.2.1", "abc")
    assert manifest.hosts == (HostFacts("c1"),)
    assert manifest.notes == ("slow disk", "vdso differs")
    assert manifest.task_count == 3


def test_manifest_of_nodes_that_say_little_is_possible() -> None:
    manifest = assemble.build_manifest(PARTS, [NodeReport("c1", tasks=(task(),))], Timings())
    assert (manifest.tool_version, manifest.launcher_digest, manifest.hosts) == ("", "", ())


def test_parent_is_the_image_this_life_came_from() -> None:
    report = NodeReport("c1", tasks=(task(restored_from="20261122T061900Z-9f3c21ab"),))
    manifest = assemble.build_manifest(PARTS, [report], Timings())
    assert manifest.parent_image_id == "20261122T061900Z-9f3c21ab"


def test_timings_are_those_of_the_slowest_node() -> None:
    reports = [
        NodeReport("c1", timings=Timings(100, 1.0, 5.0)),
        NodeReport("c2", timings=Timings(300, 2.0, 4.0)),
        NodeReport("c3", timings=Timings(None, 0.5, 0.5)),
    ]
    assert assemble.merge_timings(reports, 9.0) == Timings(300, 2.0, 5.0, None, 9.0)
    assert assemble.merge_timings(reports[2:], 1.0).frozen_us is None
    assert assemble.merge_timings([], 1.0) == Timings(total_seconds=1.0)


DETAILS = JobDetails(
    name="my job",
    account="physics",
    qos="",
    working_dir="/home/alice",
    stdout_path="/out",
    stderr_path="/err",
    node_count=2,
    task_count=8,
    cpus_per_task=4,
    features="gpu&fast",
)


def test_recorded_submission_wins() -> None:
    record = {"command": "sbatch", "options": ["--mem=1G", 7], "program": "no list"}
    built = assemble.build_submission(record, DETAILS, PLAIN_JOB, "#!/bin/sh\n")
    assert built == Submission(
        "sbatch", ("--mem=1G", "7"), (), "#!/bin/sh\n", "/out", "/err", "/home/alice"
    )


@pytest.mark.parametrize(
    ("limit", "time"), [(None, "UNLIMITED"), (3600.0, "60"), (90.0, "2"), (1.0, "1")]
)
def test_options_are_derived_where_nothing_was_recorded(limit: float | None, time: str) -> None:
    job = Job(
        JOB, 4711, "alice", 1000, JobState.RUNNING, "", partition="main", time_limit_seconds=limit
    )
    built = assemble.build_submission(None, DETAILS, job, "#!/bin/sh\n")
    assert built.command == "sbatch"
    assert built.program == ()
    assert built.options == (
        *["--job-name=my job", "--account=physics", "--partition=main", "--nodes=2", "--ntasks=8"],
        *["--cpus-per-task=4", "--constraint=gpu&fast", f"--time={time}"],
    )


def test_step_without_script_keeps_its_srun_line() -> None:
    record = {"command": "srun", "program": ["-n2", "solve"]}
    built = assemble.build_submission(record, JobDetails(), PLAIN_JOB, "")
    assert (built.command, built.program) == ("srun", ("-n2", "solve"))
    assert "--cpus-per-task=1" not in built.options
    assert assemble.build_submission(None, JobDetails(), PLAIN_JOB, "").program == ()


def test_tasks_are_ordered_by_step_and_rank() -> None:
    tasks = [task(1, step="1"), task(0, step="1"), task(5, step="0")]
    assert [(one.step, one.rank) for one in assemble.rank_order(tasks)] == [
        *[("0", 5), ("1", 0), ("1", 1)],
    ]


def test_options_of_the_plugin_are_added_to_those_that_slurm_knows() -> None:
    own = ["--checkpoint-dir=/c", "--checkpoint=30"]
    record = {"command": "spank", "options": own, "program": ["a b"]}
    built = assemble.build_submission(record, DETAILS, PLAIN_JOB, "#!/bin/sh\n")
    derived = assemble.build_submission(None, DETAILS, PLAIN_JOB, "#!/bin/sh\n").options
    assert (built.command, built.options, built.program) == ("sbatch", (*derived, *own), ("a b",))
