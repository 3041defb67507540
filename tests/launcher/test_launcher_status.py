"""How a program starts and ends under the launcher: as it would without it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from launcher_support import (
    COUNTER,
    NOBODY,
    SLEEPER,
    Laboratory,
    eventually,
    find_by_argument,
    is_gone,
)

QUICK_STARTS = 200


@pytest.mark.parametrize("code", [0, 1, 7, 40, 126, 255])
def test_exit_code_is_the_programs_own(lab: Laboratory, code: int) -> None:
    assert lab.run("/bin/sh", "-c", f"exit {code}") == (code, "", "")


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "USR1", "HUP", "PIPE", "XCPU"])
def test_signal_that_ends_the_program_ends_the_launcher(lab: Laboratory, name: str) -> None:
    status, _, errors = lab.run("/bin/sh", "-c", f"kill -{name} $$; sleep 1000")
    assert status == -int(signal.Signals[f"SIG{name}"])
    assert errors == ""


def test_ignored_sigchld_of_the_caller_hides_no_status(lab: Laboratory) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # survives exec, unlike a handler
    try:
        launched = lab.shell(COUNTER)
    finally:
        signal.signal(signal.SIGCHLD, before)
    launched.expect("ready")
    launched.send(signal.SIGUSR2)
    assert launched.end() == (5, "total 0\n", "")


def test_signalled_program_leaves_no_core_of_the_launcher(binary: str, tmp_path: Path) -> None:
    """Slurm would collect two cores of one crash, and the second says nothing."""
    limits = "ulimit -c unlimited 2>/dev/null; cd " + str(tmp_path)
    subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"{limits}; {binary} run --task {{}} -- /bin/sh -c 'ulimit -c 0; kill -SEGV $$'",
        ],
        check=False,
        capture_output=True,
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_program_ends_with_127(lab: Laboratory) -> None:
    status, _, errors = lab.run("/no/such/program")
    assert status == 127
    assert errors == "syscr: cannot run '/no/such/program': No such file or directory\n"


def test_program_that_may_not_be_run_ends_with_126(lab: Laboratory, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("no program")
    status, _, errors = lab.run(str(file))
    assert status == 126
    assert "Permission denied" in errors


def test_quick_programs_never_lose_their_status(lab: Laboratory) -> None:
    """The program may have ended before the launcher looks."""
    mode = "--namespaces" if lab.namespaces else ""
    loop = (
        f"n=0; while [ $n -lt {QUICK_STARTS} ]; do {lab.binary} run {mode} --task {{}} -- true "
        "|| echo start $n: $?; n=$((n+1)); done"
    )
    done = subprocess.run(["/bin/sh", "-c", loop], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_program_is_looked_up_in_path_and_gets_its_arguments_unchanged(lab: Laboratory) -> None:
    words = ("a b", "", "'\"$(touch x)\n", "--", "--task", "\udcff")
    script = 'for word; do printf "<%s>" "$word"; done'
    launched = lab.start("sh", "-c", script, "name", *words)
    out, _ = launched.process.communicate()
    assert out == b"".join(b"<" + os.fsencode(word) + b">" for word in words)


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        ([], "no role"),
        (["dance"], "unknown role"),
        (["run"], "no program"),
        (["run", "--"], "no program"),
        (["run", "--task"], "unknown option"),
        (["run", "--colour", "red", "--", "true"], "unknown option"),
    ],
)
def test_wrong_arguments_are_refused_with_2(binary: str, argv: list[str], problem: str) -> None:
    done = subprocess.run([binary, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert problem in done.stderr


def test_version_is_one_word(binary: str) -> None:
    done = subprocess.run([binary, "version"], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 1


def test_orphans_end_with_the_task(lab: Laboratory) -> None:
    mark = f"{os.getpid()}.75"
    launched = lab.shell(f"setsid sleep 86400 {mark} & echo started; exit 3")
    launched.expect("started")
    assert launched.end()[0] == 3
    eventually(lambda: not find_by_argument(mark), "the orphan ends")


def test_orphans_of_a_program_that_ends_at_once_end_too(plain: Laboratory) -> None:
    """The program may be over before its launcher is ready for it."""
    mark = f"{os.getpid()}.275"
    for _ in range(40):
        plain.run("/bin/sh", "-c", f"setsid sleep 86400 {mark} >/dev/null 2>&1 & exit 0")
    eventually(lambda: not find_by_argument(mark), "the orphans end")


def test_orphan_that_outlives_its_parent_is_reaped(lab: Laboratory) -> None:
    launched = lab.shell("(true &) ; (true &) ; echo ready; exec sleep 1000")
    launched.expect("ready")
    eventually(
        lambda: not any(process.is_zombie for process in launched.tree()), "no zombie is left"
    )


def test_killed_launcher_takes_the_program_with_it(lab: Laboratory) -> None:
    launched = lab.shell(SLEEPER)
    launched.expect("ready")
    pids = launched.control.pids()
    assert pids
    launched.send(signal.SIGKILL)
    eventually(lambda: all(map(is_gone, pids)), "the program ends")
    launched.expect("")  # nobody holds the pipe open


def test_term_is_passed_on_once(lab: Laboratory) -> None:
    launched = lab.shell(COUNTER)
    launched.expect("ready")
    launched.send(signal.SIGTERM)
    launched.expect("got")
    launched.send(signal.SIGUSR2)
    launched.expect("total 1")
    assert launched.end()[0] == 5


def test_term_to_the_whole_tree_arrives_once(lab: Laboratory) -> None:
    launched = lab.shell(COUNTER)
    launched.expect("ready")
    eventually(launched.is_watched, "it knows what the whole tree gets")
    launched.send_tree(signal.SIGTERM)
    launched.expect("got")
    launched.send(signal.SIGUSR2)
    launched.expect("total 1")


def test_program_without_handler_dies_of_the_signal_passed_on(lab: Laboratory) -> None:
    launched = lab.shell(SLEEPER)
    launched.expect("ready")
    launched.send(signal.SIGTERM)
    assert launched.end()[0] == -signal.SIGTERM


def test_program_starts_with_default_dispositions(lab: Laboratory) -> None:
    """Python, which starts the launcher, ignores PIPE and XFSZ."""
    launched = lab.start("grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status", restore_signals=False)
    _, out, _ = launched.end()
    # 32 and 33 are glibc's own, which lets nobody change them; make ignores them in all that it starts
    internal = 1 << 31 | 1 << 32
    assert [int(line.split()[1], 16) & ~internal for line in out.splitlines()] == [0, 0]


def test_program_gets_the_callers_descriptors_and_no_others(lab: Laboratory) -> None:
    read_end, write_end = os.pipe()
    launched = lab.start("/bin/sh", "-c", "ls /proc/$$/fd", pass_fds=(read_end,))
    os.close(write_end)
    _, out, _ = launched.end()
    os.close(read_end)
    assert sorted(map(int, out.split())) == [0, 1, 2, read_end]


def test_program_leads_a_process_group(lab: Laboratory) -> None:
    _, out, _ = lab.run("/bin/sh", "-c", "cut -d' ' -f1,5 /proc/$$/stat")
    pid, group = out.split()
    assert pid == group


def test_no_randomize_switches_address_randomisation_off(lab: Laboratory) -> None:
    _, out, _ = lab.run("cat", "/proc/self/personality", options=["--no-randomize"])
    assert int(out, 16) & 0x0040000
    _, out, _ = lab.run("cat", "/proc/self/personality")
    assert not int(out, 16) & 0x0040000


def test_ready_file_is_written_once_the_program_runs(lab: Laboratory, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    launched = lab.start("/bin/sh", "-c", SLEEPER, options=["--ready", str(ready)])
    launched.expect("ready")
    eventually(ready.exists, "the file is there")
    assert ready.read_text() == "started\n"
    assert list(tmp_path.iterdir()) == [ready]


def test_program_in_namespaces_is_pid_3_below_init(inside: Laboratory) -> None:
    launched = inside.shell("echo $$ $PPID $(cat /proc/1/comm /proc/2/comm); exec sleep 1000")
    launched.expect("3 2 syscr-pid1 syscr-init")


def test_program_in_namespaces_has_no_capabilities(as_nobody: Laboratory) -> None:
    _, out, _ = as_nobody.run("grep", "-E", "^Cap(Prm|Eff|Inh|Amb)", "/proc/self/status")
    assert {line.split()[1] for line in out.splitlines()} == {"0" * 16}


def test_files_of_the_program_keep_their_owner_in_namespaces(
    inside: Laboratory, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    status, out, _ = inside.run("/bin/sh", "-c", f"echo x > {file} && id -u")
    assert (status, int(out)) == (0, os.geteuid())
    assert file.stat().st_uid == os.geteuid()


def test_output_file_is_appended_to_in_namespaces(
    binary: str, inside: Laboratory, tmp_path: Path
) -> None:
    """CRIU checks the size of files that are not; the job's output is written by others, too."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        subprocess.run(
            [*f"{binary} run --namespaces --task {{}} -- grep flags /proc/self/fdinfo/1".split()],
            stdout=file,
            check=True,
        )
    assert int(output.read_text().split()[1], 8) & os.O_APPEND


