"""The rail: every room of the pages, its path and its key. A room shows once something answers at its path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.routing import APIRoute


@dataclass(frozen=True, slots=True)
class Room:
    """One entry of the rail. `key` is pressed after `g`."""

    name: str
    title: str
    path: str
    key: str
    icon: str


ROOMS = (
    Room("overview", "Overview", "/", "o", "home"),
    Room("runs", "Runs", "/runs", "r", "play"),
    Room("batches", "Batches", "/batches", "b", "stack"),
    Room("inbox", "Inbox", "/inbox", "i", "person"),
    Room("schedules", "Schedules", "/schedules", "s", "clock"),
    Room("connections", "Connections", "/connections", "c", "plug"),
    Room("operations", "Bulk acts", "/operations", "k", "many"),
    Room("reports", "Reports", "/reports", "p", "chart"),
    Room("audit", "Audit", "/audit", "a", "shield"),
    Room("system", "System", "/system", "y", "gear"),
)


def built(routers: Iterable[APIRouter]) -> tuple[Room, ...]:
    """Return the rooms that are there."""
    paths = {route.path for router in routers for route in router.routes if isinstance(route, APIRoute)}
    return tuple(room for room in ROOMS if room.path in paths)
