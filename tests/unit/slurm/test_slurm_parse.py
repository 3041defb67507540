from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from slurm_replies import Read

from syscr.errors import (
    JobNotFoundError,
    JobStateError,
    RequestError,
    SchedulerDeniedError,
    SchedulerReplyError,
    SchedulerUnavailableError,
)
from syscr.model import JobId, JobState
from syscr.ports import Completed
from syscr.slurm import commands, parse


def _squeue(*lines: str) -> Completed:
    return Completed(("squeue",), 0, "".join(f"{line}\n" for line in lines))


def _line(job_id: str = "5", state: str = "RUNNING", **fields: str) -> str:
    values = {
        "number": job_id.partition("_")[0],
        "nodes": "c1",
        "host": "c1",
        "limit": "1:00:00",
        "end": "1795519417",
        "reason": "None",
        **fields,
    }
    number = values["number"]
    return (
        f"{job_id}|{number}|{number}|N/A|1000|alice|{state}|{values['nodes']}|{values['host']}|debug|"
        f"{values['limit']}|{values['end']}|{values['reason']}"
    )


# --- recorded replies, every version --------------------------------------------------------------


def test_version_recorded_is_read(reply: Read, version: str) -> None:
    assert parse.parse_version(reply("version").completed) == version


def test_job_running_with_forged_name_has_true_owner(reply: Read) -> None:
    recorded = reply("jobs_running")
    job = parse.select_job(recorded.completed, recorded.job_id)
    assert (job.user_name, job.uid, job.state, job.partition) == (
        "alice",
        1000,
        JobState.RUNNING,
        "debug",
    )
    assert len(job.nodes) == 2
    assert job.batch_host == job.nodes[0]
    assert job.time_limit_seconds == 600
    assert job.end_at is not None
    assert job.end_at.tzinfo is UTC


def test_job_whose_name_forges_anothers_record_is_one_record(reply: Read) -> None:
    recorded = reply("jobs_forger")
    jobs = parse.parse_jobs(recorded.completed)
    assert [job.job_id for job in jobs] == [recorded.job_id]
    assert jobs[0].uid == 1000


def test_forged_name_asked_alone_is_whole(reply: Read) -> None:
    name = parse.parse_text(reply("text_name_forger").completed)
    assert name.startswith("evil UserId=root(0)\nJobId=1 JobState=COMPLETED\n")
    assert name.endswith("|N/A|0|root|COMPLETED|c9|c9|x|1|1|x")


def test_job_array_as_a_whole_is_refused_with_its_parts(reply: Read) -> None:
    recorded = reply("jobs_array")
    number = recorded.job_id.number
    with pytest.raises(RequestError, match="whole job array") as caught:
        parse.select_job(recorded.completed, recorded.job_id)
    assert f"{number}_0" in caught.value.message
    assert f"{number}_[" in caught.value.message


def test_array_task_running_is_found_by_both_its_ids(reply: Read) -> None:
    recorded = reply("jobs_array_running")
    job = parse.select_job(recorded.completed, recorded.job_id)
    assert job.job_id == recorded.job_id
    assert job.number != job.job_id.number
    assert parse.select_job(recorded.completed, JobId(job.number)) == job


def test_array_task_waiting_is_pending_without_nodes(reply: Read) -> None:
    recorded = reply("jobs_array_waiting")
    job = parse.select_job(recorded.completed, recorded.job_id)
    assert (job.state, job.nodes, job.batch_host) == (JobState.PENDING, (), "")


@pytest.mark.parametrize("case", ["jobs_unknown", "jobs_array_unknown"])
def test_job_unknown_is_not_found(reply: Read, case: str) -> None:
    recorded = reply(case)
    with pytest.raises(JobNotFoundError):
        parse.select_job(recorded.completed, recorded.job_id)


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("jobs_held", JobState.PENDING),
        ("jobs_ended", JobState.COMPLETED),
        ("jobs_completing", JobState.COMPLETING),
        ("jobs_requeued", JobState.PENDING),
    ],
)
def test_job_in_state_is_read(reply: Read, case: str, state: JobState) -> None:
    recorded = reply(case)
    assert parse.select_job(recorded.completed, recorded.job_id).state is state


def test_many_jobs_leave_out_the_unknown_one(reply: Read) -> None:
    jobs = parse.parse_jobs(reply("jobs_many").completed)
    assert len(jobs) == 2


