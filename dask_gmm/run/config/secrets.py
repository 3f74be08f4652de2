"""What of a configuration may be shown and stored, and what may not."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_NAMES = "pass|secret|token|key|cred"
_SECRET = re.compile(_NAMES, re.IGNORECASE)
#: NAME=value, as in a shell's export.
_ASSIGNED = re.compile(rf"(\w*(?:{_NAMES})\w*=)('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
#: What stands before the host in a URL.
_LOGIN = re.compile(r"://[^/@\s]+@")


def without_secrets(options: Any) -> Any:
    """Return plain values with ``***`` for those whose names suggest a secret, at any depth.

    In texts, values assigned to such names and logins in URLs are hidden.
    """
    if isinstance(options, dict):
        return {
            key: HIDDEN
            if value is not None and _SECRET.search(str(key))
            else without_secrets(value)
            for key, value in options.items()
        }
    if isinstance(options, list):
        return [without_secrets(each) for each in options]
    return text_without_secrets(options) if isinstance(options, str) else options


def text_without_secrets(text: str) -> str:
    """Return a text with assigned secrets and logins in URLs hidden."""
    return _LOGIN.sub(f"://{HIDDEN}@", _ASSIGNED.sub(rf"\1{HIDDEN}", text))


def all_hidden(options: Any) -> Any:
    """Return options with their names only; what is true, false or null is no secret."""
    if isinstance(options, dict):
        return {key: all_hidden(value) for key, value in options.items()}
    if isinstance(options, list):
        return [all_hidden(value) for value in options]
    return options if options is None or isinstance(options, bool) else HIDDEN
