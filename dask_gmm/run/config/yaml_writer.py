"""YAML out: plain values as a file that reads back as the same values."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML


def to_yaml(values: dict[str, Any]) -> str:
    """Return plain values (JSON's types) as YAML 1.2, keys in their order."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    writer.dump(values, text)
    return text.getvalue()
