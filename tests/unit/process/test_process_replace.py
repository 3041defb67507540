"""Becoming another program, starting what it inherits, and passing through."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syscr.errors import ToolMissingError
from syscr.process.attached import run_attached
from syscr.process.replace import (
    find_executable,
    replace_process,
    replace_user,
    start_sidecar,
)

WAIT_SECONDS = 20.0


def run_python(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code of ours in another process, which it may replace."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
        **options,
    )


@pytest.fixture
def folders(tmp_path: Path) -> str:
    """A PATH with a tool that may not be run, a folder of its name, and the tool itself."""
    for name in ("plain", "folder", "good"):
        (tmp_path / name).mkdir()
    (tmp_path / "plain" / "tool").write_text("no program")
    (tmp_path / "folder" / "tool").mkdir()
    good = tmp_path / "good" / "tool"
    good.write_text('#!/bin/sh\necho "$@"\n')
    good.chmod(0o755)
    return ":".join(str(tmp_path / name) for name in ("missing", "", "plain", "folder", "good"))


def test_first_executable_file_of_the_path_is_found(folders: str, tmp_path: Path) -> None:
    assert find_executable("tool", folders) == str(tmp_path / "good" / "tool")


def test_own_path_is_the_default(
    folders: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", folders)
    assert find_executable("tool") == str(tmp_path / "good" / "tool")


def test_name_with_a_slash_is_not_looked_up(folders: str, tmp_path: Path) -> None:
    good = str(tmp_path / "good" / "tool")
    assert find_executable(good, "") == good
    for path in (str(tmp_path / "plain" / "tool"), str(tmp_path / "folder" / "tool")):
        with pytest.raises(ToolMissingError):
            find_executable(path, folders)


def test_current_directory_is_never_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolMissingError, match="no such executable in PATH"):
        find_executable("tool", "::")


def test_process_becomes_the_program_with_inheritable_descriptors() -> None:
    code = (
        "import os;from syscr.process.replace import replace_process;"
        "r,w=os.pipe();os.write(w,b'through\\n');os.close(w);os.set_inheritable(r,True);"
        "print(os.getpid(),flush=True);"
        "replace_process(['sh','-c',f'echo $$; cat <&{r}; echo $ONE$TWO'],env={'ONE':'1','PATH':'/bin'})"
    )
    done = run_python(code, env={**os.environ, "TWO": "2"})
    before, after, text, variables = done.stdout.splitlines()
    assert (before, text, variables) == (after, "through", "1")


def test_program_that_cannot_be_run_leaves_us_alive(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    code = (
        "import sys;from syscr.errors import ToolMissingError;"
        "from syscr.process.replace import replace_process\n"
        "try: replace_process([sys.argv[1]])\n"
        "except ToolMissingError as error: print(error.message)"
    )
    assert "No such file or directory" in run_python(code, str(broken)).stdout
    assert "no such executable" in run_python(code, "no-such-tool").stdout


def wait_for(pid: int) -> int:
    """Reap a sidecar."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    raise AssertionError("the sidecar does not end")


def test_sidecar_gets_log_directory_and_environment(tmp_path: Path) -> None:
    log = tmp_path / "sidecar.log"
    private = os.open(tmp_path, os.O_RDONLY)
    before = os.getcwd()
    pid = start_sidecar(
        ["sh", "-c", "pwd; cat; echo $ONE >&2; cut -d' ' -f1,6 /proc/$$/stat; ls /proc/$$/fd"],
        env={"PATH": "/bin:/usr/bin", "ONE": "1"},
        log_path=str(log),
        cwd=str(tmp_path),
    )
    assert wait_for(pid) == 0
    os.close(private)
    folder, one, session, *descriptors = log.read_text().splitlines()
    assert (folder, one, session) == (str(tmp_path), "1", f"{pid} {pid}")
    assert str(private) not in descriptors
    assert log.stat().st_mode & 0o777 == 0o600
    assert os.getcwd() == before


def test_sidecars_log_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    pid = start_sidecar(
        ["echo", "after"], env=dict(os.environ), log_path=str(log), cwd=str(tmp_path)
    )
    assert wait_for(pid) == 0
    assert log.read_text() == "before\nafter\n"


@pytest.mark.parametrize("is_same_number", [False, True])
def test_sidecar_gets_the_descriptor_under_the_number_it_expects(
    tmp_path: Path, is_same_number: bool
) -> None:
    read_end, write_end = os.pipe()
    number = read_end if is_same_number else 77
    pid = start_sidecar(
        ["sh", "-c", f"cat /proc/self/fd/{number}"],
        env=dict(os.environ),
        log_path=str(tmp_path / "log"),
        cwd=str(tmp_path),
        listen_fd=(read_end, number),
    )
    os.close(read_end)
    os.write(write_end, b"through")
    os.close(write_end)
    assert wait_for(pid) == 0
    assert (tmp_path / "log").read_text() == "through"