def test_own_jobs_leave_out_waiting_array_tasks(reply: Read) -> None:
    completed = reply("own_jobs").completed
    jobs = parse.parse_jobs(completed)
    assert "_[" in completed.stdout
    assert len(jobs) == len(completed.stdout.splitlines()) - 1


def test_jobs_without_controller_are_unavailable_not_unknown(reply: Read) -> None:
    recorded = reply("jobs_down")
    with pytest.raises(SchedulerUnavailableError):
        parse.select_job(recorded.completed, recorded.job_id)


def test_steps_are_numbered_ones_only(reply: Read) -> None:
    assert parse.parse_steps(reply("steps_srun").completed) == ("0",)
    assert parse.parse_steps(reply("steps_running").completed) == ()
    assert parse.parse_steps(reply("steps_unknown").completed) == ()


def test_geometry_is_read(reply: Read) -> None:
    details = parse.parse_geometry(reply("geometry_running").completed)
    assert (details.node_count, details.task_count, details.cpus_per_task) == (2, 2, 1)
    assert (details.restart_count, details.can_requeue) == (0, True)
    assert parse.parse_geometry(reply("geometry_requeued").completed).restart_count == 1


def test_geometry_of_unknown_job_is_not_found(reply: Read) -> None:
    with pytest.raises(JobNotFoundError):
        parse.parse_geometry(reply("geometry_unknown").completed)


def test_output_path_is_read_without_padding(reply: Read) -> None:
    path = parse.parse_path(reply("path_stdout_path_running").completed)
    assert path.startswith("/shared/out-") or path == "out-%j-%u.txt"


def test_details_as_json_are_read(reply: Read, version: str) -> None:
    recorded = reply("show_running")
    if version < "24":
        with pytest.raises(SchedulerReplyError):
            parse.parse_details(recorded.completed, recorded.job_id)
        return
    details = parse.parse_details(recorded.completed, recorded.job_id)
    assert details.name.startswith("evil UserId=root(0)\n")
    assert (details.node_count, details.task_count, details.working_dir) == (2, 2, "/shared")
    assert details.stdout_path == f"/shared/out-{recorded.job_id}-alice.txt"
    requeued = reply("show_requeued")
    again = parse.parse_details(requeued.completed, requeued.job_id)
    assert again.restart_count == 1
    assert details.submitted_at is not None
    assert again.submitted_at is not None
    assert again.submitted_at > details.submitted_at  # a requeue is a new submission


def test_details_as_json_of_array_task_are_of_that_task(reply: Read, version: str) -> None:
    if version < "24":
        return
    for case in ("show_array_running", "show_array_waiting"):
        recorded = reply(case)
        assert parse.parse_details(recorded.completed, recorded.job_id).name == "sbatch"


def test_details_of_unknown_job_are_not_found(reply: Read, version: str) -> None:
    if version < "24":
        return
    recorded = reply("show_unknown")
    with pytest.raises(JobNotFoundError):
        parse.parse_details(recorded.completed, recorded.job_id)


def test_batch_script_is_read_and_its_absence_is_an_error(reply: Read) -> None:
    running, unknown, foreign = (
        reply("script_forger"),
        reply("script_unknown"),
        reply("script_foreign"),
    )
    script = parse.parse_batch_script(running.completed, running.job_id)
    assert script.startswith("#!/bin/sh\nsleep 600")
    with pytest.raises(JobNotFoundError):
        parse.parse_batch_script(unknown.completed, unknown.job_id)
    with pytest.raises(SchedulerDeniedError):
        parse.parse_batch_script(foreign.completed, foreign.job_id)


@pytest.mark.parametrize("case", ["submit", "submit_arguments"])
def test_submit_returns_the_job_id(reply: Read, case: str) -> None:
    assert parse.parse_submit(reply(case).completed).number > 0


