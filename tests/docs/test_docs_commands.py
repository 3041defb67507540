"""The pages say only what is so: commands can be read, links lead somewhere, codes and options exist.

That the commands do what the pages show is tested in tests/cluster/test_docs_tutorial.py.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs_support import (
    DOCS,
    REPOSITORY,
    Command,
    build_pattern,
    find_anchors,
    find_links,
    find_pages,
    read_blocks,
    read_commands,
)

import syscr
from syscr.cli import docs as cli_docs
from syscr.cli.app import App
from syscr.cli.main import build_root
from syscr.config import load_settings
from syscr.errors import SyscrError
from syscr.job.options import parse_run
from syscr.model import Manifest
from syscr.scontrol.grammar import Request, parse_request
from syscr.scontrol.options import is_keyword, split_options
from syscr.slurm.command_line import split_command

PAGES = find_pages()
COMMANDS = {path: command for path, command, _ in cli_docs.iter_commands()}
REFUSED = DOCS / "how-to" / "when-a-checkpoint-is-refused.md"
_NAMES = {str(page.relative_to(REPOSITORY)): page for page in PAGES}
_GENERATED = frozenset({"cli.md", "config.md", "errors.md", "json.md"})
_SUBSTITUTION = re.compile(r"\$\([^()]*(?:\([^()]*\))?[^()]*\)")
# Options in the text that are other programs'.
_FOREIGN = frozenset(
    [
        "--action-script",
        "--bcast",
        "--ch",
        "--chd",
        "--chdir",
        "--container",
        "--multi-prog",
        "--external",
        "--inherit-fd",
        "--keep-cluster",
        "--me",
        "--signal",
        "--mpi",
        "--no-requeue",
        "--open-mode",
        "--output",
        "--overlap",
        "--pty",
        "--strict",
        "--task",
    ]
)


@pytest.fixture(params=_NAMES, ids=str)
def page(request: pytest.FixtureRequest) -> Path:
    return _NAMES[request.param]


def iter_syscr(command: Command) -> Iterator[list[str]]:
    """Yield the words of each call of syscr in a command line, its own name left out."""
    some_id = "20261124T110144Z-0e238a04" if "syscr image" in command.text else "4711"
    text = _SUBSTITUTION.sub(f" {some_id} ", command.text).replace("\n", " ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] | None = None
    before = ""
    for word in [*lexer, ";"]:
        if words is None and word == "syscr" and not before.endswith("wheels"):
            words = []
        elif words is not None and set(word) <= set(";|&()<>"):
            yield words
            words = None
        elif words is not None:
            words.append(word)
        before = word


def iter_calls() -> Iterator[tuple[str, list[str]]]:
    """Yield (place, words) of all calls of syscr in console blocks."""
    for name, path in _NAMES.items():
        for block in read_blocks(path.read_text()):
            if block.language == "console":
                for command in read_commands(block):
                    # in $(...) as well
                    inner = [match[0][2:-1] for match in _SUBSTITUTION.finditer(command.text)]
                    for text in (command.text, *inner):
                        for words in iter_syscr(Command(command.user, text, (), command.line)):
                            yield f"{name}:{command.line}", words


CALLS = list(iter_calls())


@pytest.mark.parametrize(("place", "words"), CALLS, ids=[place for place, _ in CALLS])
def test_command_in_page_is_read_by_the_command_line(place: str, words: list[str]) -> None:
    piped = ["4711"] if words[:1] != ["image"] and words[-1:] == ["requeue"] else []
    check_words([*words, *piped])


def check_words(words: list[str]) -> None:
    """Read a command line without running it; raises click's or our own error."""
    root = build_root()
    for verb in ("sbatch", "srun", "salloc", "run", "scontrol"):
        if verb in words:
            at = words.index(verb)
            root.make_context("syscr", [*words[:at], "status"], obj=App())
            if verb == "run":
                assert parse_run(words[at + 1 :]) is not None
            elif verb == "scontrol":
                check_scontrol(words[at + 1 :])
            else:
                assert split_command(verb, words[at + 1 :]).program
            return
    read(root, "syscr", words, None)


def check_scontrol(words: list[str]) -> None:
    """Read what follows ``syscr scontrol``; raises AssertionError where the old grammar refuses it."""
    if words[0] != "--install-shim":
        invocation = split_options(words)
        assert is_keyword(invocation.words[0])
        assert isinstance(parse_request(invocation.words), Request)


def read(command: click.Command, name: str, words: list[str], parent: click.Context | None) -> None:
    context = command.make_context(name, words, parent=parent, obj=App())
    if isinstance(command, click.Group):
        # click 8.1 and 8.2 keep the rest under different names
        rest = [*getattr(context, "_protected_args", []), *context.args]
        child_name, child, arguments = command.resolve_command(context, rest)
        assert child is not None
        assert child_name is not None
        read(child, child_name, arguments, context)


