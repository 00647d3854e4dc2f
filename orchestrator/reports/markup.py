"""Builds HTML and SVG from tags; every text is escaped, because nothing but this room can make markup.

By hand and not by templates: a page is some forty tags, and here a text that was not escaped is no possible mistake,
where a template engine is a dependency with a switch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

#: Tags without an end.
_VOID = frozenset({"meta", "br", "rect", "line", "path", "col"})

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")

#: Controls, and the marks that turn the direction of text: a name could make a page read otherwise than it is written.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


class Markup(str):
    """Text that is markup already. Made by `tag` and `joined` alone."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def tag(name: str, *children: Child, **attributes: str | int | float | None) -> Markup:
    """Return an element. Text in it and in its attributes is escaped; what is None is left out.

    Args:
        attributes: `class_` for `class`; `stroke_width` for `stroke-width`.
    """
    assert _NAME.fullmatch(name), "tags are named by us"
    told = []
    for key, value in attributes.items():
        named = key.rstrip("_").replace("_", "-")
        assert _NAME.fullmatch(named) and not named.startswith("on"), "attributes are named by us, and none is a script"
        if value is not None:
            told.append(f' {named}="{escape(visible(str(value)), quote=True)}"')
    start = f"<{name}{''.join(told)}>"
    if name in _VOID and not children:
        return Markup(start if name in {"meta", "br", "col"} else start[:-1] + "/>")
    return Markup(f"{start}{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return children one after the other: markup as it is, everything else escaped."""
    parts: list[str] = []
    for child in children:
        match child:
            case None:
                continue
            case Markup():
                parts.append(child)
            case str() | int():
                parts.append(escape(visible(str(child)), quote=True))
            case _:
                parts.append(joined(child))
    return Markup("".join(parts))


def style(rules: str) -> Markup:
    """Return a style element. The rules are a constant of ours, and hold no end of it."""
    assert "<" not in rules, "a style sheet cannot end its own element"
    return Markup(f"<style>{rules}</style>")


def foreign(text: object, *, most: int = 240) -> Markup:
    """Return text from outside, apart from what stands around it: its direction stays its own, its length bounded."""
    whole = str(text)
    return tag("bdi", whole if len(whole) <= most else whole[: most - 1] + "…")


def visible(text: str) -> str:
    """Return text in which controls and marks of direction can be seen: `[U+202E]`."""
    return _INVISIBLE.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
