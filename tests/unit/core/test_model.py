"""Ids, states and the small things that values know of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.model import Finding, ImageFile, JobId, JobState, Severity, StepId, Target
from syscr.testing.images import sample_manifest

NUMBERS = st.integers(0, 2**32)
JOB_IDS = st.one_of(
    st.builds(JobId, NUMBERS),
    st.builds(JobId, NUMBERS, NUMBERS),
    st.builds(JobId, NUMBERS, st.none(), NUMBERS),
)


@given(JOB_IDS)
def test_job_id_survives_writing_and_reading(job_id: JobId) -> None:
    assert JobId.parse(str(job_id)) == job_id


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1_", "_1", "1_x", "1.0", "1 2", "1_2_3", "1+2_3", "1_2+3", "+1"]
)
def test_text_that_is_no_job_id_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="not a job id") as caught:
        JobId.parse(text)
    assert "1234_7" in caught.value.hint


@pytest.mark.parametrize("text", ["1234_[0-9]", "1234_[1,3%2]"])
def test_range_of_array_tasks_is_named_as_such(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        JobId.parse(text)
    assert "a range of array tasks is not one job" in caught.value.hint


def test_array_index_zero_is_a_real_index() -> None:
    assert JobId.parse("12_0").array_index == 0
    assert str(JobId(12, 0)) == "12_0"
    assert str(JobId(12, het_offset=0)) == "12+0"


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("12", None),
        ("12.0", "0"),
        ("12.007", "7"),
        ("12_3.batch", "batch"),
        ("12.extern", "extern"),
    ],
)
def test_target_is_read(text: str, step: str | None) -> None:
    target = Target.parse(f" {text} ")
    assert target.step == step
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize("text", ["12.", "12.x", "12.-1", "12.0.1", ".0", "12.batch2"])
def test_text_that_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        Target.parse(text)


def test_step_id_is_written_as_slurm_does() -> None:
    assert str(StepId(JobId(12, 3), "batch")) == "12_3.batch"
    assert StepId(JobId(12), "batch").is_batch
    assert not StepId(JobId(12), "0").is_batch


def test_unknown_state_is_neither_final_nor_waiting() -> None:
    assert not JobState.UNKNOWN.is_final
    assert not JobState.UNKNOWN.is_waiting


@pytest.mark.parametrize("state", list(JobState))
def test_no_state_is_final_and_waiting_at_once(state: JobState) -> None:
    assert not (state.is_final and state.is_waiting)
    assert not (state.is_final and state in {JobState.RUNNING, JobState.COMPLETING})


def test_finding_says_null_for_what_it_does_not_know() -> None:
    assert Finding("code", Severity.NOTE, "text").to_dict() == {
        "code": "code",
        "severity": "note",
        "message": "text",
        "hint": None,
        "node": None,
        "pid": None,
    }
    full = Finding("code", Severity.ERROR, "text", "do", "c1", 7).to_dict()
    assert (full["hint"], full["node"], full["pid"]) == ("do", "c1", 7)


def test_size_of_an_image_is_that_of_its_files() -> None:
    files = (ImageFile("data/0/a", 3, "00"), ImageFile("data/0/b", 4, "00"))
    assert sample_manifest(files=files).size_bytes == 7
    assert sample_manifest(files=()).size_bytes == 0