def test_sidecar_blocks_every_signal_but_kill(tmp_path: Path) -> None:
    """Slurm signals every process of a step; a program under DMTCP dies with its coordinator."""
    pid = start_sidecar(
        ["sleep", "1000"], env=dict(os.environ), log_path=str(tmp_path / "log"), cwd=str(tmp_path)
    )
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGUSR1)
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = int(status.partition("SigBlk:\t")[2].split()[0], 16)
    assert all(blocked >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGHUP, 34 + 6))
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(pid) == -signal.SIGKILL


def test_sidecar_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    options = {"env": {"PATH": "/bin"}, "log_path": str(tmp_path / "log"), "cwd": str(tmp_path)}
    with pytest.raises(ToolMissingError, match="no-such-tool"):
        start_sidecar(["no-such-tool"], **options)  # type: ignore[arg-type]
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    before = os.getcwd()
    with pytest.raises(ToolMissingError, match="No such file"):
        start_sidecar([str(broken)], **options)  # type: ignore[arg-type]
    assert os.getcwd() == before


def test_pass_through_returns_the_status() -> None:
    assert run_attached(["sh", "-c", "exit 7"]) == 7
    assert run_attached(["sh", "-c", "kill -9 $$"]) == 128 + 9


def test_pass_through_keeps_streams_and_environment(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "mine")
    assert (
        run_attached(["sh", "-c", "echo $SBATCH_PARTITION $MORE; echo err >&2"], env={"MORE": "x"})
        == 0
    )
    assert capfd.readouterr() == ("mine x\n", "err\n")


def test_pass_through_names_what_is_missing() -> None:
    with pytest.raises(ToolMissingError, match="no-such-tool"):
        run_attached(["no-such-tool"])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_signals_are_passed_on_and_handlers_put_back(name: str) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)
    script = f"trap 'exit 9' {name.removeprefix('SIG')}; kill -{name.removeprefix('SIG')} $PPID; sleep 5 & wait"
    assert run_attached(["sh", "-c", script]) == 9
    assert signal.getsignal(number) is before


def test_interrupt_is_left_to_the_command() -> None:
    """The terminal tells both; srun asks twice before it ends a job."""
    before = signal.getsignal(signal.SIGINT)
    assert run_attached(["sh", "-c", "kill -INT $PPID; exit 3"]) == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_failed_exec_raises_and_we_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(ToolMissingError, match="No such file"):
        replace_process([str(broken)])
    with pytest.raises(ToolMissingError, match="no such executable"):
        replace_process(["true"], env={"PATH": str(tmp_path)})


def test_user_who_does_not_exist_is_named() -> None:
    with pytest.raises(ToolMissingError, match="there is no user 'nobody-of-this-name'"):
        replace_user("nobody-of-this-name", ["true"])


def test_rights_are_given_up_before_the_program_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups first: an ordinary user may not change them any more."""
    entry = pwd.getpwuid(0)
    acts: list[tuple[object, ...]] = []
    for name in ("initgroups", "setresgid", "setresuid"):
        monkeypatch.setattr(os, name, lambda *words, name=name: acts.append((name, *words)))
    monkeypatch.setattr(
        "syscr.process.replace.replace_process", lambda argv, env: acts.append((*argv, env))
    )
    monkeypatch.setenv("LANG", "de_DE")
    monkeypatch.setenv("LD_PRELOAD", "/evil.so")
    become: Callable[..., object] = replace_user  # which would not return
    become(entry.pw_name, ["syscr", "status"])
    *rights, (*words, env) = acts
    assert rights == [
        ("initgroups", entry.pw_name, entry.pw_gid),
        ("setresgid", *[entry.pw_gid] * 3),
        ("setresuid", *[entry.pw_uid] * 3),
    ]
    assert words == ["syscr", "status"]
    assert isinstance(env, dict)
    assert env["HOME"] == entry.pw_dir
    assert env["LANG"] == "de_DE"
    assert "LD_PRELOAD" not in env


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_really_becomes_the_user() -> None:
    code = "from syscr.process.replace import replace_user; replace_user('nobody', ['id'])"
    out = run_python(code).stdout
    assert out.startswith("uid=65534(nobody)")
    assert "root" not in out
