#!/usr/bin/env python3
"""A mail server nobody here wrote: aiosmtpd, with TLS and a login required.

    foreign.py CERT KEY starttls|smtps OUT

Its first line on standard output is "port N"; it ends with its standard
input. The login is me and secret, by PLAIN or LOGIN, or XOAUTH2 with secret as
the token. Each message becomes a line of JSON in OUT: sender, recipients,
login (by which mechanism), tls, subject, text.
"""
import asyncio
import base64
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, auth_mechanism


class Handler:
    """Keeps what it gets."""

    def __init__(self, out):
        self._out = open(out, "a")

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.original_content,
                                        policy=email.policy.default)
        self._out.write(json.dumps({
            "sender": envelope.mail_from, "recipients": envelope.rcpt_tos,
            "login": session.auth_data, "tls":
            server.transport.get_extra_info("ssl_object") is not None,
            "subject": mail["Subject"],
            "text": mail.get_body(("plain",)).get_content()
            .replace("\r\n", "\n")}) + "\n")
        self._out.flush()
        return "250 2.0.0 kept"

    @auth_mechanism("XOAUTH2")
    async def auth_XOAUTH2(self, server, args):
        line = args[1] if len(args) > 1 else ""
        if not line:
            line = await server.challenge_auth("", encode_to_b64=False)
        else:
            line = base64.b64decode(line)
        good = line == b"user=me\x01auth=Bearer secret\x01\x01"
        return AuthResult(success=good, auth_data="XOAUTH2")


def authenticate(_server, _session, _envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and \
        (data.login, data.password) == (b"me", b"secret")
    return AuthResult(success=good, handled=False, auth_data=mechanism)


async def serve(cert, key, mode, out):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    smtps = mode == "smtps"
    handler = Handler(out)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="foreign", auth_required=True,
                     authenticator=authenticate, auth_require_tls=not smtps,
                     tls_context=None if smtps else tls,
                     require_starttls=not smtps, enable_SMTPUTF8=True,
                     loop=loop),
        "127.0.0.1", 0, ssl=tls if smtps else None)
    print("port %d" % server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve(*sys.argv[1:]))
