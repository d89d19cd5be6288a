"""Ultralytics' NMS, whatever an earlier test has imported."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from ultralytics.utils import nms


def non_max_suppression(*args: Any, **kwargs: Any) -> Any:
    """Ultralytics' function; it takes torchvision's NMS where that is imported, which may not run here."""
    with mock.patch.dict(sys.modules):
        sys.modules.pop("torchvision", None)
        return nms.non_max_suppression(*args, **kwargs)
