"""Every recorded log of a failed dump or restore, and the texts of other versions, have their cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from syscr.backends.criu import failures

LOGS = Path(__file__).parents[2] / "data" / "criu" / "4.2.1"

RECORDED = {
    "dump-hardlink": ("deleted_file_with_links", "/shared/criu-lab/cases/hardlink/a"),
    "dump-hidden-exe": ("file_from_outside", "/tmp/criu-lab/run/syscr-launcher"),
    "dump-inotify": ("file_watch", "inotify"),
    "dump-iouring": ("io_uring", "io_uring"),
    "dump-mpsem": ("deleted_mapping", "/dev/shm/sem."),
    "dump-nestedipc": ("nested_namespace", "(ipc)"),
    "dump-nesteduser": ("nested_namespace", "(user)"),
    "dump-nospace": ("no_space", "no space left"),
    "dump-perf": ("unsupported_descriptor", "perf_event"),
    "dump-sysv": ("sysv_shared_memory", "System V"),
    "dump-tcp": ("tcp_connection", "TCP"),
    "dump-traced": ("traced", "traced"),
    "dump-unixout": ("socket_to_outside", "unix socket"),
    "dump-userfault": ("unsupported_descriptor", "userfaultfd"),
    "restore-cwd": ("file_missing", "'/shared/criu-lab/cases/r_cwd/cw': No such file or directory"),
    "restore-grew": (
        "file_changed",
        "'/shared/criu-lab/cases/r_grew/ro' has 9 bytes, at the checkpoint it had 5",
    ),
    "restore-kind": ("file_changed", "'/shared/criu-lab/cases/r_kind/ro'"),
    "restore-magic": ("image_corrupt", "damaged"),
    "restore-missing": ("file_missing", "'/shared/criu-lab/cases/r_missing/ro'"),
    "restore-nocore": ("image_corrupt", "damaged"),
    "restore-nomm": ("crashed", "ended"),
    "restore-nopages": ("image_corrupt", "damaged"),
    "restore-pack": ("image_corrupt", "damaged"),
    "restore-port": ("address", "Address already in use"),
    "restore-pty": ("terminal", "terminal"),
}


def test_every_recorded_log_is_in_the_table() -> None:
    assert sorted(RECORDED) == sorted(path.stem for path in LOGS.glob("*.log"))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_log_gives_its_cause(name: str) -> None:
    log = (LOGS / f"{name}.log").read_text()
    explain = failures.explain_dump if name.startswith("dump") else failures.explain_restore
    failure = explain(log)
    code, excerpt = RECORDED[name]
    assert failure.code == code
    assert excerpt in failure.cause
    assert failure.hint
    assert failure.lines
    assert not any("RLIMIT_NOFILE" in line for line in failure.lines)


# Source: criu-in-slurm.md, section 9: as CRIU 4.1.1 and 4.2 printed them.
DUMP_TEXTS = {
    "sockets: Can't get 1:16 opt: Operation not supported": "tool_too_old",
    "vdso: Unexpected rt vDSO area bounds": "tool_too_old",
    "unix: External socket is used. Consider using --ext-unix-sk option.": "socket_to_outside",
    "inet: In-flight connection (l) for 2a": "tcp_in_flight",
    "Can't dump ghost file tmp/x of 3002368 size, increase limit": "deleted_file_too_big",
    "Can't link  -> ./shared/link_remap.19: Operation not permitted": "deleted_file_with_links",
    "tty: Found slave peer index 0 without correspond master peer": "terminal",
    "fsnotify: Handle 0xfe00000:0x2923dd cannot be opened": "file_watch",
    "Can't dump file 17 of that type [20666] (chr 195:255)": "gpu",
    "handle_device_vma plugin failed: No such file or directory": "gpu",
    "Can't dump file 3 of that type [20666] (unknown /dev/fuse)": "device_file",
    "Some file locks are hold by dumping tasks! You can try --file-locks to dump them.": "file_lock",
    "Can't dump nested pid namespace for 3": "nested_namespace",
    "Unseizable non-zombie 3 found, state t, err -1/10": "traced",
    "page-xfer: Unable to spice data: Disk quota exceeded": "no_space",
    "Script /x/syscr-launcher exited with 1": "hook_failed",
    "Unable to initialize id-s: Invalid argument": "privilege",
    "Can't get rlimit 0: Operation not permitted": "privilege",
    "Something nobody has seen": "unknown",
}
RESTORE_TEXTS = {
    "Can't fork for 7005: File exists": "pid_in_use",
    "unix: FATAL: Peer 379148 unresolved for 396484": "socket_to_outside",
    "inet: Can't bind inet socket (id 21): Cannot assign requested address": "address",
    "Can't connect inet socket back: Cannot assign requested address": "tcp_connection",
    "inet: Connected TCP socket in image": "tcp_connection",
    "tty: Don't have tty to inherit session from, aborting": "terminal",
    "CPU instruction capabilities do not match run time": "cpu",
    "CPU xsave size mismatch (2441/2440)": "cpu",
    "Head magic doesn't match for core-3.img": "image_corrupt",
    "Read 12 bytes while 24 expected": "image_corrupt",
    "Unexpected EOF on (empty-image)": "image_corrupt",
    "Something nobody has seen": "unknown",
}


@pytest.mark.parametrize(("text", "code"), DUMP_TEXTS.items())
def test_text_of_a_failed_dump_has_its_code(text: str, code: str) -> None:
    log = f"(00.1) Error (criu/x.c:1): {text}\nError (criu/cr-dump.c:2111): Dumping FAILED.\n"
    assert failures.explain_dump(log).code == code


@pytest.mark.parametrize(("text", "code"), RESTORE_TEXTS.items())
def test_text_of_a_failed_restore_has_its_code(text: str, code: str) -> None:
    log = f"pie: 3: Error (criu/pie/restorer.c:1): {text}\nError (x.c:1): Restoring FAILED.\n"
    assert failures.explain_restore(log).code == code


def test_unknown_cause_is_told_in_crius_words() -> None:
    log = "Error (a.c:1): odd thing\nError (b.c:2): Dump files (pid: 2) failed with -1\n"
    assert failures.explain_dump(log).cause == "odd thing"


def test_empty_log_says_that_nothing_is_said() -> None:
    assert failures.explain_dump("").cause == "CRIU does not say why"


def test_text_of_the_hook_counts_as_error() -> None:
    log = "syscr: cannot copy node-local file '/tmp/x': No space left on device\n"
    assert failures.explain_dump(log).code == "no_space"


def test_success_with_unknown_mount_is_a_failure_all_the_same() -> None:
    failure = failures.find_hidden_failure((LOGS / "dump-hidden-exe.log").read_text())
    assert failure is not None
    assert failure.code == "file_from_outside"
    assert failures.find_hidden_failure("Error (a.c:1): odd thing\n") is None
