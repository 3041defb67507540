"""The one place that runs commands: no shell, no leftovers, nothing of the user's Slurm settings."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from syscr.errors import ToolMissingError
from syscr.ports import CommandTimeout
from syscr.process import runner
from syscr.process.runner import LocalRunner, build_environment


def sh(script: str, **options: Any) -> tuple[int | None, int | None, str, str]:
    """Return (exit code, signal, output, errors)."""
    done = LocalRunner().run(["sh", "-c", script], timeout_seconds=20, **options)
    return (done.exit_code, done.signal, done.stdout, done.stderr)


def ends(pid: int) -> bool:
    """Whether a process that was killed is gone soon: the kernel takes a moment."""
    deadline = time.monotonic() + 10
    while not is_gone(pid) and time.monotonic() < deadline:
        time.sleep(0.002)
    return is_gone(pid)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_status_and_both_streams_come_back() -> None:
    assert sh("echo out; echo err >&2; exit 3") == (3, None, "out\n", "err\n")
    assert sh("kill -9 $$") == (None, signal.SIGKILL, "", "")


def test_arguments_go_through_unchanged() -> None:
    words = ["a b", "", "$(touch x)", "'\"\n", "\udcff"]
    done = LocalRunner().run(["printf", "<%s>", *words])
    assert done.stdout == "<a b><><$(touch x)><'\"\n><\udcff>"
    assert done.argv == ("printf", "<%s>", *words)
    assert done.is_ok


def test_input_is_empty_unless_given() -> None:
    assert sh("cat") == (0, None, "", "")
    assert sh("cat", stdin="caf\u00e9 \udcff\n") == (0, None, "caf\u00e9 \udcff\n", "")


def test_large_input_and_output_do_not_block_each_other() -> None:
    text = "0123456789abcde\n" * 40000
    assert sh("cat", stdin=text) == (0, None, text, "")


def test_command_that_does_not_read_its_input_is_no_matter() -> None:
    assert sh("exit 4", stdin="x" * 1_000_000) == (4, None, "", "")


def test_lines_are_handed_out_as_they_come() -> None:
    lines: list[str] = []
    sh("printf 'one\\ntwo'; printf ' more\\nthree\\n'; echo err >&2", on_line=lines.append)
    assert lines == ["one", "two more", "three"]


def test_line_is_handed_out_before_the_command_ends(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    assert sh(
        f"echo first; read x < {gate}; echo $x", on_line=lambda line: open_once(gate, line)
    ) == (0, None, "first\ngo\n", "")


def open_once(gate: Path, line: str) -> None:
    if line == "first":
        gate.write_text("go\n")


def test_output_is_capped_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_CAPTURE_BYTES", 100_000)
    done = LocalRunner().run(["head", "-c", "5000000", "/dev/zero"], timeout_seconds=20)
    assert 100_000 <= len(done.stdout) <= 100_000 + (1 << 16)
    assert done.is_ok


def test_grandchild_that_holds_the_pipes_does_not_keep_us(tmp_path: Path) -> None:
    started = time.monotonic()
    result = sh("sleep 1000 & echo $!")
    assert time.monotonic() - started < 10
    code, _, out, _ = result
    assert code == 0
    os.kill(int(out), signal.SIGKILL)


def test_timeout_ends_the_whole_group_and_keeps_what_was_read(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; echo read so far; wait"
    with pytest.raises(CommandTimeout, match=r"'sh' did not end within 0\.3 s") as caught:
        LocalRunner().run(["sh", "-c", script], timeout_seconds=0.3)
    assert caught.value.completed.stdout == "read so far\n"
    assert caught.value.completed.exit_code is None
    assert all(ends(int(pid)) for pid in pids.read_text().split())


def test_command_that_ignores_term_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_GRACE_SECONDS", 0.1)
    with pytest.raises(CommandTimeout) as caught:
        LocalRunner().run(["sh", "-c", "trap '' TERM; echo $$; sleep 1000"], timeout_seconds=0.2)
    assert ends(int(caught.value.completed.stdout))
    assert caught.value.completed.signal == signal.SIGKILL


def test_command_that_closes_its_output_and_goes_on_is_still_limited() -> None:
    with pytest.raises(CommandTimeout):
        LocalRunner().run(["sh", "-c", "exec >&- 2>&-; exec sleep 1000"], timeout_seconds=0.2)


def test_default_limit_is_the_runners() -> None:
    with pytest.raises(CommandTimeout):
        LocalRunner(timeout_seconds=0.1).run(["sleep", "1000"])


def test_command_leads_a_session_of_its_own() -> None:
    _, _, out, _ = sh("cut -d' ' -f1,6 /proc/$$/stat")
    pid, session = out.split()
    assert pid == session


def test_directory_is_the_given_one(tmp_path: Path) -> None:
    assert sh("pwd", cwd=str(tmp_path)) == (0, None, f"{tmp_path}\n", "")
    with pytest.raises(ToolMissingError, match="No such file"):
        sh("pwd", cwd=str(tmp_path / "missing"))


def test_missing_command_is_named() -> None:
    with pytest.raises(ToolMissingError, match="cannot run 'no-such-tool'") as caught:
        LocalRunner().run(["no-such-tool"])
    assert caught.value.details["tool"] == "no-such-tool"


def test_file_that_is_no_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tool"
    path.write_bytes(b"\0\0")
    path.chmod(0o755)
    with pytest.raises(ToolMissingError, match="Exec format error"):
        LocalRunner().run([str(path)])


def test_command_is_looked_up_in_the_path_of_its_own_environment(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho mine\n")
    tool.chmod(0o755)
    done = LocalRunner().run(["tool"], env={"PATH": str(tmp_path)})
    assert done.stdout == "mine\n"


def test_users_slurm_settings_do_not_reach_our_commands() -> None:
    base = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JWT": "token",
        "SLURM_JOB_ID": "7",
        "SQUEUE_FORMAT": "%i",
        "SBATCH_PARTITION": "x",
        "SCANCEL_SIGNAL": "9",
        "SINFO_FORMAT": "x",
        "SACCT_FORMAT": "x",
        "SALLOC_ACCOUNT": "x",
        "LC_ALL": "de_DE",
        "SLURM_TIME_FORMAT": "%s",
        "HOME": "/h",
    }
    assert build_environment(base, {"SBATCH_X": "ours", "HOME": "/other"}) == {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JWT": "token",
        "LC_ALL": "C.UTF-8",
        "SLURM_TIME_FORMAT": "standard",
        "SBATCH_X": "ours",
        "HOME": "/other",
    }


def test_environment_of_a_command_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("LC_ALL", "xx")
    script = "echo $SQUEUE_FORMAT,$LC_ALL,$OURS"
    assert sh(script, env={"OURS": "x"}) == (0, None, ",C.UTF-8,x\n", "")


def test_descriptors_do_not_leak_into_commands() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    _, _, out, _ = sh("ls /proc/$$/fd")
    os.close(read_end)
    os.close(write_end)
    assert str(read_end) not in out.split()


def test_environment_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        sh("true", env={"SECRET": "hunter2"})
    assert "run ['sh', '-c', 'true']" in caplog.text
    assert "hunter2" not in caplog.text


def test_interpreter_of_the_tests_is_found() -> None:
    """A name with a slash is taken as it is."""
    assert LocalRunner().run([sys.executable, "-I", "-S", "-c", ""]).is_ok


def test_caller_that_is_interrupted_leaves_nothing_behind() -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalRunner().run(
            ["sh", "-c", "echo $$; sleep 1000"], timeout_seconds=20, on_line=interrupt
        )
    assert ends(pids[0])


def test_conversation_answers_line_by_line_and_ends_with_its_input() -> None:
    lines: list[str] = []
    script = "echo ready; while read word; do echo got $word; done; echo over; exit 3"
    talk = LocalRunner().start(["sh", "-c", script], on_line=lines.append)
    assert talk.wait(lambda: "ready" in lines, timeout_seconds=20)
    for word in ("one", "two"):
        talk.send(f"{word}\n")
        assert talk.wait(lambda word=word: f"got {word}" in lines, timeout_seconds=20)  # type: ignore[misc]
    done = talk.end(timeout_seconds=20)
    assert (done.exit_code, lines) == (3, ["ready", "got one", "got two", "over"])
    assert talk.end(timeout_seconds=20) is done


def test_conversation_with_a_command_that_has_ended_says_so() -> None:
    talk = LocalRunner().start(["sh", "-c", "echo bye >&2; exit 4"], on_line=lambda _: None)
    assert not talk.wait(lambda: False, timeout_seconds=20)
    talk.send("is anybody there?\n")
    done = talk.end(timeout_seconds=20)
    assert (done.exit_code, done.stderr) == (4, "bye\n")


def test_conversation_past_its_limit_ends_the_whole_group() -> None:
    lines: list[str] = []
    talk = LocalRunner().start(["sh", "-c", "sleep 300 & echo $!; wait"], on_line=lines.append)
    assert talk.wait(lambda: bool(lines), timeout_seconds=20)
    with pytest.raises(CommandTimeout):
        talk.wait(lambda: False, timeout_seconds=0.05)
    assert ends(int(lines[0]))


def test_conversation_that_is_interrupted_leaves_nothing_behind() -> None:
    lines: list[str] = []

    def interrupt() -> bool:
        if lines:
            raise KeyboardInterrupt
        return False

    talk = LocalRunner().start(["sh", "-c", "sleep 300 & echo $!; wait"], on_line=lines.append)
    with pytest.raises(KeyboardInterrupt):
        talk.wait(interrupt, timeout_seconds=20)
    assert ends(int(lines[0]))
