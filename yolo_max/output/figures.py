"""Figures of matplotlib, an extra: it is imported where one is drawn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

# Without a home it keeps its fonts in a temporary folder, and would say so on stderr in lines of its own.
logging.getLogger("matplotlib").addHandler(logging.NullHandler())


def styled(style: Mapping[str, Any]) -> AbstractContextManager[None]:
    """A context in which figures have a style.

    Args:
        style: Matplotlib's rcParams that differ from its defaults.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    import matplotlib as mpl

    context: AbstractContextManager[None] = mpl.rc_context(dict(style))
    return context
