"""An RTSP server on this machine that plays a few frames of H.264."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from videos import SIZE, picture

SDP = (
    "v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\ns=test\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
)


def access_units(count: int) -> list[list[bytes]]:
    """The NAL units of each frame."""
    import av

    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = SIZE
    encoder.pix_fmt, encoder.framerate = "yuv420p", 25
    encoder.options = {"tune": "zerolatency", "g": "1"}
    frames = [av.VideoFrame.from_ndarray(picture(number), format="bgr24") for number in range(count)]
    packets = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    return [[nal for nal in re.split(rb"\x00\x00\x00?\x01", bytes(packet)) if nal] for packet in packets]


def rtp_packets(count: int) -> Iterator[bytes]:
    """RTP packets, interleaved on channel 0 (RFC 2326, 10.12; RFC 6184)."""
    sequence = 0
    for number, nals in enumerate(access_units(count)):
        for nal in nals:
            marker = 0x80 if nal is nals[-1] else 0
            header = struct.pack(">BBHII", 0x80, 96 | marker, sequence, number * 3600, 1)
            yield struct.pack(">cBH", b"$", 0, len(header) + len(nal)) + header + nal
            sequence += 1


@contextmanager
def playing(
    count: int = 30, *, redirect: str | None = None, status_line: str = "RTSP/1.0 302 Found"
) -> Iterator[tuple[str, list[str]]]:
    """Plays to one client, or redirects it; gives the stream's address, and what it is asked for."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []

    def serve() -> None:
        try:
            client, _ = listener.accept()
            with client, client.makefile("rb") as lines:
                while line := lines.readline():
                    method = line.split(b" ")[0].decode("latin-1")
                    sequence = b"1"
                    while (header := lines.readline()) not in (b"\r\n", b""):
                        if header.lower().startswith(b"cseq:"):
                            sequence = header.split(b":")[1].strip()
                    asked.append(method)
                    more, body = "", ""
                    status = "RTSP/1.0 200 OK"
                    if method == "DESCRIBE":
                        if redirect:
                            status, more = status_line, f"Location: {redirect}\r\n"
                        else:
                            body = SDP
                            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
                    elif method == "SETUP":
                        more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                    elif method == "PLAY":
                        more = "Session: 1\r\n"
                    answer = f"{status}\r\nCSeq: {sequence.decode()}\r\n{more}\r\n{body}"
                    client.sendall(answer.encode())
                    if method == "PLAY":
                        for packet in rtp_packets(count):
                            client.sendall(packet)
                        return
        except OSError:
            return

    Thread(target=serve, daemon=True).start()
    try:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live", asked
    finally:
        listener.close()
