"""The client of the launcher's socket against launchers that lie, stutter and die."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from syscr import wire
from syscr.errors import CheckpointError, CheckpointTimeoutError, SyscrError, ToolReplyError
from syscr.job import control, fresh
from syscr.job.control import LauncherControl
from syscr.model import TaskSpec
from syscr.procfs.tree import Process

SPEC = TaskSpec(12, "0", 3, "c1", "12", "/shared", "criu", argv=("prog", "\udcff"))
Script = Callable[[socket.socket, bytes], None]


class FakeLauncher:
    """A listening socket that plays one reply for each connection.

    Attributes:
        control: The client under test.
        requests: What it sent, in order.
    """

    def __init__(self) -> None:
        self._listener = fresh.open_control()
        name = self._listener.getsockname()[1:].decode()
        self.control = LauncherControl(replace(SPEC, control=name), os.getpid())
        self.requests: list[bytes] = []
        self._threads: list[threading.Thread] = []

    def plays(self, script: bytes | Script) -> LauncherControl:
        """Answer the next connection."""
        thread = threading.Thread(target=self._serve, args=(script,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return self.control

    def refuse(self, count: int) -> None:
        """Take the next connections and close them."""
        for _ in range(count):
            self._listener.accept()[0].close()

    def plays_after(self, first: threading.Thread, script: bytes) -> LauncherControl:
        """Answer the next connection once something else is done."""

        def serve() -> None:
            first.join(20)
            self._serve(script)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self.control

    def close(self) -> None:
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def _serve(self, script: bytes | Script) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        with link:
            request = link.recv(1 << 16)
            self.requests.append(request)
            with contextlib.suppress(OSError):  # the client may have heard enough
                if callable(script):
                    script(link, request)
                else:
                    link.sendall(script)


@pytest.fixture
def launcher() -> Iterator[FakeLauncher]:
    fake = FakeLauncher()
    yield fake
    fake.close()


def run_tool(task: LauncherControl) -> object:
    done = task.run_inside(["/bin/criu", "a b", "\udcff"], timeout_seconds=1.5, hold_seconds=30)
    return (done.exit_code, done.signal, done.stderr)


def test_queue_that_strangers_have_filled_is_waited_for(launcher: FakeLauncher) -> None:
    name = b"\0" + launcher.control.spec.control.encode()
    strangers: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(BlockingIOError):
            while True:
                link = stack.enter_context(socket.socket(socket.AF_UNIX))
                link.setblocking(False)
                link.connect(name)
                strangers.append(link)
        assert strangers
        later = threading.Timer(0.1, launcher.refuse, [len(strangers)])
        later.start()
        assert launcher.plays_after(later, b"state running 77\n").state() == "running"


def test_requests_are_what_the_launcher_reads(launcher: FakeLauncher) -> None:
    assert run_tool(launcher.plays(b"ended 0 1500 0 3\nout")) == (0, None, "out")
    assert launcher.requests == [b"run 1500 30000 16\n/bin/criu\0a b\0\xff\0"]
    launcher.plays(b"ok\n").hold(0.25)
    launcher.plays(b"ok\n").resume()
    launcher.plays(b"ok\n").kill()
    assert launcher.plays(b"state held 77\n").state() == "held"
    assert launcher.requests[1:] == [b"hold 250\n", b"resume\n", b"kill\n", b"state\n"]


@pytest.mark.parametrize(
    ("status", "ended"), [(0, (0, None)), (256, (1, None)), (9, (None, 9)), (139, (None, 11))]
)
def test_wait_status_becomes_code_or_signal(
    launcher: FakeLauncher, status: int, ended: tuple[int | None, int | None]
) -> None:
    task = launcher.plays(f"ended {status} 1 0 0\n".encode())
    assert run_tool(task) == (*ended, "")


def test_output_that_is_not_unicode_keeps_its_bytes(launcher: FakeLauncher) -> None:
    assert run_tool(launcher.plays(b"ended 0 1 0 3\n\xff\n\n")) == (0, None, "\udcff\n\n")


def test_tool_that_took_too_long_is_a_timeout(launcher: FakeLauncher) -> None:
    with pytest.raises(CheckpointTimeoutError, match=r"'criu' did not end within 1\.5 s.*runs on"):
        run_tool(launcher.plays(b"ended 15 1500000 1 0\n"))


def test_refusal_is_an_error_that_says_the_program_runs_on(launcher: FakeLauncher) -> None:
    with pytest.raises(CheckpointError, match=r"step 12\.0 task 3: busy; the program runs on"):
        run_tool(launcher.plays(b"error busy\n"))
    with pytest.raises(CheckpointError, match=r"the program has ended$"):
        run_tool(launcher.plays(b"error the program has ended\n"))


@pytest.mark.parametrize(
    "reply",
    [
        b"ok\n",
        b"ended\n",
        b"ended 0 1 0\n",
        b"ended 0 1 0 0 0\n",
        b"ended x 1 0 0\n",
        b"ended 0 1 0 x\n",
        b"ended -1 1 0 0\n",
        b"ended 127 1 0 0\n",
        b"started 0 1 0 0\n",
        b"\xff\xfe\0\n",
        b"\n",
        b"state held\n",
        b"error",
        b"x" * 3_000_000,
    ],
)
def test_malformed_reply_is_a_tool_reply_error(launcher: FakeLauncher, reply: bytes) -> None:
    for act in (run_tool, LauncherControl.state):
        with pytest.raises(ToolReplyError):
            act(launcher.plays(reply))
    if reply != b"ok\n":
        with pytest.raises(ToolReplyError):
            launcher.plays(reply).resume()


@pytest.mark.parametrize("act", [run_tool, LauncherControl.state, LauncherControl.resume])
def test_launcher_that_dies_before_it_answers_is_named(
    launcher: FakeLauncher, act: Callable[[LauncherControl], object]
) -> None:
    with pytest.raises(CheckpointError, match=r"step 12\.0 task 3: its launcher .* ended before"):
        act(launcher.plays(b""))


def test_launcher_that_dies_in_mid_reply_is_no_success(launcher: FakeLauncher) -> None:
    with pytest.raises(ToolReplyError):
        run_tool(launcher.plays(b"ended 0 15"))


def test_launcher_that_resets_the_connection_does_not_answer(launcher: FakeLauncher) -> None:
    def reset(link: socket.socket, _: bytes) -> None:
        link.sendall(b"ended 0")
        # Closing with unread data resets the connection.

    task = launcher.control
    launcher.plays(reset)
    payload = "x" * 150_000
    with pytest.raises(SyscrError):
        task.run_inside(["tool", payload], timeout_seconds=1)


def test_launcher_that_is_silent_is_given_up(
    launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_CONNECT_SECONDS", 0.1)
    ended = threading.Event()

    def wait(_: socket.socket, __: bytes) -> None:
        ended.wait(20)

    task = launcher.plays(wait)
    with pytest.raises(
        CheckpointError, match="does not answer: timed out; the program was not touched"
    ):
        task.state()
    ended.set()


def test_launcher_that_is_gone_does_not_answer() -> None:
    task = LauncherControl(replace(SPEC, control="syscr-test-nobody-listens"), os.getpid())
    with pytest.raises(CheckpointError, match="does not answer: Connection refused") as caught:
        task.state()
    assert "squeue" in caught.value.hint


def test_socket_of_another_user_is_refused(
    launcher: FakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abstract names are free for all: somebody may have taken that of a launcher that is gone."""
    real = os.stat
    monkeypatch.setattr(
        "syscr.job.control.os.stat",
        lambda path, *a, **k: (
            os.stat_result((0, 0, 0, 0, 4242, 0, 0, 0, 0, 0))
            if str(path) == f"/proc/{os.getpid()}"
            else real(path, *a, **k)
        ),
    )
    with pytest.raises(CheckpointError, match=f"belongs to user {os.getuid()}"):
        launcher.plays(b"state running 1\n").state()


