"""Argument lists and environments for DMTCP's programs."""

from __future__ import annotations

from syscr.backends.dmtcp import commands
from syscr.backends.dmtcp.commands import Tool

OLD = Tool("/opt/dmtcp/bin", unique_plugin="/opt/dmtcp/lib/dmtcp/libdmtcp_unique-ckpt.so")
NEW = Tool("/opt/main/bin", task_library="/s/fix.so", guard="/s/guard.so", json=True)


def test_coordinator_stays_in_foreground_and_writes_its_port() -> None:
    argv = commands.build_coordinator(OLD, "/run dir")
    assert argv == (
        "/opt/dmtcp/bin/dmtcp_coordinator",
        *("--exit-on-last", "--stale-timeout", "300", "--interval", "0"),
        *("--port-file", "/run dir/dmtcp-port", "--ckptdir", "/run dir"),
    )


def test_coordinator_with_guard_has_it_preloaded() -> None:
    assert commands.build_coordinator(NEW, "/r")[:3] == (
        "env",
        "LD_PRELOAD=/s/guard.so",
        "/opt/main/bin/dmtcp_coordinator",
    )


def test_launch_of_old_version_takes_the_plugin() -> None:
    argv = commands.build_launch(OLD, "/r", ["./prog", "{port}"])
    assert argv == (
        "/opt/dmtcp/bin/dmtcp_launch",
        *("--join-coordinator", "--ckptdir", "/r", "--modify-env"),
        *("--with-plugin", "/opt/dmtcp/lib/dmtcp/libdmtcp_unique-ckpt.so"),
        *("./prog", "{port}"),
    )


def test_launch_of_new_version_takes_option_and_signal() -> None:
    argv = commands.build_launch(NEW, "/r", ["prog"])
    assert "--enable-unique-checkpoint-filenames" in argv
    assert argv[argv.index("--ckpt-signal") + 1] == "61"


def test_launch_in_deep_directory_leaves_modify_env_out() -> None:
    assert "--modify-env" not in commands.build_launch(OLD, "/r" * 250, ["prog"])


def test_restart_joins_the_coordinator_with_all_images() -> None:
    argv = commands.build_restart(OLD, "/r", ["/d/a.dmtcp", "/d/b.dmtcp"])
    assert argv[1:] == ("--join-coordinator", "--ckptdir", "/r", "/d/a.dmtcp", "/d/b.dmtcp")
    assert "--no-strict-checking" not in argv


def test_environment_of_launch_joins_with_the_users() -> None:
    environ = {"LD_PRELOAD": "/u.so", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    env = commands.build_environment(NEW, "/r", environ, launch=True, pad_heap=True)
    assert env["LD_PRELOAD"] == "/s/fix.so:/u.so"
    assert env["GLIBC_TUNABLES"] == "glibc.malloc.check=3:glibc.malloc.top_pad=1100000000"
    assert env["DMTCP_COORD_PORT"] == commands.PORT_MARK
    assert (env["DMTCP_GZIP"], env["DMTCP_TMPDIR"]) == ("0", "/r/dmtcp")


def test_environment_of_restart_leaves_the_users_alone() -> None:
    env = commands.build_environment(NEW, "/r", {"LD_PRELOAD": "/u.so"}, launch=False)
    assert "LD_PRELOAD" not in env
    assert "GLIBC_TUNABLES" not in env


def test_command_says_json_only_where_it_is_known() -> None:
    assert commands.build_command(NEW, 7, "--status")[1] == "--json"
    assert commands.build_command(OLD, 7, "--status") == (
        "/opt/dmtcp/bin/dmtcp_command",
        *("--coord-host", "127.0.0.1", "--coord-port", "7", "--status"),
    )


def test_environment_file_leaves_out_what_dmtcp_cannot_read() -> None:
    environ = {
        "SLURM_JOB_ID": "8",
        "SLURM_JOB_NODELIST": "c[1-2,4]",
        "SLURMD_NODENAME": "c1",
        "SLURM_LONG": "x" * 901,
        "SLURM_JOB_NAME": "two words",
        "SLURM_QUOTE": '"$HOME"',
        "PATH": "/bin",
    }
    assert commands.build_environment_file(environ) == (
        "SLURMD_NODENAME=c1\nSLURM_JOB_ID=8\nSLURM_JOB_NODELIST=c[1-2,4]\n"
    )


def test_environment_file_stays_below_the_size_of_the_buffer() -> None:
    environ = {f"SLURM_V{number:03d}": "x" * 800 for number in range(100)}
    assert len(commands.build_environment_file(environ)) <= 12000
