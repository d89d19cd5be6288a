"""The routes described (OpenAPI), and the pages for people; everything a page needs is in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_max.output.palette import class_color
from yolo_max.serve.answers import KINDS
from yolo_max.serve.asked import Options
from yolo_max.support.html import render
from yolo_max.support.option import COLOR_MODES, about

_PAGES = Path(__file__).parent / "pages"
_SHAPES = {"bool": "boolean", "float": "number", "int": "integer", "int | None": "integer"}
"""JSON's words for the types of options; the others are text."""
_REFUSALS = {
    400: "The body is not the JSON or form that it claims to be.",
    401: "The server has a token, and the request does not.",
    403: "Without a token: a page of another site asks, or by a name that is not the server's.",
    406: "No answer is of a type that the client accepts.",
    408: "The body took too long to arrive.",
    413: "The body has too many bytes, or the image too many pixels.",
    415: "The body, or the image in it, is of a format that is not read.",
    422: "The image is damaged, or an option is invalid.",
    429: "Too many requests are waiting.",
    503: "There was no answer in time, or no memory for it, or too many connections are open.",
}
_REFUSAL = {
    KINDS[0]: {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}},
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of some statuses, as OpenAPI and FastAPI have them."""
    return {str(status): {"description": _REFUSALS[status], "content": _REFUSAL} for status in statuses}


HEALTH = {**refusals(403), "503": {"description": "It is draining: the server is about to end."}}
"""Of the route that says whether requests are taken."""
OPEN_TO_SOME = refusals(401, 403)
"""Of the routes that need the token, if there is one, and nothing else."""


def _schema(accepted: Options, name: str) -> dict[str, Any]:
    """What values an option takes."""
    schema: dict[str, Any] = {"type": _SHAPES.get(str(accepted.fields[name].type), "string")}
    if name in accepted.limits:
        schema["minimum"], schema["maximum"] = accepted.limits[name]
    if name == "color_mode":
        schema["enum"] = list(COLOR_MODES)
    if (default := accepted.default(name)) is not None:
        schema["default"] = default
    return schema


def describe_prediction(accepted: Options, task: str, *, allow_remote: bool) -> dict[str, Any]:
    """The description of the route that predicts, as FastAPI takes it.

    Args:
        accepted: The options that requests may have.
        task: What the weights are for.
        allow_remote: Whether an address may stand for the image.
    """
    image = {"type": "string", "format": "binary"}
    options = {
        name: {**_schema(accepted, name), "description": about(each).help}
        for name, each in accepted.fields.items()
    }
    text = {"type": "string", "format": "byte", "description": "In base64."}
    address = {"url": {"type": "string", "description": "A public address of http or https."}}
    sent = {
        "image/*": {"schema": image},
        "application/octet-stream": {"schema": image},
        "multipart/form-data": {
            "schema": _one_of({"file": image} | (address if allow_remote else {}), options)
        },
        "application/json": {"schema": _one_of({"image": text} | (address if allow_remote else {}), options)},
    }
    answers: dict[str, Any] = {kind: {"schema": image} for kind in KINDS}
    answers[KINDS[0]] = {"schema": {"type": "object"}}
    return {
        "summary": "What is in an image",
        "description": (
            f"Weights for the task {task}. The answer is the record that yolo-max predict writes, without "
            "its path; or, with Accept: image/jpeg or image/png, the annotated image."
        ),
        "openapi_extra": {
            "parameters": [
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "schema": _schema(accepted, name),
                    "description": known["description"],
                }
                for name, known in options.items()
            ],
            "requestBody": {"required": True, "content": sent},
            "responses": {
                "200": {"description": "The prediction.", "content": answers},
                **refusals(*_REFUSALS),
            },
        },
    }


def _one_of(ways: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the image in one of several ways, and options."""
    return {
        "type": "object",
        "oneOf": [{"required": [name]} for name in ways],
        "properties": {**ways, **options},
    }


def page_of_routes(openapi: Mapping[str, Any]) -> str:
    """The description as a page."""
    routes = [
        (method.upper(), path, about_it)
        for path, methods in openapi["paths"].items()
        for method, about_it in methods.items()
    ]
    return render(_PAGES / "routes.html", routes=routes, version=openapi["info"]["version"])


def _headers(page: str) -> dict[str, str]:
    """Allows the page its own script and style, by their digests, and nothing from elsewhere."""
    allowed = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {allowed['script'] or chr(39) + 'none' + chr(39)}; "
        f"style-src {allowed['style']}; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}


_COLORS = [f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in map(class_color, range(100))]
PAGE = render(_PAGES / "try.html", colors=_COLORS)
"""The page to try it."""
PAGE_HEADERS = _headers(PAGE)
"""Of that page; the page of the routes has its style, and no script."""