@pytest.mark.parametrize(
    "words", [["checkpoint", "--no-such"], ["image", "list", "a", "b"], ["wat"]]
)
def test_wrong_command_is_noticed(words: list[str]) -> None:
    with pytest.raises((click.ClickException, SyscrError)):
        check_words(words)


def test_the_pages_show_every_verb() -> None:
    shown = {
        " ".join(words[:2]) if words[:1] in (["image"], ["config"], ["spank"]) else words[0]
        for _, words in CALLS
        if words
    }
    text = "".join(path.read_text() for path in PAGES if path.name not in _GENERATED)
    leaves = {
        path.removeprefix("syscr ")
        for path, one in COMMANDS.items()
        if not isinstance(one, click.Group)
    }
    missing = {
        leaf
        for leaf in leaves - shown
        if f"syscr {leaf}" not in text and f"|{leaf.split()[-1]}" not in text
    }
    assert not missing


def test_console_blocks_begin_with_a_command(page: Path) -> None:
    for block in read_blocks(page.read_text()):
        if block.language == "console":
            assert read_commands(block), f"{page}:{block.line}"
            assert block.name in {"", "site"}


def test_typed_commands_wait_for_a_condition_and_for_no_time(page: Path) -> None:
    for block in read_blocks(page.read_text()):
        for command in read_commands(block) if block.is_run else ():
            bare = re.sub(r"\bdo sleep 1; done$", "", command.text)
            assert "sleep" not in bare, f"{page}:{command.line}: {command.text}"


def test_python_blocks_compile(page: Path) -> None:
    for block in read_blocks(page.read_text()):
        if block.language == "python":
            compile(block.body, f"{page}:{block.line}", "exec")


def test_configuration_blocks_are_valid(page: Path, tmp_path: Path) -> None:
    for block in read_blocks(page.read_text()):
        if block.language == "toml" and "pyproject" not in block.name:
            file = tmp_path / "syscr.toml"
            file.write_text(block.body)
            load_settings({"HOME": "/home/alice", "USER": "alice"}, system_file=str(file))


def test_links_lead_somewhere(page: Path) -> None:
    for link in find_links(page.read_text()):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page}: {link}"
        if anchor and path.suffix == ".md":
            assert anchor in find_anchors(path.read_text()), f"{page}: {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    pending = [DOCS / "index.md"]
    while pending:
        path = pending.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        links = (
            link.partition("#")[0] for link in find_links(path.read_text()) if "://" not in link
        )
        pending += [(path.parent / link).resolve() for link in links if link]
    assert set(PAGES) <= reached


def test_options_in_the_text_exist(page: Path) -> None:
    if page.name in _GENERATED:
        return
    known = {option for one in COMMANDS.values() for param in one.params for option in param.opts}
    known |= {
        "--checkpoint-dir",
        "--backend",
        "--checkpoint",
        "--total-time",
        "--on-bad-image",
        "--restart-dir",
        "--help",
    } | _FOREIGN
    known.add("--install-shim")
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    used = {found for found in re.findall(r"(?<![\w<!-])--[a-z][a-z-]*", text) if found[-1] != "-"}
    used = {option for option in used if f"dmtcp_command {option}" not in text}
    assert used <= known


def test_settings_in_the_text_exist(page: Path) -> None:
    settings = set(
        re.findall(r"^\| `([a-z_.]+)` \|", (DOCS / "reference" / "config.md").read_text(), re.M)
    )
    sections = "store|checkpoint|retention|restart|slurm|launcher|backends|log|agent"
    for name in re.findall(
        rf"`((?:{sections})\.[a-z_]+(?:\.[a-z_]+)?)(?: = [^`]*)?`", page.read_text()
    ):
        assert name in settings or name.endswith((".py", ".md", ".h", ".toml", ".conf", ".log")), (
            f"{page}: {name}"
        )


def test_environment_variables_in_the_text_exist(page: Path) -> None:
    known = set(re.findall(r"SYSCR_[A-Z_]+", (DOCS / "reference" / "config.md").read_text()))
    known |= {"SYSCR_CLUSTER", "SYSCR_EXTRA_CONF"}  # the test cluster's
    assert set(re.findall(r"\bSYSCR_[A-Z_]+[A-Z]", page.read_text())) <= known


# --- what the code can say -------------------------------------------------------------------------


def find_finding_codes() -> set[str]:
    """Return the codes that stand in the source: first words of Finding, and what becomes one."""
    codes: set[str] = set()
    for source in sorted((REPOSITORY / "syscr").rglob("*.py")):
        tree = ast.parse(source.read_text())
        names = dict(_iter_constants(tree))
        for node in ast.walk(tree):
            codes |= {names.get(code, code) for code in _iter_codes(node)}
    return {code for code in codes if re.fullmatch(r"[a-z]+(?:_[a-z]+)*", code)}


