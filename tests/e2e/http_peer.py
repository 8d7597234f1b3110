"""A server for the HTTP client's tests that does what it is told, and a proxy in front of it.

http_peer.py FOLDER prints its process id and its ports: plain, TLS (with FOLDER/server.pem), proxy. It ends with the
process that started it. What a connection gets is in the path of the request; a request that was read completely is
counted under its path, and /seen/PATH tells how often that was.

  /echo             the bytes of the request
  /raw/HEX/END      these bytes, then END: close, reset, hold, or keep
  /cut/N/HEX/END    the first N of these bytes
  /late/HEX         `ok`, and these bytes a little later
  /drip/HEX         these bytes, one by one, a fiftieth of a second apart
  /second/END       `ok`; END when it is not the first request of its connection
  /unread/N/END     END after N bytes of the body were read
  /early            an answer and the end of the connection before the body was read
  /flood/WHAT       headers, interim answers, body or chunks without end
  /tls              whether the TLS session is one that was used before
  /port             the port of the client
  /alone            `ok`, once this is the only connection
anything else       `ok`
"""

import ctypes
import os
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FLOODS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-%d: " + b"y" * 1000 + b"\r\n"),
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\nx-%d: 1\r\n\r\n"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "line": (b"HTTP/1.1 200 OK\r\nx: ", b"%d"),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"%d" + b"z" * 5000),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;%d\r\nz\r\n"),
    "extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"%d"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x-%d: 1\r\n"),
}
seen, connections, lock = {}, 0, threading.Lock()


def answer(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Gone(Exception):
    pass


class Connection:
    def __init__(self, sock, address):
        self.sock, self.address, self.buffer, self.served = sock, address, b"", 0

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.buffer += data

    def take(self, size):
        while len(self.buffer) < size:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        return self.take(self.buffer.index(b"\r\n\r\n") + 4)

    def end(self, how):
        if how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "hold":
            time.sleep(600)
        elif how == "keep":
            return
        raise Gone

    def flood(self, what):
        start, piece = FLOODS[what]
        self.sock.sendall(start)
        i = 0
        while True:
            self.sock.sendall(b"".join(piece.replace(b"%d", b"%d" % (i + k)) for k in range(200)))
            i += 200

    def respond(self, words, raw):
        kind = words[0]
        if kind == "echo":
            self.sock.sendall(answer(raw))
        elif kind == "seen":
            self.sock.sendall(answer(b"%d" % seen.get("/" + "/".join(words[1:]), 0)))
        elif kind == "tls":
            time.sleep(0.1)  # so that the next request gets another connection
            self.sock.sendall(answer(b"again" if self.sock.session_reused else b"new"))
        elif kind == "alone":
            while connections > 1:
                time.sleep(0.005)
            self.sock.sendall(OK)
        elif kind == "port":
            self.sock.sendall(answer(b"%d" % self.address[1]))
        elif kind in ("raw", "cut"):
            words = words if kind == "cut" else ["cut", "1000000"] + words[1:]
            self.sock.sendall(bytes.fromhex(words[2])[:int(words[1])])
            self.end(words[3])
        elif kind == "late":
            self.sock.sendall(OK)
            time.sleep(0.05)
            self.sock.sendall(bytes.fromhex(words[1]))
        elif kind == "drip":
            for byte in bytes.fromhex(words[1]):
                self.sock.sendall(bytes([byte]))
                time.sleep(0.02)
        elif kind == "flood":
            self.flood(words[1])
        elif kind == "second" and self.served > 0:
            self.end(words[1])
        else:
            self.sock.sendall(OK)

    def request(self):
        head = self.head()
        path = head.split(b" ")[1].decode("latin-1")
        words = path[1:].split("?")[0].split("/")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
        length = int(length[1]) if length else 0
        if words[0] == "early":
            self.sock.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
            self.end("close")
        if words[0] == "unread":
            self.take(int(words[1]))
            self.end(words[2])
        body = self.take(length)
        with lock:
            seen[path] = seen.get(path, 0) + 1
        self.respond(words, head + body)
        self.served += 1

    def serve(self):
        while True:
            self.request()


class Proxy(Connection):
    """Tunnels to where it is told; refuses hosts that begin with `no`, and does not know those that begin with
    `broken`. Other requests it answers itself."""

    def tunnel(self, target):
        if target.startswith("no"):
            self.sock.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            self.end("close")
        if target.startswith("broken"):
            self.sock.sendall(b"what?\r\n\r\n")
            self.end("close")
        other = socket.create_connection(("127.0.0.1", int(target.split(":")[-1])))
        self.sock.sendall(b"HTTP/1.1 200 Go on\r\nX-Of-Proxy: 1\r\n\r\n")
        ends = {self.sock: other, other: self.sock}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                data = end.recv(65536)
                if not data:
                    raise Gone
                ends[end].sendall(data)

    def request(self):
        head = self.head()
        method, target = head.split(b" ")[:2]
        if method == b"CONNECT":
            self.tunnel(target.decode())
        self.take(int((re.search(rb"\r\ncontent-length: *(\d+)", head, re.I) or [0, 0])[1]))
        self.sock.sendall(answer(b"proxy: " + target))


def count(change):
    global connections
    with lock:
        connections += change


def handle(sock, address, kind, context):
    count(1)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            sock = context.wrap_socket(sock, server_side=True)
        kind(sock, address).serve()
    except (Gone, OSError, IndexError):
        pass
    finally:
        sock.close()
        count(-1)


def listen(kind, context=None):
    server = socket.create_server(("127.0.0.1", 0), backlog=2048)

    def accept():
        while True:
            threading.Thread(target=handle, args=(*server.accept(), kind, context), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def tls_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder + "/server.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG
print(os.getpid(), listen(Connection), listen(Connection, tls_context(sys.argv[1])), listen(Proxy), flush=True)
threading.Event().wait()