def test_task_whose_launcher_vanished_is_refused(launcher: FakeLauncher) -> None:
    task = launcher.plays(b"state running 1\n")
    task.launcher_pid = 2**22 + 1
    with pytest.raises(CheckpointError, match="No such file"):
        task.state()


def tree(*processes: tuple[int, str, str]) -> Callable[[int], tuple[Process, ...]]:
    return lambda _: tuple(
        Process(pid, 1, pid, comm, state=state) for pid, comm, state in processes
    )


IN_NAMESPACES = (
    (10, "syscr-launcher", "S"),
    (11, "syscr-sentinel", "S"),
    (12, "syscr-pid1", "S"),
    (13, "syscr-init", "S"),
    (14, "prog", "R"),
    (15, "child", "Z"),
    (16, "syscr-tool", "S"),
    (18, "syscr-launcher", "T"),
)


def test_pids_are_the_users_own_live_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    others = (
        Process(17, 10, 17, "dmtcp_coo:7779"),
        Process(19, 17, 19, "prog"),  # of the coordinator
        Process(20, 16, 20, "prog"),  # of the dump tool
        Process(21, 10, 21, "syscr-launcher"),  # a helper that has not its own name yet
    )
    monkeypatch.setattr(control, "list_tree", lambda pid: (*tree(*IN_NAMESPACES)(pid), *others))
    monkeypatch.setattr(control, "read_sidecars", lambda _: (17,))
    task = LauncherControl(SPEC, 10)
    assert task.pids() == (14, 18)  # a program may have any name
    assert task.root_pid() == 13