@pytest.mark.parametrize("what", ["option", "partition", "time", "script"])
def test_submit_refused_is_denied_with_slurms_words(reply: Read, what: str) -> None:
    with pytest.raises(SchedulerDeniedError) as caught:
        parse.parse_submit(reply(f"submit_bad_{what}").completed)
    assert caught.value.message.startswith("cannot submit the job: ")
    assert "error:" not in caught.value.message
    assert caught.value.details["tool"] == "sbatch"


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("update_bad_nodes", SchedulerDeniedError),
        ("start_now_unknown", JobNotFoundError),
        ("start_now_running", JobStateError),
        ("requeue_unknown", JobNotFoundError),
        ("requeue_pending", JobStateError),
        ("requeue_foreign", SchedulerDeniedError),
        ("requeue_forbidden", JobStateError),
        ("requeue_down", SchedulerUnavailableError),
        ("release_unknown", JobNotFoundError),
        ("release_ended", JobStateError),
        ("cancel_foreign", SchedulerDeniedError),
    ],
)
def test_act_refused_has_its_class(reply: Read, case: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse.parse_act(reply(f"act_{case}").completed, "do it")


@pytest.mark.parametrize("case", ["update_nodes", "update_no_nodes", "cancel_step"])
def test_act_accepted_returns(reply: Read, case: str) -> None:
    parse.parse_act(reply(f"act_{case}").completed, "do it")


@pytest.mark.parametrize("case", ["cancel_unknown", "cancel_ended", "cancel_no_step"])
def test_cancel_of_what_has_ended_is_no_error(reply: Read, case: str) -> None:
    parse.parse_cancel(reply(f"act_{case}").completed, "cancel it")


def test_requeue_forbidden_has_a_hint(reply: Read) -> None:
    recorded = reply("act_requeue_forbidden")
    with pytest.raises(JobStateError) as caught:
        parse.parse_requeue(recorded.completed, recorded.job_id)
    assert f"JobId={recorded.job_id} Requeue=1" in caught.value.hint


# --- rare replies, by hand ------------------------------------------------------------------------


def test_state_unknown_keeps_its_text() -> None:
    (job,) = parse.parse_jobs(_squeue(_line(state="HIBERNATING")))
    assert (job.state, job.raw_state) == (JobState.UNKNOWN, "HIBERNATING")
    assert not job.state.is_final


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("UNLIMITED", None), ("NOT_SET", None), ("30:00", 1800.0), ("2-00:00:00", 172800.0)],
)
def test_time_limit_is_read(limit: str, seconds: float | None) -> None:
    (job,) = parse.parse_jobs(_squeue(_line(limit=limit)))
    assert job.time_limit_seconds == seconds


def test_end_time_is_utc_and_unknown_is_none() -> None:
    known, unknown = parse.parse_jobs(_squeue(_line("5"), _line("6", end="N/A")))
    assert known.end_at == datetime(2026, 11, 24, 11, 23, 37, tzinfo=UTC)
    assert unknown.end_at is None


def test_reason_may_hold_the_separator() -> None:
    (job,) = parse.parse_jobs(_squeue(_line(reason="a|b|c")))
    assert job.reason == "a|b|c"


@pytest.mark.parametrize("line", ["5|5", _line(number="x"), _line("5_"), _line(limit="soon")])
def test_line_not_understood_is_a_reply_error(line: str) -> None:
    with pytest.raises(SchedulerReplyError) as caught:
        parse.parse_jobs(_squeue(line))
    assert caught.value.details["excerpt"] == line


def test_two_records_of_one_job_are_a_reply_error() -> None:
    with pytest.raises(SchedulerReplyError, match="two records"):
        parse.select_job(_squeue(_line("5"), _line("5")), JobId(5))


def test_heterogeneous_job_as_a_whole_is_refused() -> None:
    completed = _squeue(_line("6+0", number="6"), _line("6+1", number="7"))
    with pytest.raises(RequestError, match=r"heterogeneous job: 6\+0, 6\+1"):
        parse.select_job(completed, JobId(6))
    assert parse.select_job(completed, JobId(6, het_offset=1)).number == 7
    assert parse.select_job(completed, JobId(7)).job_id == JobId(6, het_offset=1)


def test_last_task_of_an_array_that_has_its_number_is_still_an_array() -> None:
    with pytest.raises(RequestError, match="5_4"):
        parse.select_job(_squeue(_line("5_4", number="5")), JobId(5))


def test_empty_reply_with_success_is_not_found() -> None:
    with pytest.raises(JobNotFoundError):
        parse.select_job(_squeue(), JobId(5))


@pytest.mark.parametrize("stdout", ["123\n", "123;cluster\n", "hello from a plugin\n123\n"])
def test_submit_reply_forms(stdout: str) -> None:
    assert parse.parse_submit(Completed(("sbatch",), 0, stdout)) == JobId(123)