def _iter_codes(node: ast.AST) -> Iterator[str]:
    values: list[ast.expr] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        values = _read_call(node.func.id, node.args)
    elif isinstance(node, ast.Assign):
        values = _read_assignment(node.targets[0], node.value)
    elif isinstance(node, ast.FunctionDef) and node.name == "_find_obstacle":
        returned = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
        values = [one.elts[0] for one in returned if isinstance(one, ast.Tuple)]
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
            yield value.value
        elif isinstance(value, ast.Name):
            yield f"@{value.id}"  # a constant of the module, or a variable, which is dropped


def _iter_constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module gives to texts."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    yield f"@{target.id}", node.value.value


def _read_call(name: str, arguments: list[ast.expr]) -> list[ast.expr]:
    if name == "Finding":
        return arguments[:1]
    if name == "_case":
        return arguments[1:2]
    return [one for one in arguments if _is_code(one)] if name.startswith("_group_") else []


def _read_assignment(target: ast.expr, value: ast.expr) -> list[ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=False)
        return [found for name, found in pairs if isinstance(name, ast.Name) and name.id == "code"]
    if isinstance(target, ast.Name) and target.id == "_ANON_CODES" and isinstance(value, ast.Dict):
        return value.values
    return [value] if isinstance(target, ast.Name) and target.id == "code" else []


def _is_code(node: ast.expr) -> bool:
    value = node.value if isinstance(node, ast.Constant) else None
    return isinstance(value, str) and re.fullmatch(r"[a-z]+(?:_[a-z]+)*", value) is not None


def find_documented_codes() -> set[str]:
    rows = re.findall(r"^\| `([a-z_]+)`", REFUSED.read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows)), "a code has two rows"
    return set(rows)


_RESTORE_ONLY = frozenset(
    {"file_changed", "file_missing", "pid_in_use", "address", "cpu", "image_corrupt", "crashed"}
)


def test_every_finding_code_has_a_row() -> None:
    assert find_finding_codes() - _RESTORE_ONLY - find_documented_codes() == set()


def test_every_row_is_a_code_of_the_source() -> None:
    source = "".join(path.read_text() for path in (REPOSITORY / "syscr").rglob("*.py"))
    assert {code for code in find_documented_codes() if f'"{code}"' not in source} == set()


def test_the_search_for_codes_finds_those_of_each_form() -> None:
    assert find_finding_codes() >= {
        "not_checkpointable",
        "srun_in_tree",
        "tcp_connection",
        "terminal",
        "gpu",
        "io_uring",
        "static_program",
        "unprotected_process",
        "no_space",
        "checkpoint_disabled",
    }


def test_api_page_has_every_public_name_and_parameter() -> None:
    text = (DOCS / "reference" / "api.md").read_text()
    for name in syscr.__all__:
        assert re.search(rf"`(?:syscr\.)?{name}\b", text), name
        value = getattr(syscr, name)
        row = re.search(rf"^\| `{name}\((.*?)\)`", text, re.MULTILINE)
        if inspect.isfunction(value):
            assert row is not None, name
            words = (word.partition("=")[0].lstrip("*") for word in row[1].split(", "))
            names = {word for word in words if word}
            assert "..." in row[1] or names == set(inspect.signature(value).parameters), name


def test_manifest_page_has_every_key() -> None:
    text = (DOCS / "reference" / "manifest.md").read_text()
    missing = [name for name in Manifest.__dataclass_fields__ if f"| `{name}` |" not in text]
    assert not missing


# --- the tools of the cluster's tests ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("Submitted batch job 4711", "Submitted batch job 31"),
        ("  image   20261124T105443Z-bff76f19", "  image   20301231T235959Z-00000000"),
        ("  frozen  12 ms", "  frozen  1.2 s"),
        ("  took    2.1 s", "  took    1 min 15 s"),
        ("  size    3.1 MiB in 29 files", "  size    506.7 KiB in 28 files"),
        (
            "job 4712 runs again on c1 (continues job 4711)",
            "job 9 runs again on c3 (continues job 8)",
        ),
        ("4711 RUNNING c[1-2]", "7 RUNNING c[2-3]"),
        (
            "step 4711.0: image written, the step keeps running",
            "step 8.0: image written, the step keeps running",
        ),
    ],
)
def test_pattern_of_a_shown_line_allows_other_numbers(shown: str, real: str) -> None:
    pattern, ids = build_pattern(shown)
    match = pattern.match(real)
    assert match
    assert len(match.groups()) == len(ids)


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ("job 4711 runs again on c1", "job 4711 is still PENDING"),
        ("4711 RUNNING c1", "4711 PENDING"),
        ("criu 4.2.1: works", "criu 4.2.1: does not work"),
    ],
)
def test_pattern_of_a_shown_line_allows_no_other_words(shown: str, real: str) -> None:
    assert not build_pattern(shown)[0].match(real)