def test_helpers_are_those_that_the_launcher_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "syscr-launcher",
        "run",
        "--sidecar",
        "7",
        "--sidecar",
        "8",
        "--",
        "p",
        "--sidecar",
        "9",
    )
    monkeypatch.setattr(control, "read_arguments", lambda _: words)
    assert control.read_sidecars(1) == (7, 8)
    monkeypatch.setattr(control, "read_arguments", lambda _: words[:2])
    assert control.read_sidecars(1) == ()


def test_root_without_namespaces_is_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "read_sidecars", lambda _: ())
    monkeypatch.setattr(control, "list_tree", tree((10, "syscr-launcher", "S"), (14, "prog", "S")))
    assert LauncherControl(SPEC, 10).root_pid() == 14
    monkeypatch.setattr(control, "list_tree", tree((10, "syscr-launcher", "S"), (14, "prog", "Z")))
    with pytest.raises(CheckpointError, match="its program has ended"):
        LauncherControl(SPEC, 10).root_pid()


def test_streams_are_those_of_the_launcher() -> None:
    assert LauncherControl(SPEC, os.getpid()).stdio() == tuple(
        os.readlink(f"/proc/self/fd/{number}") for number in range(3)
    )
    assert LauncherControl(SPEC, 2**22 + 1).stdio() == ("", "", "")


def test_tasks_are_found_by_what_their_launchers_were_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {
        30: replace(SPEC, step="1", rank=0),
        31: replace(SPEC, rank=1),
        32: replace(SPEC, rank=0),
        33: replace(SPEC, number=13),
        34: None,
    }
    parents: dict[int, int] = {}
    monkeypatch.setattr(
        control,
        "find_processes",
        lambda name, uid: tuple(
            Process(pid, parents.get(pid, 1), pid, name, uid=uid) for pid in told
        ),
    )
    monkeypatch.setattr(control, "read_spec", told.get)
    assert [task.launcher_pid for task in control.find_tasks(12)] == [32, 31, 30]
    told[35] = told[31]  # two of one rank
    assert [task.launcher_pid for task in control.find_tasks(12)] == [32, 31, 35, 30]
    parents[35] = 31  # a helper that has not its own name yet
    assert [task.launcher_pid for task in control.find_tasks(12)] == [32, 31, 30]
    assert [task.launcher_pid for task in control.find_tasks(12, "1")] == [30]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x"],
        ["x", "--task"],
        ["x", "--task", "{"],
        ["x", "--task", "[]"],
        ["x", "--task", "{}"],
    ],
)
def test_process_that_is_no_launcher_of_ours_is_passed_over(
    arguments: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(os.fsencode(word) + b"\0" for word in arguments)
    monkeypatch.setattr("syscr.job.control.Path.read_bytes", lambda _: data)
    assert control.read_spec(1) is None


def test_task_of_a_launcher_is_read_from_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"syscr-launcher\0run\0--task\0" + wire.encode_task_spec(SPEC).encode() + b"\0--\0prog\0"
    monkeypatch.setattr("syscr.job.control.Path.read_bytes", lambda _: data)
    assert control.read_spec(1) == SPEC


def test_launcher_that_has_just_ended_is_passed_over() -> None:
    assert control.read_spec(2**22 + 1) is None
