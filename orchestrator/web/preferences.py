"""What a browser prefers, kept in a cookie of its own: the theme, whether pages live, whether keys act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.requests import Request

COOKIE = "orch_prefers"
KEEP_S = 365 * 86_400

#: name -> what it may be, the default first.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "theme": ("auto", "light", "dark"),
    "live": ("on", "off"),
    "keys": ("on", "off"),
}


@dataclass(frozen=True, slots=True)
class Preferences:
    """One browser's choices."""

    theme: str = "auto"
    live: str = "on"
    keys: str = "on"

    def stored(self) -> str:
        """Return the cookie's value."""
        return f"{self.theme}.{self.live}.{self.keys}"

    def changed(self, name: str, value: str) -> Preferences:
        """Return them with one choice made; a choice that there is not changes nothing."""
        return replace(self, **{name: value}) if value in CHOICES.get(name, ()) else self


def of(request: Request) -> Preferences:
    """Return the preferences of a request; anything strange in the cookie counts as not chosen."""
    found = Preferences()
    for name, value in zip(CHOICES, request.cookies.get(COOKIE, "").split("."), strict=False):
        found = found.changed(name, value)
    return found
