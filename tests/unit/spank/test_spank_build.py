"""``syscr spank build``: which headers, which command, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syscr.errors import ToolUnsupportedError
from syscr.ports import Completed
from syscr.spank import (
    SOURCES,
    SOURCES_DIR,
    STARTER_SOURCES,
    PluginBuilder,
    build_compile,
    build_compile_starter,
    read_header_version,
)

SYSCR = "/opt/syscr/bin/syscr"


class Compiler:
    """Stands for the runner: a compiler, and sinfo."""

    def __init__(self, slurm: str = "slurm-wlm 24.11.5", error: str = "") -> None:
        self.slurm, self.error = slurm, error
        self.calls: list[tuple[str, ...]] = []

    def run(self, argv: Any, **_: object) -> Completed:
        self.calls.append(tuple(argv))
        if argv[0] == "sinfo":
            return Completed(tuple(argv), 0, f"{self.slurm}\n")
        if self.error:
            return Completed(tuple(argv), 1, "", self.error)
        Path(argv[argv.index("-o") + 1]).write_bytes(b"plugin")
        return Completed(tuple(argv), 0)


def make_headers(root: Path, *, name: str = "slurm_version.h", number: str = "0x180b05") -> str:
    folder = root / "include" / "slurm"
    folder.mkdir(parents=True)
    (folder / "spank.h").touch()
    (folder / name).write_text(f"#define SLURM_VERSION_NUMBER {number}\n")
    return str(folder.parent)


def test_every_source_is_compiled() -> None:
    assert {*SOURCES, *STARTER_SOURCES} == {path.name for path in SOURCES_DIR.glob("*.c")}
    words = build_compile("gcc", "/usr/include", SYSCR, "/tmp/x.so")
    assert words[0] == "gcc"
    assert f'-DSYSCR_COMMAND="{SYSCR}"' in words
    assert words[words.index("-isystem") + 1] == "/usr/include"
    assert words[-1] == "-ldl"
    assert "-shared" not in build_compile_starter("gcc", "/tmp/x")


def test_plugin_replaces_an_older_one(tmp_path: Path) -> None:
    include, target = make_headers(tmp_path), tmp_path / "syscr_spank.so"
    target.write_bytes(b"old")
    compiler = Compiler()
    built = PluginBuilder(compiler, SYSCR).build(str(tmp_path), include_dir=include, compiler="cc")
    assert (built.path, built.slurm_version) == (str(target), "24.11")
    assert built.plugstack_line == f"optional {target} syscr={SYSCR}"
    assert target.read_bytes() == b"plugin"
    assert {path.name for path in tmp_path.iterdir()} == {
        "include",
        "syscr_spank.so",
        "syscr-start",
    }


@pytest.mark.parametrize(
    ("name", "number", "version"),
    [
        ("slurm_version.h", "0x1a0505", "26.05"),
        ("slurm_version.h", "0x160508", "22.05"),
        ("slurm.h", "0x140b04", "20.11"),
    ],
)
def test_version_of_the_headers_is_read(
    tmp_path: Path, name: str, number: str, version: str
) -> None:
    assert read_header_version(make_headers(tmp_path, name=name, number=number)) == version


def test_headers_of_another_slurm_are_refused(tmp_path: Path) -> None:
    compiler = Compiler("slurm 25.05.1")
    with pytest.raises(ToolUnsupportedError, match=r"those of Slurm 24\.11, but Slurm 25\.05 runs"):
        PluginBuilder(compiler, SYSCR).build(
            str(tmp_path), include_dir=make_headers(tmp_path), compiler="cc"
        )
    assert [call[0] for call in compiler.calls] == ["sinfo"]


def test_missing_headers_are_told(tmp_path: Path) -> None:
    with pytest.raises(ToolUnsupportedError, match=r"no 'slurm/spank\.h' below") as caught:
        PluginBuilder(Compiler(), SYSCR).build("/opt", include_dir=str(tmp_path), compiler="cc")
    assert "libslurm-dev" in str(caught.value.hint)


def test_headers_without_a_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolUnsupportedError, match="do not tell Slurm's version"):
        read_header_version(make_headers(tmp_path, name="other.h"))


def test_failed_compilation_shows_its_end_and_leaves_the_old_plugin(tmp_path: Path) -> None:
    target = tmp_path / "syscr_spank.so"
    target.write_bytes(b"old")
    with pytest.raises(ToolUnsupportedError, match=r"(?s)'cc' failed.*\| line 29"):
        PluginBuilder(Compiler(error="".join(f"line {n}\n" for n in range(30))), SYSCR).build(
            str(tmp_path), include_dir=make_headers(tmp_path), compiler="cc"
        )
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("directory", ["/a b", "/a'b", "/a\nb", "/a#b"])
def test_path_that_plugstack_conf_cannot_hold_is_refused(tmp_path: Path, directory: str) -> None:
    with pytest.raises(ToolUnsupportedError, match=r"plugstack\.conf cannot hold"):
        PluginBuilder(Compiler(), SYSCR).build(
            directory, include_dir=make_headers(tmp_path), compiler="cc"
        )


def test_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    class Liar(Compiler):
        def run(self, argv: Any, **_: object) -> Completed:
            return Completed(tuple(argv), 0)

    with pytest.raises(ToolUnsupportedError, match=r"cannot put '.*' in place: No such file"):
        PluginBuilder(Liar(), SYSCR).build(
            str(tmp_path / "gone"), include_dir=make_headers(tmp_path), compiler="cc"
        )
