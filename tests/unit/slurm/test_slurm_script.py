from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.errors import RequestError
from syscr.slurm.options import find_option
from syscr.slurm.script import (
    build_wrap_script,
    build_wrapper,
    check_script,
    read_sbatch_lines,
    read_sbatch_options,
)

SCRIPT = """#!/bin/bash -l
# a comment
#SBATCH -N2 --job-name="my job" # two nodes
#SBATCH --output=out\\ file.txt

  # indented comment
#SBATCH --checkpoint-dir=/c --time=5
#SBATCH --checkpoint=10
##SBATCH --mem=1
echo start
#SBATCH --ntasks=99
"""


def _words(line: str) -> list[str]:
    return [word for found in read_sbatch_lines(f"#!/bin/sh\n{line}\n") for word in found.words]


def test_lines_before_the_first_command_count() -> None:
    options = read_sbatch_options(SCRIPT)
    assert find_option(options, "nodes") == "2"
    assert find_option(options, "job-name") == "my job"
    assert find_option(options, "output") == "out file.txt"
    assert find_option(options, "checkpoint-dir") == "/c"
    assert find_option(options, "ntasks") is None
    assert find_option(options, "mem") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("#SBATCH -N2", ["-N2"]),
        ("#SBATCH-N2", ["-N2"]),
        ("#SBATCH\t-N\t2  ", ["-N", "2"]),
        ("#SBATCH -J 'a b'\"c d\"e", ["-J", "a bc de"]),
        ('#SBATCH -J a\\ b\\"c', ["-J", 'a b"c']),
        ("#SBATCH -J 'it\\'s'", ["-J", "it's"]),
        ("#SBATCH -N2 # -N3", ["-N2"]),
        ("#SBATCH -J a#b", ["-J", "a"]),
        ("#SBATCH -J a\\#b", ["-J", "a#b"]),
        ("#SBATCH -J '' -N2", ["-J"]),
        ("#SBATCH", []),
        ("#SLURM -N2", ["-N2"]),
        ("# SBATCH -N2", []),
        (" #SBATCH -N2", []),
        ("##SBATCH -N2", []),
    ],
)
def test_words_are_slurms(line: str, words: list[str]) -> None:
    assert _words(line) == words


def test_option_and_argument_on_two_lines_are_read() -> None:
    options = read_sbatch_options("#!/bin/sh\n#SBATCH -J\n#SBATCH name\n")
    assert find_option(options, "job-name") == "name"


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("#SBATCH -J 'a", "unmatched '"),
        ("#SBATCH hetjob", "heterogeneous"),
        ("#SBATCH packjob", "heterogeneous"),
        ("#SBATCH x -N2", "invalid directive"),
        ("#SBATCH --nosuch", "unknown option"),
    ],
)
def test_line_that_sbatch_refuses_is_refused(line: str, match: str) -> None:
    with pytest.raises(RequestError, match=match):
        read_sbatch_options(f"#!/bin/sh\n{line}\n")


@pytest.mark.parametrize("script", ["", "echo x\n", "#!/bin/sh\r\necho\r\n", "#!/bin/sh\n\0"])
def test_script_that_sbatch_refuses_is_refused(script: str) -> None:
    with pytest.raises(RequestError):
        check_script(script)


def _wrap(script: str = SCRIPT, **options: object) -> str:
    values = {
        "syscr": "/opt/syscr/bin/syscr",
        "run_options": ["--checkpoint-dir", "/c"],
        "copy_path": "/c/copy.sh",
        "arguments": ["a b"],
    } | options
    return build_wrapper(script, **values)  # type: ignore[arg-type]


def test_wrapper_is_golden() -> None:
    assert _wrap() == (
        "#!/bin/sh\n"
        "# a comment\n"
        '#SBATCH -N2 --job-name="my job" # two nodes\n'
        "#SBATCH --output=out\\ file.txt\n"
        "#SBATCH --time=5\n"
        "##SBATCH --mem=1\n"
        "# Submitted by 'syscr sbatch': starts the script above through 'syscr run', which makes it\n"
        "# checkpointable, and on a restart brings it back from its image instead.\n"
        "if [ -x /opt/syscr/bin/syscr ]; then\n"
        "exec /opt/syscr/bin/syscr run --checkpoint-dir /c -- /c/copy.sh 'a b'\n"
        "fi\n"
        "echo 'syscr: not installed on this node; the job runs without checkpoints' >&2\n"
        "exec /c/copy.sh 'a b'\n"
    )


def test_wrapper_asks_slurm_for_the_same_without_ours() -> None:
    before = [option for option in read_sbatch_options(SCRIPT) if not option.is_ours]
    after = read_sbatch_options(_wrap())
    assert [(option.name, option.value) for option in after] == [
        (option.name, option.value) for option in before
    ]


def test_wrapper_keeps_directives_of_other_systems() -> None:
    wrapper = _wrap("#!/bin/sh\n#PBS -l walltime=1:00\n#BB create\n#DW jobdw\nrun\n")
    assert wrapper.startswith("#!/bin/sh\n#PBS -l walltime=1:00\n#BB create\n#DW jobdw\n")


@given(
    st.text(
        st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1, max_size=20
    )
)
def test_wrapper_rewrites_any_value_so_that_it_is_read_back(value: str) -> None:
    quoted = "".join(f"\\{letter}" for letter in value if letter not in "\r\v\f")
    if not quoted:
        return
    script = f"#!/bin/sh\n#SBATCH --checkpoint-dir=/c -J {quoted}\nrun\n"
    expected = find_option(read_sbatch_options(script), "job-name")
    assert find_option(read_sbatch_options(_wrap(script)), "job-name") == expected


@pytest.mark.parametrize("has_syscr", [True, False])
def test_wrapper_runs_with_and_without_syscr(tmp_path: Path, has_syscr: bool) -> None:
    folder = tmp_path / "a 'b' \"c\" $(touch pwned) \n`d`"
    folder.mkdir()
    syscr, copy = folder / "syscr", folder / "copy.sh"
    if has_syscr:
        syscr.write_text('#!/bin/sh\nprintf "%s|" syscr "$@"\n')
        syscr.chmod(0o755)
    copy.write_text('#!/bin/sh\nprintf "%s|" copy "$@"\n')
    copy.chmod(0o755)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(
        _wrap(
            syscr=str(syscr),
            run_options=["--checkpoint-dir", str(folder)],
            copy_path=str(copy),
            arguments=["x y", "\n", "$HOME", ""],
        )
    )
    done = subprocess.run(
        ["sh", str(wrapper)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    arguments = ["x y", "\n", "$HOME", ""]
    words = ["syscr", "run", "--checkpoint-dir", str(folder), "--", str(copy), *arguments]
    assert done.stdout == "".join(
        f"{word}|" for word in (words if has_syscr else ["copy", *arguments])
    )
    assert ("runs without checkpoints" in done.stderr) is not has_syscr
    assert not os.path.exists(tmp_path / "pwned")


def test_wrap_command_becomes_slurms_script() -> None:
    assert build_wrap_script("sleep 5") == (
        "#!/bin/sh\n# This script was created by sbatch --wrap.\n\nsleep 5\n"
    )
