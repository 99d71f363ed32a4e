#!/usr/bin/env python3
"""Tests of mautomate-transport with web servers: Python's own, and one that
misbehaves. Loopback only. Prints TAP.

    test_http.py [NAME...]    only those tests"""
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

from client import Transport, frame, mail_frame, request_frame, shim, string
from tap import FOLDER, equal, lines, path, run, test


class Web:
    """One running web server; requests is what it was asked."""

    def __init__(self, status=200, body=b"fine", headers=(), tls=None):
        web = self
        self.requests = []
        self.connections = 0
        self.closed = 0             # of them

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers everything the same way."""
            protocol_version = "HTTP/1.1"

            def setup(self):
                web.connections += 1
                super().setup()

            def finish(self):
                super().finish()
                web.closed += 1

            def answer(self):
                length = int(self.headers.get("Content-Length", 0))
                web.requests.append((self.command, self.path,
                                     dict(self.headers),
                                     self.rfile.read(length)))
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *_arguments):
                """Nothing."""

        class Server(http.server.ThreadingHTTPServer):
            """Says nothing about clients that went away."""
            daemon_threads = True

            def handle_error(self, *_arguments):
                """Nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.01})
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Raw:
    """A server that reads a request and writes these bytes; None: nothing,
    and the connection stays."""

    def __init__(self, data):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/" % self.listener.getsockname()[1]
        self.data = data
        self.kept = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Answers one connection after the other."""
        while True:
            try:
                connection, _ = self.listener.accept()
                connection.recv(65536)
                if self.data is None:
                    self.kept.append(connection)
                    continue
                connection.sendall(self.data)
                connection.close()
            except OSError:
                if self.listener.fileno() < 0:
                    return

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.listener.close()


def transport(**settings):
    """A program for web servers that may go to loopback."""
    settings.setdefault("allow_private", 1)
    return Transport(kind="http", host="", tls="none", **settings)


def outcome(server, **settings):
    """What became of one POST: outcome and code."""
    with transport(**settings) as running:
        result = running.request("POST", server.url, body=b"x")
        return result.outcome, result.code


@test
def sends_requests_as_they_are():
    body = bytes(range(256)) * 1000
    headers = ["Content-Type: application/json", "X-Signature: a=b, c",
               "Idempotency-Key: 17"]
    with Web() as web, transport() as running:
        result = running.request("POST", web.url + "a?b=c%20d", headers, body)
        equal((result.outcome, result.code, result.text), ("sent", 200, "fine"))
        equal(running.ending, [1])
        method, target, got, got_body = web.requests[0]
        equal((method, target), ("POST", "/a?b=c%20d"))
        equal(got_body == body, True)
        got.pop("Host")
        equal(got, {"Content-Type": "application/json",
                    "X-Signature": "a=b, c", "Idempotency-Key": "17",
                    "User-Agent": "mautomate", "Accept": "*/*",
                    "Content-Length": str(len(body))})


@test
def knows_methods():
    with Web() as web, transport() as running:
        for method, body in (("GET", b""), ("HEAD", b""), ("DELETE", b""),
                             ("PUT", b"x"), ("POST", b""), ("GET", b"")):
            result = running.request(method, web.url, body=body)
            equal((method, result.outcome), (method, "sent"))
        equal([(request[0], request[3]) for request in web.requests],
              [("GET", b""), ("HEAD", b""), ("DELETE", b""), ("PUT", b"x"),
               ("POST", b""), ("GET", b"")])
        equal("Content-Type" in web.requests[4][2], False)
        equal(web.connections, 1)


@test
def judges_statuses():
    for status, wanted in ((200, "sent"), (204, "sent"), (400, "permanent"),
                           (404, "permanent"), (410, "permanent"),
                           (408, "temporary"), (425, "temporary"),
                           (429, "temporary"), (500, "temporary"),
                           (503, "temporary")):
        with Web(status=status, body=b"") as web:
            equal(outcome(web), (wanted, status))


@test
def captures_the_response_and_caps_it():
    with Web(body=b'{"id": "\xc3\xa4\r\n\0"}') as web, transport() as running:
        equal(running.request("GET", web.url).text, '{"id": "\xe4???"}')
    with Web(body=b"x" * 5000000) as web, transport() as running:
        result = running.request("GET", web.url)
        equal((result.outcome, result.text), ("sent", "x" * 1000))
        equal(running.request("GET", web.url).outcome, "sent")


@test
def follows_no_redirect():
    with Web() as target:
        for status in (301, 302, 303, 307, 308):
            with Web(status=status, headers=[("Location", target.url)]) as web:
                equal(outcome(web), ("permanent", status))
        equal(target.requests, [])


@test
def goes_to_no_private_address():
    with Web() as web, transport(allow_private=0) as running:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]",
                     "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "0",
                     "[::ffff:7f00:1]", "[::]", "169.254.1.1",
                     "10.0.0.1", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]",
                     "[2002:7f00:1::]"):
            result = running.request("GET",
                                     "http://%s:%d/" % (host, web.port))
            equal((host, result.outcome, result.text),
                  (host, "permanent", "the address is private or reserved"))
        equal(running.ending, [])
        equal(web.connections, 0)
    with Web() as web, transport() as running:
        for host in ("localhost", "0x7f000001", "[::ffff:127.0.0.1]"):
            result = running.request("GET", "http://%s:%d/" % (host, web.port))
            equal((host, result.outcome), (host, "sent"))


NAME = "hooks.example.com"
PUBLIC = "198.20.0.1", "2600::1"        # the shim leads them to the server


class Names:
    """A program in a world where NAME leads to these addresses, and what it
    makes of that."""

    def __init__(self, addresses, **settings):
        self.log = path("names")
        open(self.log, "w").close()
        self.transport = transport(
            environment=shim(FOLDER, names=NAME + "=" + addresses,
                             log=self.log), **settings)

    def request(self, port, number=1):
        """Outcome, text, and where it was connected to."""
        before = len(lines(self.log))
        result = self.transport.request(
            "POST", "http://%s:%d/" % (NAME, port), number=number)
        return (result.outcome, result.text,
                [line.removeprefix("connect ")
                 for line in lines(self.log)[before:]
                 if line.startswith("connect ")])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.transport.__exit__(*error)


REFUSED = "permanent", "the address is private or reserved", []


@test
def follows_no_name_to_a_private_address():
    for address in ("127.0.0.1", "::1", "10.1.2.3", "172.16.0.1",
                    "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
                    "fc00::1", "fd00:ec2::254", "fe80::1", "::ffff:127.0.0.1",
                    "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
                    "10.0.0.1,::1,127.0.0.1"):
        with Web() as web:
            with Names(address, allow_private=0) as names:
                equal((address, names.request(web.port)), (address, REFUSED))
                equal(names.transport.ending, [])
            equal(web.connections, 0)
            with Names(address) as names:
                outcome, _, connected = names.request(web.port)
                equal((address, outcome), (address, "sent"))
                equal(set(connected) - set(address.split(",")), set())
    for address in PUBLIC:
        with Web() as web, Names(address, allow_private=0) as names:
            equal(names.request(web.port), ("sent", "fine", [address]))


@test
def goes_only_to_those_addresses_of_a_name_that_it_may():
    for public in PUBLIC:
        for addresses in ("127.0.0.1,%s", "%s,10.0.0.1", "::1,10.0.0.1,%s",
                          "::ffff:127.0.0.1,%s,fc00::1"):
            with Web() as web, Names(addresses % public,
                                     allow_private=0) as names:
                equal((addresses, names.request(web.port)),
                      (addresses, ("sent", "fine", [public])))
    # nobody is there: the others are no way out, and it may come back
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with Names("127.0.0.1,%s,::1" % PUBLIC[0],
                   allow_private=0) as names:
            outcome, _, connected = names.request(closed.getsockname()[1])
            equal((outcome, connected), ("not_reached", [PUBLIC[0]]))


@test
def goes_to_the_address_that_it_has_judged():
    """A name that leads elsewhere the second time (DNS rebinding)."""
    with Web() as web, Names(PUBLIC[0] + "|127.0.0.1", allow_private=0,
                             idle_ms=50) as names:
        equal(names.request(web.port), ("sent", "fine", [PUBLIC[0]]))
        limit = time.monotonic() + 5
        while web.closed < 1:
            assert time.monotonic() < limit, "it stays open"
        # over a new connection, with a new look-up
        equal(names.request(web.port, 2), REFUSED)
        equal(lines(names.log).count("name " + NAME), 2)
        equal(web.connections, 1)


@test
def refuses_what_is_not_one_request():
    with Web() as web, transport() as running:
        for url in ("", "x", "ftp://127.0.0.1/", "file:///etc/passwd",
                    "gopher://127.0.0.1:%d/_x" % web.port, "http://",
                    "http://a b/", web.url + "\r\nX: y", web.url + "\n",
                    "http://user:pw@127.0.0.1/", web.url + "x" * 8001,
                    web.url + "\xe4"):
            equal((url, running.request("GET", url).outcome),
                  (url, "permanent"))
        for method in ("", "GET /", "GET\r\n", "G\tT", "X" * 17):
            equal((method, running.request(method, web.url).outcome),
                  (method, "permanent"))
        for header in ("x", "X:y", "X: ", ": y", "X : y", "X: y\r", "X: \x01",
                       "Content-Length: 1", "transfer-encoding: chunked",
                       "Host: other", "Connection: close", "@x: y"):
            equal((header,
                   running.request("GET", web.url, [header]).outcome),
                  (header, "permanent"))
        equal(web.connections, 0)


@test
def survives_bad_servers():
    for data, wanted in (
            (b"", ("in_doubt", 0)), (None, ("in_doubt", 0)),
            (b"HTTP/1.1 200 ok\r\n", ("sent", 200)),
            (b"HTTP/1.1 200 ok\r\nContent-Length: 99\r\n\r\nx", ("sent", 200)),
            (b"HTTP/1.1 503 no\r\nContent-Length: 99\r\n\r\nx",
             ("temporary", 503)),
            (b"HTTP/1.1 100 go on\r\n\r\n", ("in_doubt", 0)),
            (b"220 smtp\r\n", ("in_doubt", 0)),
            (b"HTTP/1.1 200 ok\r\nX: " + b"x" * 5000000, ("sent", 200))):
        with Raw(data) as raw:
            equal((data and data[:40], outcome(raw, reply_ms=400)),
                  (data and data[:40], wanted))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with transport() as running:
            result = running.request("POST", "http://127.0.0.1:%d/" %
                                     closed.getsockname()[1])
            equal((result.outcome, result.code, result.text),
                  ("not_reached", 0, "Connection refused"))


@test
def verifies_certificates():
    cert, key = path("crt"), path("key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out",
         cert, "-keyout", key], check=True, capture_output=True)
    with Web(tls=(cert, key)) as web:
        url = "https://localhost:%d/" % web.port
        for settings, host, wanted in (
                ({"ca_file": cert}, "localhost", "sent"),
                ({}, "localhost", "not_reached"),
                ({"ca_file": cert}, "127.0.0.1", "not_reached"),
                ({"insecure": 1}, "127.0.0.1", "sent")):
            with transport(**settings) as running:
                result = running.request("GET",
                                         url.replace("localhost", host))
                equal((settings, host, result.outcome),
                      (settings, host, wanted))


@test
def ignores_proxies_and_netrc():
    environment = {name: "http://127.0.0.1:1" for name in
                   ("all_proxy", "http_proxy", "https_proxy")}
    environment["HOME"] = FOLDER
    with open(os.path.join(FOLDER, ".netrc"), "w") as file:
        file.write("default login a password b\n")
    with Web() as web, transport(environment=environment) as running:
        equal(running.request("GET", web.url).outcome, "sent")
        equal("Authorization" in web.requests[0][2], False)


@test
def takes_only_its_own_frames():
    good = frame(b"C", string("kind") + string("http"))
    for data in (mail_frame(1, "a@b", "c@d", b"x"), frame(b"Q", b"\0" * 9)):
        with Transport(config=good + data) as running:
            equal(running.result(), None)
            equal(running.end(), 1)
            assert running.broken.endswith("is broken"), running.broken
    with Transport() as running:
        running.write(request_frame(1, "GET", "http://localhost/"))
        equal(running.result(), None)
        equal(running.broken, "a request is broken")


@test
def closes_connections_that_rest():
    with Web() as web, transport(idle_ms=50) as running:
        for count in range(1, 3):
            equal(running.request("GET", web.url).outcome, "sent")
            equal(web.connections, count)
            limit = time.monotonic() + 5
            while web.closed < count:
                assert time.monotonic() < limit, "it stays open"


sys.exit(run())
