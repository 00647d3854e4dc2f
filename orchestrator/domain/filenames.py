"""A provider's filename made safe for a user's folder: it is a suggestion from outside, never a path."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_BYTES = 150
_MAX_EXTENSION_BYTES = 20
_MAX_SAME = 10_000

#: what no system takes in a name, and what a path, a shell or a spreadsheet would read as more than a name
_UNFIT = re.compile(r'[\\/:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)


def safe_name(provider_filename: str, fallback: str, *, taken: set[str]) -> str:
    """Return a name for the file that is new in its folder, and note it in `taken`.

    Args:
        fallback: the name when nothing usable is left of the provider's; ours, so it is safe already.
        taken: the folder's names as they are compared, without case: on half of all file systems `A` is `a`.
    """
    stem, extension = _split(_clean(provider_filename) or fallback)
    for same in range(1, _MAX_SAME):
        suffix = extension if same == 1 else f" ({same}){extension}"
        name = _cut(stem, MAX_NAME_BYTES - len(suffix.encode())) + suffix
        compared = unicodedata.normalize("NFC", name).casefold()
        if compared not in taken:
            taken.add(compared)
            return name
    raise ValueError("too many files of one name in a folder")


def _clean(name: str) -> str:
    # A path's last part is its name, on both kinds of system; all before it is dropped, not joined.
    name = re.split(r"[\\/]", unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode()))[-1]
    # C*: controls, bidi marks and other invisible formats, surrogates, private and unassigned; Z*: odd spaces.
    name = "".join(" " if unicodedata.category(char)[0] == "Z" else char for char in name)
    name = "".join(char for char in name if unicodedata.category(char)[0] != "C")
    name = _UNFIT.sub("_", " ".join(name.split()))
    # A leading dot hides, a leading dash is an option, a leading tilde a home; Windows drops dots at the end.
    name = name.lstrip(".-~ ").rstrip(". ")
    if _RESERVED.fullmatch(name.split(".")[0].rstrip()):
        name = f"_{name}"
    return name


def _split(name: str) -> tuple[str, str]:
    """Return the stem and the extension with its dot; `.tar.gz` stays together, an odd one is part of the stem."""
    found = re.fullmatch(r"(.+?)((?:\.tar)?\.[A-Za-z0-9]{1,16})", name, re.DOTALL)
    if found and len(found[2]) <= _MAX_EXTENSION_BYTES:
        return found[1], found[2]
    return name, ""


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode("utf-8", "ignore").rstrip(". ") or "_"
