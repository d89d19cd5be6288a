"""HTML pages from templates; every value is escaped."""

from __future__ import annotations

from pathlib import Path


def render(template: Path, **values: object) -> str:
    """Renders a Jinja template, which may include others from its folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(values)
