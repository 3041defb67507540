"""The program that starts syscr for the plugin, with a whole syscr and with all kinds of broken ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from syscr.spank import build_compile_starter

DIRECT = (
    f"#!{sys.executable} -E\n"  # two words: the starter does not take it for a script of Python's
)
WITHOUT = "; the program runs without checkpoints\n"
PROGRAM = ("sh", "-c", 'echo "$1"; exit 7', "sh", "--")


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("starter") / "syscr-start")
    subprocess.run(build_compile_starter("cc", path), check=True, timeout=60)
    return path


def write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def start(
    starter: str, command: str, *program: str, seconds: int = 30, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a program as the plugin has Slurm run it."""
    argv = [starter, str(seconds), command, "run", "--checkpoint-dir", "/not/there", "--"]
    return subprocess.run(
        [*argv, *(program or PROGRAM)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={**os.environ, **env},
    )


def write_python(folder: Path, *options: str) -> str:
    """Return a syscr whose Python runs with these options."""
    words = " ".join((sys.executable, *options))
    python = write(folder / "python3", f'#!/bin/sh\nexec {words} "$@"\n')
    return write(folder / "syscr", f"#!{python}\n")


def test_whole_syscr_decides_and_the_program_is_the_task(starter: str, tmp_path: Path) -> None:
    command = write_python(tmp_path)
    show = ("sh", "-c", "echo $$; cat /proc/$$/task/$$/children; env | grep -c ^SYSCR_STA; exit 7")
    argv = [starter, "30", command, "run", "--", *show]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as task:
        stdout, stderr = task.communicate(timeout=60)
    assert task.returncode == 7
    assert stdout.split()[0] == str(task.pid)
    assert stdout.split()[-1] == "0"
    assert stderr == "syscr: not inside a Slurm job: the program runs without checkpoints\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "is broken on this node (exit code 3)"),
        ("#!/bin/sh\nexit 0\n", "is broken on this node (exit code 0)"),
        ("#!/bin/sh\nkill -SEGV $$\n", "is broken on this node (ended by signal 11)"),
        ("no program\n", "is broken on this node (Exec format error)"),
        (None, "is broken on this node (No such file or directory)"),
        (
            "#!/bin/sh\nexec sleep 600\n",
            "hangs on this node: it has not started the program within 1 s",
        ),
        (
            f"{DIRECT}import os\nos.write(int(os.environ['SYSCR_STARTER']), b'X9\\0a\\0')\n",
            "it is not complete",
        ),
    ],
)
def test_broken_syscr_is_told_and_the_program_runs(
    starter: str, tmp_path: Path, text: str | None, reason: str
) -> None:
    command = str(tmp_path / "syscr")
    if text is not None:
        write(tmp_path / "syscr", text)
    done = start(starter, command, seconds=1 if "sleep" in (text or "") else 30)
    assert (done.returncode, done.stdout) == (7, "--\n")
    assert done.stderr.startswith("syscr: ")
    assert command in done.stderr
    assert done.stderr.endswith(f"{reason}{WITHOUT}")
    assert done.stderr.count("\n") == 1


def test_broken_installation_is_told_in_one_line(starter: str, tmp_path: Path) -> None:
    command = write_python(tmp_path, "-S")  # -S: no syscr there
    done = start(starter, command)
    assert (done.returncode, done.stdout) == (7, "--\n")
    assert done.stderr == (
        f"syscr: '{command}' is broken on this node "
        f"(ModuleNotFoundError: No module named 'syscr'){WITHOUT}"
    )
    assert start(starter, command, SLURM_LOCALID="1").stderr == ""


def test_fault_in_syscr_shows_where_and_the_program_runs(starter: str, tmp_path: Path) -> None:
    folder = tmp_path / "modules" / "syscr"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text("def main():\n    return {}['key']\n")
    python = write(
        tmp_path / "python3",
        f'#!/bin/sh\nshift\nexport PYTHONPATH={folder.parent}\nexec {sys.executable} "$@"\n',
    )
    done = start(starter, write(tmp_path / "syscr", f"#!{python}\n"))
    assert (done.returncode, done.stdout) == (7, "--\n")
    assert "Traceback" in done.stderr
    assert done.stderr.endswith(f"syscr: a fault in '{tmp_path}/syscr' (KeyError: 'key'){WITHOUT}")


