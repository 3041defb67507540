from __future__ import annotations

import pytest
from slurm_replies import Read

from syscr.errors import (
    CheckpointError,
    CheckpointTimeoutError,
    JobStateError,
    SchedulerDeniedError,
    StoreFullError,
    ToolMissingError,
)
from syscr.ports import Completed
from syscr.slurm.answers import build_missing_error, build_node_error, build_step_error


def test_command_missing_on_nodes_names_them_and_the_path(reply: Read) -> None:
    error = build_step_error("look into job 5", reply("step_no_command").completed)
    assert isinstance(error, ToolMissingError)
    assert error.message.startswith(
        "cannot look into job 5: cannot run '/nosuch/syscr' on nodes 'c"
    )
    assert error.message.endswith("no such file or directory")
    assert len(error.details["nodes"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("step_foreign", SchedulerDeniedError),
        ("step_pending", JobStateError),
        ("step_ended", JobStateError),
        ("probe_unknown_node", SchedulerDeniedError),
    ],
)
def test_step_refused_has_its_class(reply: Read, case: str, error: type[Exception]) -> None:
    assert isinstance(build_step_error("look into job 5", reply(case).completed), error)


def test_step_of_ended_job_says_so(reply: Read) -> None:
    error = build_step_error("look into job 5", reply("step_ended").completed)
    assert error is not None
    assert error.message == "cannot look into job 5: the job has ended meanwhile"


@pytest.mark.parametrize("case", ["step_exit", "step_killed", "step_ok"])
def test_step_that_started_is_no_step_error(reply: Read, case: str) -> None:
    assert build_step_error("look into job 5", reply(case).completed) is None


def test_node_without_answer_is_named_with_how_it_ended(reply: Read) -> None:
    completed = reply("step_killed").completed
    node = "c2" if "c2" in completed.stderr else "c3"
    error = build_missing_error("look into job 5", [node], completed, fate="nothing was touched")
    assert type(error) is CheckpointError
    assert f"node '{node}' did not answer (Killed); nothing was touched" in error.message
    assert error.details["nodes"] == [node]


def test_time_out_of_a_dump_is_its_own_class() -> None:
    completed = Completed(("srun",), None, stderr="\n".join(f"line {n}" for n in range(50)))
    error = build_missing_error("checkpoint job 5", ["c1", "c2"], completed, timed_out=True)
    assert type(error) is CheckpointTimeoutError
    assert "nodes 'c1', 'c2' did not answer in time" in error.message
    assert error.message.count("\n| ") == 20
    assert error.message.endswith("| line 49")


def test_specific_error_of_a_node_stands_for_all() -> None:
    error = build_node_error(
        "checkpoint job 5",
        {
            "c1": {"code": "checkpoint", "message": "given up"},
            "c2": {
                "code": "store_full",
                "message": "no space on 'c2'",
                "hint": "make room",
                "details": {"needed_bytes": 5, "message": "x", "hint": "y"},
            },
        },
    )
    assert type(error) is StoreFullError
    assert error.message == "cannot checkpoint job 5: no space on 'c2'"
    assert error.hint == "make room"
    assert error.details == {"needed_bytes": 5, "node": "c2", "nodes": ["c1", "c2"]}
    assert error.__notes__ == ["node 'c1': given up"]


def test_error_of_unknown_code_is_a_checkpoint_error() -> None:
    error = build_node_error("checkpoint job 5", {"c1": {"code": "from_the_future"}})
    assert type(error) is CheckpointError
    assert "node 'c1'" in error.message


def test_node_that_cannot_run_the_command_while_others_do_is_named() -> None:
    text = "slurmstepd-c2: error: execve(): /opt/syscr: Permission denied\n"
    error = build_missing_error("look into job 5", ["c2"], Completed(("srun",), 13, "", text))
    assert isinstance(error, ToolMissingError)
    assert error.message == (
        "cannot look into job 5: cannot run '/opt/syscr' on node 'c2': permission denied"
    )
