"""Generations of image files on disk, without DMTCP."""

from __future__ import annotations

from pathlib import Path

from syscr.backends.dmtcp import generation

NAME = "98ff-40000-2b34_00001"


def write_script(run_dir: Path, images: list[str], name: str = NAME) -> None:
    paths = "".join(f" {run_dir}/ckpt_{name}/{image}" for image in images)
    (run_dir / f"dmtcp_restart_script_{name}.sh").write_text(
        f'# Number of processes in the computation = {len(images)}\n\ngiven_ckpt_files="{paths}"\n'
        "exec\n  $ckpt_files\n"
    )


def make(run_dir: Path, *names: str, name: str = NAME) -> Path:
    folder = run_dir / f"ckpt_{name}"
    folder.mkdir(exist_ok=True)
    for entry in names:
        (folder / entry).write_text("12345")
    return folder


def test_listing_finds_generations_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "dmtcp").mkdir()
    (tmp_path / "ckpt_prog_1-2-3.dmtcp").touch()
    (tmp_path / "dmtcp-port").touch()
    assert generation.list_generations(str(tmp_path)) == (NAME,)
    assert generation.list_generations(str(tmp_path / "missing")) == ()


def test_generation_is_frozen_until_the_first_final_name(tmp_path: Path) -> None:
    make(tmp_path, "a.dmtcp.temp", "b.dmtcp.temp")
    found = generation.read_generation(str(tmp_path), NAME)
    assert (found.unfinished, found.images) == (("a.dmtcp.temp", "b.dmtcp.temp"), ())
    assert (found.size_bytes, found.is_frozen) == (10, True)
    make(tmp_path, "a.dmtcp")
    assert not generation.read_generation(str(tmp_path), NAME).is_frozen


def test_generation_with_half_a_script_has_none(tmp_path: Path) -> None:
    make(tmp_path, "a.dmtcp")
    script = tmp_path / f"dmtcp_restart_script_{NAME}.sh"
    script.write_text("# Number of processes in the computation = 1\n")
    assert generation.read_generation(str(tmp_path), NAME).script is None
    write_script(tmp_path, ["a.dmtcp"])
    found = generation.read_generation(str(tmp_path), NAME).script
    assert found is not None
    assert found.images == (f"{tmp_path}/ckpt_{NAME}/a.dmtcp",)


def test_taking_moves_everything_and_leaves_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    folder = make(tmp_path, "a.dmtcp")
    (folder / "a_files").mkdir()
    (folder / "a_files" / "x").write_text("saved")
    write_script(tmp_path, ["a.dmtcp"])
    found = generation.read_generation(str(tmp_path), NAME)
    assert generation.take_generation(found, str(data)) == ("a.dmtcp",)
    assert (data / "a_files" / "x").read_text() == "saved"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_saved_files_are_linked_where_dmtcp_looks_for_them(tmp_path: Path) -> None:
    data, place = tmp_path / "image", tmp_path / "run" / "7.0.0" / f"ckpt_{NAME}"
    (data / "a_files").mkdir(parents=True)
    (data / "a_files" / "x").write_text("saved")
    for _ in range(2):  # a second restart of the same image
        generation.link_saved_files(str(data), str(place))
    assert (place / "a_files" / "x").read_text() == "saved"


def test_saved_files_that_are_still_there_are_left_alone(tmp_path: Path) -> None:
    data, place = tmp_path / "image", tmp_path / f"ckpt_{NAME}"
    (data / "a_files").mkdir(parents=True)
    (place / "a_files").mkdir(parents=True)
    generation.link_saved_files(str(data), str(place))
    assert not (place / "a_files").is_symlink()


def test_image_without_saved_files_needs_no_directory(tmp_path: Path) -> None:
    generation.link_saved_files(str(tmp_path), str(tmp_path / "place"))
    assert not (tmp_path / "place").exists()