def test_end_that_syscr_has_decided_on_is_the_end(starter: str, tmp_path: Path) -> None:
    text = f"{DIRECT}import os, time\nos.write(int(os.environ['SYSCR_STARTER']), b'D')\n"
    later = "time.sleep(1.5)\n"  # once decided it has the time that it needs
    command = write(tmp_path / "syscr", f"{text}{later}raise SystemExit(40)\n")
    done = start(starter, command, seconds=1)
    assert (done.returncode, done.stdout, done.stderr) == (40, "", "")
    command = write(tmp_path / "syscr", f"{text}os.kill(os.getpid(), 9)\n")
    assert start(starter, command).returncode == 128 + 9


def test_all_that_is_handed_over_arrives(starter: str, tmp_path: Path) -> None:
    """Directory, variables, descriptors at their numbers, and a helper that is the program's child."""
    text = f"""{DIRECT}
import os
from syscr.process.replace import replace_process, serve_starter, start_sidecar
serve_starter(os.environ.pop("SYSCR_STARTER"))
os.chdir({str(tmp_path)!r})
for number in (3, 20):
    reading, writing = os.pipe()
    os.write(writing, b"through %d" % number)
    os.close(writing)
    os.dup2(reading, number)
    os.set_inheritable(number, True)
helper = start_sidecar(["sleep", "600"], env=os.environ, log_path="/dev/null", cwd="/")
show = 'echo $ODD; pwd; cat <&3; head -c 99 /dev/fd/20; echo; ps -o ppid= -p $0; kill -9 $0; exit 9'
replace_process(["sh", "-c", show, str(helper)], env={{**os.environ, "ODD": "a  b"}})
"""
    argv = [starter, "30", write(tmp_path / "syscr", text), "run", "--", "false"]
    with subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as task:
        stdout, stderr = task.communicate(timeout=60)
    assert (task.returncode, stderr) == (9, "")
    odd, directory, through, parent = stdout.splitlines()
    assert (odd, directory) == ("a b", str(tmp_path))
    assert through == "through 3through 20"
    assert parent.strip() == str(task.pid)


def test_helpers_of_a_syscr_that_hangs_are_ended(starter: str, tmp_path: Path) -> None:
    command = write(tmp_path / "syscr", "#!/bin/sh\nsleep 600 &\nexec sleep 600\n")
    done = start(starter, command, "sh", "-c", "cat /proc/$$/task/$$/children", seconds=1)
    # the shell's own `cat` is all that there is
    assert len(done.stdout.split()) <= 1


def test_before_23_11_the_rest_is_in_variables(starter: str, tmp_path: Path) -> None:
    command = write(tmp_path / "syscr", f"{DIRECT}import sys\nprint(sys.argv[1:], flush=True)\n")
    variables = {
        "SYSCR_TASK_PROGRAM": "sh",
        "SYSCR_TASK_COMMAND": command,
        "SYSCR_TASK_SECONDS": "30",
        "SYSCR_TASK_OPTION_0": "--checkpoint-dir",
        "SYSCR_TASK_OPTION_1": "/a b\n",
    }
    script = 'env | grep -c SYSCR_; echo "$0"; exit 7'
    done = subprocess.run(
        [starter, "-c", script, "an argument"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], **variables},
    )
    assert done.returncode == 7
    expected = ["run", "--checkpoint-dir", "/a b\n", "--", "sh", "-c", script, "an argument"]
    assert done.stdout == f"{expected}\n0\nan argument\n"


@pytest.mark.parametrize("words", [[], ["30", "/x", "run"], ["30", "/x", "status", "--", "true"]])
def test_other_command_lines_are_refused(starter: str, words: list[str]) -> None:
    done = subprocess.run([starter, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "syscr-start: this is for the SPANK plugin of syscr alone\n"
