"""image list, show, verify, delete, undelete and prune."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cli_support import IMAGE_ID, FakeManager, Run, make_image

from syscr.errors import ImageNotFoundError, ManifestError, StoreNotFoundError
from syscr.model import JobId, Target, TornImage
from syscr.request import PruneRequest
from syscr.result import Decision, PruneResult

OTHER_ID = "20261124T114600Z-00000001"


def test_list_is_a_table(run: Run, manager: FakeManager) -> None:
    other = make_image(OTHER_ID, job_name="a\x1b[31mb\nc", tags=("keep", "x"), nodes=())
    manager.answers["list_images"] = ((make_image(), other), ("entry 'junk' cannot be read",))
    outcome = run("image", "list", "4711", "--image-dir", "/d", "--deleted")
    assert outcome.out == (
        "IMAGE                      JOB   STEP   BACKEND  TASKS  SIZE     NODES  NAME           TAGS\n"
        "20261124T114500Z-9f3c21ab  4711  batch  criu     1      1.5 GiB  c1     heat           -\n"
        "20261124T114600Z-00000001  4711  batch  criu     1      1.5 GiB  -      a\\x1b[31mb\\nc  keep,x\n"
    )
    assert outcome.err == "syscr: warning: entry 'junk' cannot be read\n"
    assert manager.calls == [("list_images", ("/d", Target(JobId(4711)), True))]


def test_list_that_is_empty_says_so(run: Run, manager: FakeManager) -> None:
    manager.answers["list_images"] = ((), ())
    assert run("image", "list").out == "no images; write one with: syscr checkpoint JOB\n"
    assert (
        run("image", "list", "4711.0").out
        == "no images of 4711.0; all that are there: syscr image list\n"
    )
    assert run("image", "list", "--deleted").out == "no deleted images\n"
    assert run("image", "list", "7", "--deleted").out == "no deleted images of 7\n"
    assert run("image", "list", "-q").out == ""
    assert json.loads(run("image", "list", "--json").out)["data"] == {"images": []}


def test_list_quiet_prints_ids(run: Run, manager: FakeManager) -> None:
    manager.answers["list_images"] = ((make_image(), make_image(OTHER_ID)), ("w",))
    outcome = run("image", "list", "-q")
    assert (outcome.out, outcome.err) == (f"{IMAGE_ID}\n{OTHER_ID}\n", "")


def test_list_of_a_missing_directory_has_its_code(run: Run, manager: FakeManager) -> None:
    manager.answers["list_images"] = StoreNotFoundError("no directory '/d'")
    outcome = run("image", "list")
    assert outcome.status == 51
    assert "hint: name it with --image-dir DIR" in outcome.err


def test_path_that_is_not_unicode_keeps_its_bytes_in_json(run: Run, manager: FakeManager) -> None:
    manager.answers["list_images"] = ((make_image(path="/d/\udcff"),), ())
    image = json.loads(run("image", "list", "--json").out)["data"]["images"][0]
    assert image["path"] == "/d/\\xff"
    assert base64.b64decode(image["path_b64"]) == b"/d/\xff"
    assert image["checkpoint_dir_b64"] is None


def test_show_tells_all_that_matters(run: Run, manager: FakeManager) -> None:
    manager.answers["get_image"] = make_image(path="/d/\udcff")
    outcome = run("image", "show", IMAGE_ID, "--files")
    assert outcome.out.splitlines() == [
        f"image {IMAGE_ID}",
        "  job      4711, step batch",
        "  name     heat",
        "  owner    alice",
        "  created  2026-11-24T11:45:00Z",
        "  backend  criu 4.2",
        "  nodes    c1",
        "  tasks    1",
        "  size     1.5 GiB in 2 files",
        "  frozen   812 ms",
        "  total    2.3 s",
        "  parent   -",
        "  tags     -",
        "  slurm    24.11.5",
        "  path     /d/\\xff",
        "  task 0 on c1: python3 heat.py --steps 100",
        "  host c1: 6.12.9, EPYC 9654",
        "files",
        "  data/0/core-2.img   1.0 KiB",
        "  data/0/pages-1.img  1.5 GiB",
    ]
    assert manager.calls == [("get_image", (IMAGE_ID, None, False))]


def test_show_json_has_the_whole_manifest(run: Run, manager: FakeManager) -> None:
    manager.answers["get_image"] = make_image(is_deleted=True)
    data = json.loads(run("image", "show", IMAGE_ID, "--json", "--deleted").out)["data"]
    assert data["image"]["is_deleted"] is True
    assert data["manifest"]["tasks"][0]["argv"] == ["python3", "heat.py", "--steps", "100"]
    assert data["manifest"]["parent_image_id"] is None
    assert data["manifest"]["files"][1]["size_bytes"] == 3 << 29


@pytest.mark.parametrize("verb", ["show", "verify", "delete", "undelete"])
def test_job_id_in_place_of_an_image_is_refused(run: Run, manager: FakeManager, verb: str) -> None:
    outcome = run("image", verb, "4711")
    assert (outcome.status, manager.calls) == (2, [])
    assert outcome.err.startswith("syscr: not an image id: '4711'\n")


def test_verify_that_is_right(run: Run, manager: FakeManager) -> None:
    manager.answers.update(get_image=make_image(), verify_image=())
    outcome = run("image", "verify", "20261124T", "--level", "sizes")
    assert (outcome.status, outcome.out) == (0, f"{IMAGE_ID}: all sizes are right\n")
    assert manager.calls[1] == ("verify_image", (make_image(), "sizes"))


def test_verify_that_is_wrong_lists_what_differs(run: Run, manager: FakeManager) -> None:
    manager.answers.update(
        get_image=make_image(), verify_image=("pages-1.img: digest differs", "x")
    )
    outcome = run("image", "verify", IMAGE_ID)
    assert (outcome.status, outcome.out) == (53, "")
    assert outcome.err == (
        f"syscr: image {IMAGE_ID} differs from its manifest:\n"
        "  pages-1.img: digest differs\n"
        "  x\n"
        "hint: restart takes the newest image that is right; delete this one with"
        f" 'syscr image delete {IMAGE_ID}'\n"
    )
    error = json.loads(run("image", "verify", IMAGE_ID, "--json").err)
    assert error["details"]["problems"] == ["pages-1.img: digest differs", "x"]


def test_verify_of_several_tells_each(run: Run, manager: FakeManager) -> None:
    def get(image_id: str, *_: object) -> object:
        return (
            make_image() if image_id == IMAGE_ID else ImageNotFoundError(f"no image '{image_id}'")
        )

    manager.answers.update(get_image=get, verify_image=())
    outcome = run("image", "verify", "20200101T", IMAGE_ID)
    assert outcome.status == 4
    assert outcome.out == f"{IMAGE_ID}: all digests are right\n"
    assert "syscr: no image '20200101T'" in outcome.err
    assert "syscr: cannot verify 1 of 2 images" in outcome.err
    results = json.loads(run("image", "verify", "20200101T", IMAGE_ID, "--json").out)["data"][
        "results"
    ]
    assert [reply["ok"] for reply in results] == [False, True]


def test_delete_says_how_to_bring_it_back(run: Run, manager: FakeManager) -> None:
    manager.answers.update(get_image=make_image(), delete_image=make_image(is_deleted=True))
    outcome = run("image", "delete", IMAGE_ID, IMAGE_ID)
    assert (
        outcome.out == f"{IMAGE_ID}: deleted; bring it back with: syscr image undelete {IMAGE_ID}\n"
    )
    assert [call[0] for call in manager.calls] == ["get_image", "delete_image"]


def test_undelete(run: Run, manager: FakeManager) -> None:
    manager.answers["undelete_image"] = make_image()
    outcome = run("image", "undelete", "20261124T1145", "--image-dir", "/d")
    assert outcome.out == f"{IMAGE_ID}: there again\n"
    assert manager.calls == [("undelete_image", ("20261124T1145", "/d"))]


REASON = f"'/d/4711.ckpt/{IMAGE_ID}' is no image: it has no manifest"
TORN = TornImage(IMAGE_ID, "4711", "batch", f"/d/4711.ckpt/{IMAGE_ID}", "/d", REASON)


def test_delete_of_what_is_no_image_says_what_it_was(run: Run, manager: FakeManager) -> None:
    manager.answers.update(get_image=ManifestError(REASON), delete_torn=TORN)
    outcome = run("image", "delete", "20261124T1145", "--image-dir", "/d")
    assert outcome.status == 0
    assert outcome.out == (
        f"{IMAGE_ID}: deleted; bring it back with: syscr image undelete {IMAGE_ID}\n  {REASON}\n"
    )
    assert manager.calls[-1] == ("delete_torn", ("20261124T1145", "/d"))
    (reply,) = json.loads(run("image", "delete", IMAGE_ID, "--json").out)["data"]["results"]
    assert (reply["ok"], reply["image"], reply["problems"]) == (True, None, [REASON])


def test_undelete_of_what_is_no_image(run: Run, manager: FakeManager) -> None:
    manager.answers.update(undelete_image=ManifestError(REASON), undelete_torn=TORN)
    assert run("image", "undelete", IMAGE_ID).out == f"{IMAGE_ID}: there again\n  {REASON}\n"


def test_image_that_is_there_is_never_deleted_as_none(run: Run, manager: FakeManager) -> None:
    manager.answers.update(get_image=ImageNotFoundError("no image"))
    assert run("image", "delete", IMAGE_ID).status == 52
    assert [name for name, _ in manager.calls] == ["get_image"]


DECISIONS = (
    Decision(make_image(), keep=False, reason="no rule keeps it"),
    Decision(make_image(OTHER_ID), keep=True, reason="newest 1 of 4711"),
)


def test_prune_gives_a_reason_for_each(run: Run, manager: FakeManager) -> None:
    manager.answers["prune"] = PruneResult(DECISIONS, ("20261101T000000Z-00000000",), ("w",))
    outcome = run(
        "image",
        "prune",
        "4711",
        "--keep-last",
        "1",
        "--keep-within",
        "7d",
        "--keep-tag",
        "a",
        "--expunge",
    )
    assert outcome.out == (
        "deleted  20261124T114500Z-9f3c21ab  4711  1.5 GiB  no rule keeps it\n"
        "keep     20261124T114600Z-00000001  4711  1.5 GiB  newest 1 of 4711\n"
        "removed for good: 20261101T000000Z-00000000\n"
        "1 of 2 images deleted, 1.5 GiB\n"
        "bring one back with: syscr image undelete IMAGE\n"
    )
    request = manager.calls[0][1][0]
    assert request == PruneRequest(
        checkpoint_dir=request.checkpoint_dir,
        job_id=JobId(4711),
        keep_last=1,
        keep_within_seconds=7 * 86400.0,
        keep_tags=("a",),
        expunge=True,
    )
    assert request.checkpoint_dir.endswith("/home/.syscr/checkpoints")


def test_prune_dry_run_says_would(run: Run, manager: FakeManager) -> None:
    manager.answers["prune"] = PruneResult(DECISIONS)
    outcome = run("image", "prune", "--keep-last", "1", "--dry-run")
    assert "would delete  20261124T114500Z-9f3c21ab" in outcome.out
    assert outcome.out.endswith("1 of 2 images would be deleted, 1.5 GiB\n")
    assert run("image", "prune", "--keep-last", "1", "--dry-run", "-q").out == f"{IMAGE_ID}\n"


def test_prune_of_nothing(run: Run, manager: FakeManager, tmp_path: Path) -> None:
    manager.answers["prune"] = PruneResult(())
    assert run("image", "prune", "--keep-last", "1").out == "0 of 0 images deleted, 0 B\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "no rule says what to keep"),
        (("--keep-last", "0"), "--keep-last 0 keeps nothing"),
        (("--keep-within", "7"), "duration without a unit: '7'"),
        (("--keep-within", "soon"), "write for example 90s, 15m, 2h, 7d"),
        (("--keep-tag",), "see 'syscr image prune --help'"),
        (("--keep-last", "x"), "invalid value for '--keep-last'"),
        (("4711.0", "--keep-last", "1"), "prune takes a job, not a step"),
    ],
)
def test_prune_without_a_clear_rule_is_refused(
    run: Run, manager: FakeManager, argv: tuple[str, ...], message: str
) -> None:
    outcome = run("image", "prune", *argv)
    assert (outcome.status, manager.calls) == (2, [])
    assert message in outcome.err
