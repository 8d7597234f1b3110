"""Certificates, and a proxy that leads the real names of AWS to a server of ours: with it the program runs without any
endpoint of its own, as it does in a company's network."""

import base64
import socket
import ssl
import subprocess
import threading

NAMES = ("DNS:localhost,IP:127.0.0.1,DNS:*.us-east-1.amazonaws.com,DNS:iam.amazonaws.com,DNS:sts.amazonaws.com,"
         "DNS:*.cn-north-1.amazonaws.com.cn")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def authority(folder, name="ca"):
    """A certificate authority; the path of its certificate."""
    path = f"{folder}/{name}"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=tests {name}",
            "-keyout", path + ".key", "-out", path + ".pem")
    return path + ".pem"


def certificate(folder, ca, name="server", names=NAMES, days=2):
    """A certificate that the authority has signed; the context of a server with it."""
    path, signer = f"{folder}/{name}", ca.removesuffix(".pem")
    with open(path + ".ext", "w") as file:
        file.write(f"subjectAltName={names}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", path + ".key",
            "-out", path + ".csr")
    openssl("x509", "-req", "-in", path + ".csr", "-CA", ca, "-CAkey", signer + ".key", "-CAcreateserial",
            "-days", str(days), "-extfile", path + ".ext", "-out", path + ".pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path + ".pem", path + ".key")
    return context


def pump(source, target):
    try:
        while part := source.recv(65536):
            target.sendall(part)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Proxy:
    """Answers CONNECT, whatever the host, with a tunnel to `port`. `login` is the "name:password" it wants."""

    def __init__(self, port, login=None):
        self.target, self.login, self.hosts, self.answer = port, login, [], None
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(4096)
            if not part:
                return
            head += part
        self.hosts.append(head.split(b"\r\n")[0].decode())
        answer = self.answer or self.refusal(head.decode("latin-1"))
        if answer:
            connection.sendall(answer)
            connection.close()
            return
        other = socket.create_connection(("127.0.0.1", self.target))
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=pump, args=(connection, other), daemon=True).start()
        pump(other, connection)
        connection.close()
        other.close()

    def refusal(self, head):
        if not head.startswith("CONNECT "):
            return b"HTTP/1.1 400 Only tunnels\r\nContent-Length: 0\r\n\r\n"
        if self.login and base64.b64encode(self.login.encode()).decode() not in head:
            return (b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
                    b"Content-Length: 0\r\n\r\n")
        return None

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for connection in self.open:
            connection.close()
