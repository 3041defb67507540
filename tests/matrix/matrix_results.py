"""What one run on one version of Slurm came to: read from JUnit XML, kept as JSON; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree

# what `record_testsuite_property` of tests/cluster/conftest.py has noted
PROPERTIES = ("slurm", "python", "criu", "dmtcp", "date")


@dataclass(frozen=True)
class Group:
    """The tests of one file.

    Attributes:
        passed: How many did what they should.
        failed: Names of those that did not, errors of their fixtures included.
        skipped: Reason -> names of the tests that did not run for it.
    """

    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return how many tests were chosen."""
        return self.passed + len(self.failed) + sum(map(len, self.skipped.values()))


@dataclass(frozen=True)
class SuiteResult:
    """One run.

    Attributes:
        versions: What ran, by the names of PROPERTIES; ``date`` is that of the run.
        groups: File without ``test_`` -> its tests.
        seconds: How long the tests took, the cluster's start included.
    """

    versions: Mapping[str, str]
    groups: Mapping[str, Group]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


def parse_junit(text: str) -> SuiteResult:
    """Read what ``pytest --junit-xml`` wrote.

    Raises:
        ValueError: Not such a document, without a single test, or without the versions: such a run shows
            nothing.
    """
    try:
        (suite,) = ElementTree.fromstring(text).iter("testsuite")
    except ElementTree.ParseError as error:
        raise ValueError(f"no JUnit document: {error}") from error
    found = {one.get("name"): one.get("value", "") for one in suite.iter("property")}
    versions = {name: found.get(name, "") for name in PROPERTIES}
    if not versions["slurm"]:
        raise ValueError("the run does not say which Slurm it saw: the cluster did not come up")
    groups: dict[str, Group] = {}
    for case in suite.iter("testcase"):
        name = case.get("classname", "").partition(".test_")[2].partition(".")[0]
        groups[name] = _add(groups.get(name, Group()), case)
    if not groups:
        raise ValueError("no test ran")
    return SuiteResult(versions, groups, round(float(suite.get("time", "0"))))


def _add(group: Group, case: ElementTree.Element) -> Group:
    name = case.get("name", "")
    if case.find("failure") is not None or case.find("error") is not None:
        return Group(group.passed, (*group.failed, name), group.skipped)
    skip = case.find("skipped")
    if skip is None:
        return Group(group.passed + 1, group.failed, group.skipped)
    reason = re.sub(r"\s+", " ", skip.get("message", "")).strip() or "no reason given"
    names = (*group.skipped.get(reason, ()), name)
    return Group(group.passed, group.failed, {**group.skipped, reason: names})


def read_result(values: Mapping[str, Any]) -> SuiteResult:
    """Read what ``SuiteResult.to_dict`` gave."""
    groups = {
        name: Group(
            int(group["passed"]),
            tuple(group["failed"]),
            {reason: tuple(names) for reason, names in group["skipped"].items()},
        )
        for name, group in values["groups"].items()
    }
    return SuiteResult(dict(values["versions"]), groups, float(values["seconds"]))