def test_submit_without_id_is_a_reply_error() -> None:
    with pytest.raises(SchedulerReplyError):
        parse.parse_submit(Completed(("sbatch",), 0, "queued\n"))


@pytest.mark.parametrize("stdout", ["{", "[]", '{"jobs": [{}]}', '{"jobs": [{"job_id": 5}]}', "{}"])
def test_details_not_understood_are_a_reply_error(stdout: str) -> None:
    with pytest.raises(SchedulerReplyError):
        parse.parse_details(Completed(("scontrol",), 0, stdout), JobId(5))


def test_text_keeps_all_but_the_last_newline_and_bytes() -> None:
    assert parse.parse_text(Completed(("squeue",), 0, " a\n\udcff\n\n")) == " a\n\udcff\n"


def test_batch_script_empty_is_an_error() -> None:
    with pytest.raises(SchedulerReplyError):
        parse.parse_batch_script(Completed(("scontrol",), 0, ""), JobId(5))


def test_command_ended_by_signal_says_so() -> None:
    with pytest.raises(SchedulerReplyError, match="ended by signal 9"):
        parse.parse_jobs(Completed(("squeue",), None, signal=9))


def test_version_unreadable_is_a_reply_error() -> None:
    with pytest.raises(SchedulerReplyError):
        parse.parse_version(Completed(("sinfo",), 0, "hello"))


def test_format_has_as_many_fields_as_the_reader() -> None:
    assert commands.JOB_FORMAT.count("|") == _line().count("|")


@pytest.mark.parametrize("stdout", ["1 2 3", "1 2 3 4 x", "1 2 3 4 5 6"])
def test_geometry_not_understood_is_a_reply_error(stdout: str) -> None:
    with pytest.raises(SchedulerReplyError):
        parse.parse_geometry(Completed(("squeue",), 0, stdout))


def test_geometry_without_a_line_is_not_found() -> None:
    with pytest.raises(JobNotFoundError):
        parse.parse_geometry(Completed(("squeue",), 0, ""))


def test_geometry_unset_numbers_have_defaults() -> None:
    details = parse.parse_geometry(Completed(("squeue",), 0, "1 N/A (null) 0 0\n"))
    assert (details.task_count, details.cpus_per_task, details.can_requeue) == (1, 1, False)


def test_text_and_steps_of_failed_command_raise() -> None:
    failed = Completed(("squeue",), 1, "", "slurm_load_jobs error: Invalid job id specified\n")
    for read in (parse.parse_text, parse.parse_path, parse.parse_steps):
        with pytest.raises(JobNotFoundError):
            read(failed)


def test_details_of_a_component_are_its_own() -> None:
    record = {
        "job_id": 7,
        "het_job_id": {"set": True, "infinite": False, "number": 6},
        "het_job_offset": {"set": True, "infinite": False, "number": 1},
        "name": "part",
        "account": "",
        "qos": "",
        "features": "",
        "current_working_directory": "/w",
        "standard_output": "slurm-7.out",
        "stdout_expanded": "",
        "node_count": 2,
        "tasks": None,
        "cpus_per_task": {"set": False, "infinite": False, "number": 0},
        "restart_cnt": 3,
        "requeue": True,
    }
    record |= {"array_job_id": 0, "array_task_id": None, "array_task_string": ""}
    other = {**record, "job_id": 6, "het_job_offset": 0, "name": "leader"}
    completed = Completed(("scontrol",), 0, json.dumps({"jobs": [other, record]}))
    details = parse.parse_details(completed, JobId(6, het_offset=1))
    assert (details.name, details.stdout_path, details.stderr_path) == (
        "part",
        "/w/slurm-7.out",
        "",
    )
    assert (details.node_count, details.task_count, details.cpus_per_task) == (2, 1, 1)
    assert parse.parse_details(completed, JobId(7)).restart_count == 3
    with pytest.raises(JobNotFoundError):
        parse.parse_details(completed, JobId(6, 0))


def test_details_of_failed_command_raise() -> None:
    failed = Completed(
        ("scontrol",), 1, "", "Unable to contact slurm controller (connect failure)\n"
    )
    with pytest.raises(SchedulerUnavailableError):
        parse.parse_details(failed, JobId(5))
