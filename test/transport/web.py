#!/usr/bin/env python3
"""A web server for tests: Python's http.server, answering as it is asked to.

    web.py [--until-eof] --out FILE

Its first line on standard output is "port N"; it listens on 127.0.0.1 only.
Each request becomes a line of JSON in FILE: method, path, headers (their names
in lower case), body. What it answers is said by the query of the URL:

  status=N             the status (default 200)
  body=TEXT            the body
  header=NAME:VALUE    another header
  times=N              only the first N requests to this path; then 200
  close                close the connection without an answer
"""
import argparse
import http.server
import json
import sys
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    out = None
    seen = {}                   # how often each path was asked for
    lock = threading.Lock()

    def answer(self):
        """Takes one request and answers it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True,
                                      errors="surrogateescape")
        with self.lock:
            count = self.seen[parts.path] = self.seen.get(parts.path, 0) + 1
            self.out.write(json.dumps({
                "method": self.command, "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode("utf-8", "replace")}) + "\n")
            self.out.flush()
        if count > int(query.get("times", ["1000000"])[0]):
            query = {}
        if "close" in query:
            self.close_connection = True
            return
        said = query.get("body", [""])[0].encode(errors="surrogateescape")
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("Content-Length", str(len(said)))
        for header in query.get("header", ()):
            self.send_header(*header.split(":", 1))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_args):
        """Says nothing."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    Handler.out = open(options.out, "a")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("port %d" % server.server_port, flush=True)
    if options.until_eof:
        def wait():
            sys.stdin.read()
            server.shutdown()
        threading.Thread(target=wait, daemon=True).start()
    server.serve_forever()


main()
