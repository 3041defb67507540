"""Replies of DMTCP, recorded with tests/tool/record_dmtcp.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syscr.backends.dmtcp import parse
from syscr.errors import CoordinatorError, ToolReplyError
from syscr.ports import Completed

DATA = Path(__file__).parent.parent.parent / "data" / "dmtcp"
VERSIONS = ("4.2.0", "main")


def read_reply(version: str, label: str) -> Completed:
    fields = json.loads((DATA / version / f"{label}.json").read_text())
    return Completed(tuple(fields["argv"]), fields["exit_code"], fields["stdout"], fields["stderr"])


@pytest.mark.parametrize(("version", "expected"), [("4.2.0", "4.2.0"), ("main", "5.0")])
def test_version_is_read(version: str, expected: str) -> None:
    assert parse.parse_version(read_reply(version, "version")) == expected


def test_version_of_failed_command_is_not_understood() -> None:
    reply = replace(read_reply("4.2.0", "version"), exit_code=1)
    with pytest.raises(ToolReplyError, match="exit code 1"):
        parse.parse_version(reply)


@pytest.mark.parametrize(("version", "known"), [("4.2.0", False), ("main", True)])
def test_json_probe_ends_well_only_where_json_is_known(version: str, *, known: bool) -> None:
    assert read_reply(version, "json-probe").is_ok is known


@pytest.mark.parametrize("version", VERSIONS)
def test_status_tells_running_from_checkpointing(version: str) -> None:
    assert parse.parse_status(read_reply(version, "status")) == parse.Status(3, running=True)
    during = parse.parse_status(read_reply(version, "status-checkpointing"))
    assert during == parse.Status(3, running=False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("read", [parse.parse_status, parse.parse_clients, parse.parse_request])
@pytest.mark.parametrize("label", ["no-coordinator", "no-coordinator-checkpoint"])
def test_missing_coordinator_is_an_error_of_its_own(
    version: str, read: parse.Reader, label: str
) -> None:
    with pytest.raises(CoordinatorError):
        read(read_reply(version, label))


@pytest.mark.parametrize("version", VERSIONS)
def test_clients_have_real_pids_and_states(version: str) -> None:
    clients = parse.parse_clients(read_reply(version, "list"))
    assert [client.name for client in clients] == ["bash", "sleep", "cat"]
    assert all(client.pid < 40000 and client.state == "RUNNING" for client in clients)
    during = parse.parse_clients(read_reply(version, "list-checkpointing"))
    assert {client.state for client in during} == {"CHECKPOINTING"}
    assert {client.barrier for client in during} == {"Socket::Ckpt_Register_Peer_Info"}


def test_client_with_odd_name_is_read() -> None:
    text = "Client List:\n#, ...\n7, a, b[1]c[40000:12]@n1, 1-2-3, WorkerState::RUNNING, \n"
    (client,) = parse.parse_clients(Completed(("dmtcp_command",), 0, text))
    assert (client.name, client.pid) == ("a, b[1]c", 12)


@pytest.mark.parametrize("version", VERSIONS)
def test_request_is_accepted_or_not_running(version: str) -> None:
    assert parse.parse_request(read_reply(version, "checkpoint"))
    assert not parse.parse_request(read_reply(version, "checkpoint-refused"))


@pytest.mark.parametrize(
    "reply",
    [
        Completed(("dmtcp_command",), 2, "", "Unknown error\n"),
        Completed(("dmtcp_command",), 2, '{"command_status":"DMT_COORD_INVALID_COMMAND"}'),
        Completed(("dmtcp_command",), 0, "{ no json"),
        Completed(("dmtcp_command",), None, "", "", 11),
    ],
)
def test_unknown_reply_is_not_understood(reply: Completed) -> None:
    for read in (parse.parse_status, parse.parse_clients, parse.parse_request):
        with pytest.raises(ToolReplyError, match="not understood"):
            read(reply)


@pytest.mark.parametrize("version", VERSIONS)
def test_script_names_all_images_although_their_paths_have_blanks(version: str) -> None:
    script = parse.parse_script((DATA / version / "restart-script.txt").read_text())
    assert script is not None
    assert script.process_count == len(script.images) == 3
    assert all(path.startswith("/tmp/syscr record ") for path in script.images)
    assert all(path.endswith(".dmtcp") for path in script.images)


@given(st.data())
def test_script_cut_anywhere_is_not_complete(data: st.DataObject) -> None:
    text = (DATA / "main" / "restart-script.txt").read_text()
    end = data.draw(st.integers(0, len(text) - 1))
    assert parse.parse_script(text[:end]) is None
