"""What an agent is told when it is started, and where it is found afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass

from syscr.errors import RequestError

AGENT_LOG = "agent.log"
"""File in the task's private folder that is there from the moment the agent is started."""

SOCKET_FD = 3
"""Number of the launcher's socket in the agent; see ``firewall.py``."""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """What an agent is for; its argument ``--request`` as JSON.

    Attributes:
        target: Job or step, as ``syscr checkpoint`` takes it.
        run_dir: Private folder of the task.
        interval_seconds: Time between two checkpoints; 0: only on demand; ``AUTO_INTERVAL``: as is best.
        task: The task beside it, as ``wire.encode_task_spec`` writes it; empty: nobody keeps it alive.
        total_seconds: Running time of all lives together; 0: without limit.
    """

    target: str
    run_dir: str
    interval_seconds: float
    task: str = ""
    total_seconds: float = 0.0

    def encode(self) -> str:
        """Write the request as JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, text: str) -> AgentRequest:
        """Read a request; RequestError if it is none."""
        try:
            values = json.loads(text)
            return cls(
                str(values["target"]),
                str(values["run_dir"]),
                float(values["interval_seconds"]),
                str(values.get("task", "")),
                float(values.get("total_seconds", 0)),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"not a request for an agent: {text[:200]!r}") from error
