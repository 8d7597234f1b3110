"""HTTP/1.1 of the servers that the tests of AWS are made of: bytes in, bytes out, nothing smoothed over."""

import asyncio
import socket
import struct

from aws_wire import Request

REASONS = {100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}


async def read_request(reader, writer=None):
    """The next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    fields = {name.lower(): value for name, value in headers}
    if fields.get("expect") and writer:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = await read_body(reader, fields)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return Request(method, target, headers, body)


async def read_body(reader, fields):
    if fields.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(fields.get("content-length", 0)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


def response(status, headers, body):
    """The bytes of an ordinary answer."""
    fields = dict(headers)
    if status != 204 and "Content-Length" not in fields and "Transfer-Encoding" not in fields:
        fields["Content-Length"] = len(body)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\n{head}\r\n".encode("latin-1") + body


def reset(writer):
    """Ends a connection with a reset, as a machine that has gone does."""
    sock = writer.get_extra_info("socket")
    if sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
