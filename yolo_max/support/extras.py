"""Packages that are not needed to predict, imported where they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from yolo_max.support.errors import EngineError


def require(package: str, extra: str, user: str) -> Any:
    """Imports a package of an extra.

    Args:
        package: The package's name.
        extra: The extra of ours that installs it.
        user: What needs it, for the message.

    Raises:
        EngineError: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise EngineError(f"{user} needs the package {package}; pip install 'yolo-max[{extra}]'.") from error
