"""The packages that serving needs, and nothing else of ours."""

from __future__ import annotations

from importlib.util import find_spec

from yolo_max.support.errors import EngineError

PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Their modules, and what pip calls them."""


def require_packages() -> None:
    """Checks that they are there.

    Raises:
        EngineError: Some are not.
    """
    if missing := [name for module, name in PACKAGES.items() if find_spec(module) is None]:
        raise EngineError(
            f"serving needs {', '.join(missing)}; pip install {' '.join(missing)} (or 'yolo-max[serve]')."
        )
