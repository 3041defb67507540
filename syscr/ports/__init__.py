"""The ports: what the manager needs from the world, without any technology.

Adapters implement these protocols and are built in ``wiring/`` alone; fakes are in ``testing/``.
Each method's contract stands here; adapters say only what differs.
"""

from __future__ import annotations

from syscr.ports.backend import Backend, Capabilities, DumpReport, LaunchPlan
from syscr.ports.clock import Clock
from syscr.ports.controller import Acceptance, CheckpointController, DumpEnd, DumpState
from syscr.ports.runner import CommandTimeout, Completed, Conversation, Runner, TalkingRunner
from syscr.ports.scheduler import JobSource, Scheduler, SubmitOptions
from syscr.ports.store import AnyImage, Store, StoreKey
from syscr.ports.task import TaskControl
from syscr.ports.workers import Workers

__all__ = [
    "Completed",
    "CommandTimeout",
    "Runner",
    "Conversation",
    "TalkingRunner",
    "Clock",
    "SubmitOptions",
    "JobSource",
    "Scheduler",
    "Workers",
    "TaskControl",
    "Capabilities",
    "LaunchPlan",
    "DumpReport",
    "Backend",
    "StoreKey",
    "AnyImage",
    "Store",
    "DumpState",
    "DumpEnd",
    "Acceptance",
    "CheckpointController",
]
