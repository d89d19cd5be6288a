"""What a client sent: the bytes of an image, or its address, and options as they were written."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from yolo_max.images.addresses import request
from yolo_max.images.header import require_signature
from yolo_max.serve.body import Body
from yolo_max.serve.errors import RequestError
from yolo_max.support.errors import ImageError
from yolo_max.support.text import visible

MAX_FIELDS = 20
MAX_FIELD_BYTES = 2**14
MAX_COMMAS = 10_000
"""In JSON; its only long value is one text, and more values are nothing that is asked for."""
UNSAID = "application/x-www-form-urlencoded"
"""What curl calls a body of which nothing is said."""
HOW = "send the bytes of an image as image/jpeg (or application/octet-stream), multipart/form-data, or JSON"


@dataclass(frozen=True)
class Upload:
    """What a client sent.

    Attributes:
        data: An image file; empty if there is
        url: the address of one.
        options: Values by name: text, or what JSON has.
    """

    data: bytes = b""
    url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def kind_of(headers: Headers) -> str:
    """How a body is to be read: "image", "form" or "json".

    Raises:
        RequestError: Its media type or encoding is none that is read.
    """
    media = _media(headers)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "the body is compressed; send it as it is.")
    if media in ("", "application/octet-stream", UNSAID) or media.startswith("image/"):
        return "image"
    if media == "multipart/form-data":
        return "form"
    if media == "application/json":
        return "json"
    raise _unread(media)


def read_image(headers: Headers, data: bytes) -> Upload:
    """The bytes of an image file.

    Raises:
        RequestError: They are called `UNSAID`, and do not begin like an image.
    """
    if (media := _media(headers)) == UNSAID:
        try:
            require_signature(data)
        except ImageError:
            raise _unread(media) from None
    return Upload(data)


def _media(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _unread(media: str) -> RequestError:
    return RequestError(415, f"the body is {visible(media[:60])}; {HOW}.")


class _InMemory(MultiPartParser):
    """A parser that writes nothing to files, not even temporary ones."""

    spool_max_size = 0  # SpooledTemporaryFile's "never"


async def read_form(headers: Headers, body: Body) -> Upload:
    """A form with one file, whatever it is called, and options as its fields.

    Raises:
        RequestError: It is something else.
    """
    parser = _InMemory(
        headers, body.pieces(), max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestError(400, f"the form cannot be read: {visible(error.message.rstrip('.'))}.") from None
    try:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        options: dict[str, str] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                options[name] = f"{options[name]},{value}" if name in options else value
        if files:
            return Upload(await files[0].read(), None, options)
    finally:
        await form.close()
    if url := options.pop("url", None):
        return Upload(url=url, options=options)
    raise RequestError(422, "the form has no file; add one, as curl -F file=@street.jpg does.")


def read_json(data: bytes) -> Upload:
    """``{"image": base64}`` or ``{"url": ...}``, with options beside it.

    Raises:
        RequestError: It is something else.
    """
    try:
        if data.count(b",") > MAX_COMMAS:
            raise RequestError(422, "the JSON has too many values.")
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is not JSON.") from None
    if not isinstance(fields, dict):
        raise RequestError(422, 'the JSON must be an object: {"image": "<base64>"}.')
    image, url = fields.pop("image", None), fields.pop("url", None)
    if isinstance(image, str) == isinstance(url, str):
        raise RequestError(422, 'the JSON must have either "image", in base64, or "url".')
    if not isinstance(image, str):
        return Upload(url=url, options=fields)
    start, comma, rest = image[:100].partition(",")
    if comma and start.startswith("data:") and start.endswith(";base64"):
        image = rest + image[100:]
    try:
        return Upload(base64.b64decode(image, validate=True), None, fields)
    except (binascii.Error, ValueError):
        raise RequestError(422, '"image" is not base64.') from None


def fetch(url: str, *, max_bytes: int, seconds: float) -> bytes:
    """The bytes at a public address.

    Raises:
        RequestError: They are not given.
    """
    try:
        with request(url, private=False, max_bytes=max_bytes, seconds=seconds) as response:
            return response.read()
    except ImageError as error:
        raise RequestError(422, f"the address is not read: {error.reason}.") from None
