"""No provider is named outside its room: whoever needs to know one by name would not work with the next."""

from __future__ import annotations

import ast

from orchestrator.providers.registry import PROVIDERS
from tests.house.source import modules

#: Where a name may stand, and why.
NAMED = {
    "orchestrator/providers/": "their own room",
    "orchestrator/cli/connections.py": "its help lists what can be asked for",
    "orchestrator/cli/demo.py": "the demo runs against the sandbox, and adds its connection",
    "orchestrator/domain/doors.py": "each door speaks its provider's own words",
    "orchestrator/rehearsal/virtual_lane.py": "plays one of them in virtual time",
    "orchestrator/rehearsal/virtual_launches.py": "plays one of them in virtual time",
}


def test_no_provider_is_named_outside_its_room() -> None:
    classes = {kind.__name__ for kind in PROVIDERS.values()}
    found = {
        module.path
        for module in modules()
        if module.path.startswith(("orchestrator/", "workers/"))
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Constant) and node.value in PROVIDERS)
        or (isinstance(node, ast.Name) and node.id in classes)
    }
    elsewhere = {path for path in found if not path.startswith(tuple(NAMED))}
    assert not elsewhere, f"they know a provider by name: {elsewhere}"
    idle = {place for place in NAMED if not any(path.startswith(place) for path in found)}
    assert not idle, f"they name none any more: {idle}"