def test_ordinary_user_gets_namespaces_and_the_same_answers(as_nobody: Laboratory) -> None:
    assert as_nobody.run("/bin/sh", "-c", "id -u; exit 7") == (7, f"{NOBODY}\n", "")
    launched = as_nobody.shell(COUNTER)
    launched.expect("ready")
    launched.send(signal.SIGTERM)
    launched.expect("got")
    assert launched.control.run_inside(["true"], timeout_seconds=10).is_ok
    launched.control.kill()
    assert launched.control.state() == "parked"
    launched.send(signal.SIGTERM)
    assert launched.end()[0] == -signal.SIGTERM


def test_failed_restore_ends_with_40_and_shows_the_tools_errors(
    inside: Laboratory, tmp_path: Path
) -> None:
    ready, tool_log = tmp_path / "ready", tmp_path / "restore.log"
    script = (
        f"echo '(0.1) Error (a.c:1): Can not map' >> {tool_log}; echo '(0.2) fine' >> {tool_log}; "
        f"echo 'Error (net.c): net: Unexpected error: -1' >> {tool_log}; exit 1"
    )
    launched = inside.start(
        "/bin/sh",
        "-c",
        script,
        role="restore",
        options=["--ready", str(ready), "--log", str(tool_log)],
    )
    status, out, errors = launched.end()
    assert (status, out) == (40, "")
    assert ready.read_text() == "failed\n"
    assert "| (0.1) Error (a.c:1): Can not map\n" in errors
    assert "fine" not in errors
    assert "Unexpected" not in errors
    assert "nothing of the image was changed" in errors
