#!/usr/bin/env python3
"""run.sh check [peer...]: does each peer proxy HTTP/1.1, or is it only quick? The tests in tests/edge are the real judge."""
import re
import signal
import socket
import sys
import threading
import time

import lab


class Echo(threading.Thread):
    """An origin that answers with the request it got, in the form that the path names."""
    def __init__(self, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, c):
        wire = Wire(c)
        try:
            while True:
                head, body, _ = wire.message()
                if not self.answer(c, head.split(b" ")[1], head + b"\n--body--\n" + body):
                    return c.close()
        except (EOFError, OSError):
            pass

    def answer(self, c, path, out):
        if path == b"/chunked":
            c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Secret\r\nX-Secret: 1\r\n\r\n")
            for piece in (out[:len(out) // 2], out[len(out) // 2:]):
                time.sleep(0.02)
                c.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            c.sendall(b"0\r\n\r\n")
        elif path == b"/eof":
            c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + out)
            return False
        else:
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nKeep-Alive: timeout=5\r\n\r\n%s" % (len(out), out))
        return path != b"/bye"   # closes a pooled connection without a word


class Wire:
    """Messages of a connection."""
    def __init__(self, c):
        self.c, self.unread = c, b""

    def more(self):
        read = self.c.recv(65536)
        if not read:
            raise EOFError
        self.unread += read

    def until(self, end):
        while end not in self.unread:
            self.more()
        found, self.unread = self.unread.split(end, 1)
        return found

    def exactly(self, count):
        while len(self.unread) < count:
            self.more()
        found, self.unread = self.unread[:count], self.unread[count:]
        return found

    def message(self, bodiless=False):
        """Head, body, and whether the end of the connection ended it."""
        head = self.until(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
        if bodiless:
            return head, b"", False
        if length:
            return head, self.exactly(int(length[1])), False
        if b"transfer-encoding: chunked" in head.lower():
            body = b""
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                body += self.exactly(size)
                self.until(b"\r\n")
                if size == 0:
                    return head, body, False
        if not head.startswith(b"HTTP/"):
            return head, b"", False
        try:
            while True:
                self.more()
        except EOFError:
            return head, self.unread, True


class Client:
    def __init__(self, port):
        self.port = port

    def connect(self):
        c = socket.create_connection(("127.0.0.1", self.port), 3)
        c.settimeout(3)
        return c, Wire(c)

    def ask(self, request, **how):
        c, wire = self.connect()
        c.sendall(request)
        return wire.message(**how)


def get(path, more=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n" + more + b"\r\n"


def forwarded_for(client):
    more = b"X-Forwarded-For: 1.2.3.4\r\n"
    seen = client.ask(get(b"/a", more))[1].lower()
    return re.search(rb"x-forwarded-for: (1\.2\.3\.4(, *|\r\nx-forwarded-for: ))?127\.0\.0\.1", seen)


def hop_by_hop_of_requests(client):
    more = b"Connection: keep-alive, X-Foo\r\nX-Foo: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\nProxy-Connection: x\r\n"
    seen = client.ask(get(b"/a", more))[1].lower()
    return not any(name in seen for name in (b"x-foo", b"\nkeep-alive:", b"\nte: gzip", b"\nproxy-connection:"))


def hop_by_hop_of_responses(client):
    chunked, plain = client.ask(get(b"/chunked"))[0].lower(), client.ask(get(b"/a"))[0].lower()
    return b"x-secret" not in chunked and b"keep-alive: timeout=5" not in plain


def with_length(client):
    return client.ask(b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")[1].endswith(b"hello")


def with_chunks(client):
    chunks = b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n"
    return client.ask(b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)[1].endswith(b"helloabc")


def close(client):
    c, wire = client.connect()
    c.sendall(get(b"/a", b"Connection: close\r\n"))
    return b"connection: close" in wire.message()[0].lower() and c.recv(1) == b""


def stale(client):
    for _ in range(8):
        client.ask(get(b"/bye"))
    return all(b" 200 " in client.ask(get(b"/a"))[0][:16] for _ in range(8))


def head(client):
    c, wire = client.connect()
    c.sendall(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.message(bodiless=True)
    c.sendall(get(b"/a"))
    return b"--body--" in wire.message()[1]


def pipelined(client):
    c, wire = client.connect()
    c.sendall(get(b"/one") + get(b"/two"))
    return b"GET /one" in wire.message()[1] and b"GET /two" in wire.message()[1]


CHECKS = {
    "X-Forwarded-For": forwarded_for,
    "hop-by-hop of requests": hop_by_hop_of_requests,
    "and of responses": hop_by_hop_of_responses,
    "request with a length": with_length,
    "in chunks": with_chunks,
    "response in chunks": lambda client: b"--body--" in client.ask(get(b"/chunked"))[1],
    "until the end": lambda client: b"--body--" in client.ask(get(b"/eof"))[1],
    "close": close,
    "stale connections": stale,
    "HEAD": head,
    "two at once": pipelined,
}


def judged(check, client):
    try:
        return "ok" if check(client) else "NO"
    except Exception as e:
        return "NO (%s)" % type(e).__name__


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    peers = lab.peers()
    lab.prepare()
    for i in range(1, 5):
        Echo(lab.PORT["O%d" % i])
    print("| peer | %s |\n|%s" % (" | ".join(CHECKS), "---|" * (len(CHECKS) + 1)))
    for name in sys.argv[1:] or [n for n in peers if lab.port_of(peers[n], "h1")]:
        port, process = lab.port_of(peers[name], "h1"), None
        try:
            process = lab.start(name, peers[name], port)
            print("| %s | %s |" % (name, " | ".join(judged(check, Client(port)) for check in CHECKS.values())), flush=True)
        except Exception as e:
            print("| %s | does not start: %s |" % (name, e), flush=True)
        finally:
            lab.stop(process)


if __name__ == "__main__":
    main()
