"""Argument lists for CRIU."""

from __future__ import annotations

from syscr.backends.criu import commands


def test_dump_leaves_the_task_running_and_names_files_from_outside() -> None:
    argv = commands.build_dump(
        "/sbin/criu", "/d a", launcher="/l", stdio_files=("file[1:2]", "", "file[1:2]")
    )
    assert argv == (
        *("/sbin/criu", "dump", "--unprivileged", "-t", "2", "-D", "/d a", "-o", "dump.log", "-v2"),
        *("--leave-running", "--ext-unix-sk", "--file-locks", "--manage-cgroups=ignore"),
        *("--ghost-limit", "1G", "--external", "file[1:2]", "--action-script", "/l"),
    )


def test_dump_for_hold_leaves_the_task_stopped() -> None:
    argv = commands.build_dump("criu", "/d", launcher="/l", hold=True)
    assert "--leave-stopped" in argv
    assert "--leave-running" not in argv


def test_restore_writes_its_log_into_the_new_life() -> None:
    plan = commands.build_restore("criu", "/img", "/run d", stdio=("", "pipe:[7]", "pipe:[8]"))
    assert plan.namespaces
    assert plan.restores_sibling
    assert plan.log_path == "/run d/restore.log"
    assert plan.argv == (
        *("criu", "restore", "--unprivileged", "-D", "/img", "-W", "/run d", "-o", "restore.log"),
        *("-v2", "-d", "--restore-sibling", "--ext-unix-sk", "--file-locks"),
        *("--manage-cgroups=ignore", "--skip-file-rwx-check"),
        *("--inherit-fd", "fd[201]:pipe:[7]", "--inherit-fd", "fd[202]:pipe:[8]"),
    )


def test_regular_standard_input_is_not_inherited_by_path() -> None:
    assert commands.build_inherited(("/in", "/out", "/err")) == ("fd[201]:out", "fd[202]:err")


def test_files_from_outside_are_inherited_by_key_too() -> None:
    keys = (commands.build_file_key(24, 3), commands.build_file_key(27, 2203655), "")
    assert commands.build_inherited(("/dev/null", "/o", "/o"), keys) == (
        "fd[201]:o",
        "fd[210]:file[18:3]",
        "fd[211]:file[1b:21a007]",
    )


def test_names_need_no_quoting() -> None:
    assert commands.build_inherited(("", "/a b:'c'\n;$(x)", "")) == ("fd[201]:a b:'c'\n;$(x)",)
