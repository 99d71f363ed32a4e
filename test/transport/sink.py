#!/usr/bin/env python3
"""A mail server for tests: takes every message, or fails as told.

    sink.py [options]

Its first line on standard output is "port N". It listens on 127.0.0.1 only
and ends at SIGTERM, SIGINT or, with --until-eof, at the end of its standard
input; its last line is then "received N connections M", N being the messages
it has answered with 250.

  --port N             listen there (default: any free port)
  --latency MS         answer each command after so long
  --final-latency MS   answer the end of a message after so long (default: as
                       --latency)
  --out FILE           append each message as one line of JSON, at most 20 ms
                       after it was received
  --dir FOLDER         write each message as FOLDER/000001.eml and so on, its
                       envelope as FOLDER/000001.json
  --tls CERT KEY       offer STARTTLS
  --smtps              with --tls: TLS from the first byte instead
  --auth USER:PASSWORD demand this login (PLAIN or LOGIN, XOAUTH2 with the
                       password as the token)
  --utf8               offer SMTPUTF8 and 8BITMIME
  --pipelining         offer PIPELINING and SIZE
  --plain-offers       offer these only before TLS has begun
  --fault STAGE=WHAT   fail there; may be given again and again
  --until-eof          end at the end of standard input
  --tell N             a line "taken" on standard output after each N messages
                       it has answered with 250
  --commands FILE      append each line read from a client outside of messages

STAGE is banner, ehlo, helo, starttls, auth, mail, rcpt, data, body, end, rset,
noop or quit: the answer to that, body being the first bytes of a message and
end the answer to its last. WHAT is

  421, 550 ...         a reply with this code
  250:TEXT             a reply with this code and text; "\\n" in TEXT begins
                       another line of it
  close                close the connection without a reply
  reset                the same, rudely
  mute                 never answer; at body: read no more
  endless              a reply of lines without end
  drip                 a good reply, one byte a second

and may end in @FIRST (1 is the first time that this stage is reached, over
all connections) and *COUNT (so many times; default: always):
"--fault rcpt=451*2" refuses two recipients for now and takes the rest,
"--fault mail=421@2*1" only the second message.

A line of --out and a file of --dir hold: sender, recipients, data (its bytes
as Latin-1, dots removed), helo, tls, user, connection (a number), message (a
number), time (seconds since the epoch) and reply: the code given to the end
of the message, 0 if none was.
"""
import argparse
import asyncio
import base64
import json
import os
import re
import signal
import ssl
import sys
import time

STAGES = ("banner", "ehlo", "helo", "starttls", "auth", "mail", "rcpt",
          "data", "body", "end", "rset", "noop", "quit")
REPLIES = {"banner": "220 sink", "helo": "250 sink", "mail": "250 2.1.0 ok",
           "starttls": "220 go on", "auth": "235 2.7.0 welcome",
           "rcpt": "250 2.1.5 ok", "data": "354 go on",
           "end": "250 2.0.0 taken", "rset": "250 2.0.0 ok",
           "noop": "250 2.0.0 ok", "quit": "221 2.0.0 bye"}
WHATS = ("close", "reset", "mute", "endless", "drip")
LINE_MAX = 64 * 1024


class Fault:
    """One --fault: what to do and when."""

    def __init__(self, text):
        match = re.fullmatch(r"(\w+)=(.+?)(?:@(\d+))?(?:\*(\d+))?", text)
        if not match or match[1] not in STAGES:
            raise argparse.ArgumentTypeError("not STAGE=WHAT: " + text)
        self.stage = match[1]
        self.what = match[2]
        if not self.what[:3].isdigit() and self.what not in WHATS:
            raise argparse.ArgumentTypeError("unknown fault: " + text)
        self.first = int(match[3] or 1)
        self.count = int(match[4]) if match[4] else None
        self.seen = 0

    def applies(self):
        """Counts one time that its stage is reached; is it one to fail?"""
        self.seen += 1
        return self.seen >= self.first and (
            self.count is None or self.seen < self.first + self.count)


class Store:
    """What was received."""

    def __init__(self, options, loop):
        self.loop = loop
        self.accepted = 0
        self.messages = 0
        self.connections = 0
        self.folder = options.dir
        self.tell = options.tell
        self.out = open(options.out, "a") if options.out else None
        self.commands = open(options.commands, "a") if options.commands \
            else None
        self.flush_due = False
        if self.folder:
            os.makedirs(self.folder, exist_ok=True)

    def add(self, envelope, data, reply):
        """Keeps one message."""
        self.messages += 1
        self.accepted += reply == 250
        if self.tell and reply == 250 and self.accepted % self.tell == 0:
            print("taken", flush=True)
        if not self.out and not self.folder:
            return
        envelope = dict(envelope, message=self.messages, time=time.time(),
                        reply=reply)
        if self.folder:
            stem = os.path.join(self.folder, "%06d" % self.messages)
            with open(stem + ".eml", "wb") as file:
                file.write(data)
            with open(stem + ".json", "w") as file:
                json.dump(envelope, file)
        if self.out:
            envelope["data"] = data.decode("latin-1")
            self.out.write(json.dumps(envelope) + "\n")
            self.flush_soon()

    def command(self, line):
        """Keeps a line of a client."""
        if self.commands:
            self.commands.write(line.decode("latin-1") + "\n")
            self.flush_soon()

    def flush_soon(self):
        """Many messages share one write."""
        if not self.flush_due:
            self.flush_due = True
            self.loop.call_later(0.02, self.flush)

    def flush(self):
        """Writes what is kept in memory."""
        self.flush_due = False
        for file in (self.out, self.commands):
            if file:
                file.flush()


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server):
        self.server = server
        self.transport = None
        self.buffer = bytearray()
        self.waiting = False        # an answer is due; input has to wait
        self.silent = False         # no answer will ever come
        self.in_data = False
        self.login = None           # lines of an AUTH exchange still to come
        self.body_seen = False
        self.envelope = {"helo": "", "tls": False, "user": None}
        self.sender = None
        self.recipients = []

    def connection_made(self, transport):
        self.transport = transport
        self.server.sessions.add(self)
        self.server.store.connections += 1
        self.envelope["connection"] = self.server.store.connections
        self.envelope["tls"] = \
            transport.get_extra_info("ssl_object") is not None
        self.answer("banner")

    def connection_lost(self, _error):
        self.silent = True
        self.server.sessions.discard(self)

    def data_received(self, data):
        self.buffer += data
        if not self.waiting and not self.silent:
            self.parse()

    def parse(self):
        """Takes whole lines and messages from the buffer."""
        while self.buffer and not self.waiting and not self.silent:
            if self.in_data:
                if not self.parse_data():
                    return
                continue
            end = self.buffer.find(b"\n")
            if end < 0:
                if len(self.buffer) > LINE_MAX:
                    self.transport.abort()
                return
            line = bytes(self.buffer[:end]).rstrip(b"\r")
            del self.buffer[:end + 1]
            self.server.store.command(line)
            if self.login:
                self.login(line)
            else:
                self.command(line)

    def parse_data(self):
        """True if a message was whole."""
        if not self.body_seen:
            self.body_seen = True
            if self.fail("body"):
                return False
        if self.buffer.startswith(b".\r\n"):
            end, data = 3, b""
        else:
            found = self.buffer.find(b"\r\n.\r\n")
            if found < 0:
                return False
            end, data = found + 5, bytes(self.buffer[:found + 2])
        del self.buffer[:end]
        if data.startswith(b"."):
            data = data[1:]
        data = data.replace(b"\r\n.", b"\r\n")
        self.in_data = False
        self.envelope["sender"] = self.sender
        self.envelope["recipients"] = self.recipients
        envelope = self.envelope
        self.sender, self.recipients = None, []
        self.answer("end", taken=lambda code:
                    self.server.store.add(envelope, data, code))
        return True

    def command(self, line):
        """Answers one line."""
        verb, _, rest = line.decode("latin-1").partition(" ")
        verb = verb.lower()
        handler = self.HANDLERS.get(verb)
        if handler:
            handler(self, rest)
        else:
            self.write("502 5.5.2 what?")

    def do_ehlo(self, rest):
        self.envelope["helo"] = rest
        lines = ["sink"] + self.server.features(self.envelope["tls"])
        self.answer("ehlo", "".join("250-%s\r\n" % line for line in lines) +
                    "250 ENHANCEDSTATUSCODES")

    def do_helo(self, rest):
        self.envelope["helo"] = rest
        self.answer("helo")

    def do_starttls(self, _rest):
        if not self.server.tls or self.envelope["tls"]:
            self.write("502 5.5.1 no")
        else:
            self.answer("starttls", then=self.start_tls)

    def start_tls(self):
        """The 220 is written: the next bytes are TLS."""
        self.buffer.clear()
        self.waiting = True
        self.envelope["tls"] = True
        asyncio.ensure_future(self.upgrade())

    async def upgrade(self):
        """Changes the transport for one with TLS."""
        try:
            self.transport = await asyncio.get_running_loop().start_tls(
                self.transport, self, self.server.tls, server_side=True)
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            return
        self.waiting = False
        self.parse()

    def do_auth(self, rest):
        mechanism, _, initial = rest.partition(" ")
        mechanism = mechanism.upper()
        if mechanism == "LOGIN":
            self.ask("VXNlcm5hbWU6", lambda user: self.ask(
                "UGFzc3dvcmQ6", lambda password: self.check(
                    b64(user) + ":" + b64(password))))
        elif mechanism == "PLAIN":
            self.initial(initial, lambda line: self.check(
                ":".join(b64(line).split("\0")[1:])))
        elif mechanism == "XOAUTH2":
            self.initial(initial, lambda line: self.check(
                re.sub(r"^user=(.*?)\x01auth=Bearer (.*?)\x01\x01$",
                       r"\1:\2", b64(line), flags=re.S)))
        else:
            self.write("504 5.5.4 what?")

    def initial(self, line, then):
        """An AUTH exchange of one line, with the command or after it."""
        if line:
            then(line.encode("latin-1"))
        else:
            self.ask("", then)

    def ask(self, prompt, then):
        """Asks for the next line of an AUTH exchange."""
        def got(line):
            self.login = None
            then(line)
        self.login = got
        self.write("334 " + prompt)

    def check(self, login):
        """Is that the login?"""
        if login == self.server.auth:
            self.envelope["user"] = login.partition(":")[0]
            self.answer("auth")
        else:
            self.write("535 5.7.8 wrong")

    def do_mail(self, rest):
        if self.server.auth and not self.envelope["user"]:
            self.write("530 5.7.0 log in first")
            return
        match = re.match(r"FROM:<(.*?)>", rest, re.I)
        if not match:
            self.write("501 5.5.4 what?")
            return
        if self.answer("mail"):
            self.sender, self.recipients = match[1], []

    def do_rcpt(self, rest):
        match = re.match(r"TO:<(.+?)>", rest, re.I)
        if self.sender is None or not match:
            self.write("503 5.5.1 what?")
            return
        if self.answer("rcpt"):
            self.recipients.append(match[1])

    def do_data(self, _rest):
        if not self.recipients:
            self.write("503 5.5.1 to whom?")
            return
        if self.answer("data"):
            self.in_data = True
            self.body_seen = False

    def do_rset(self, _rest):
        self.sender, self.recipients = None, []
        self.answer("rset")

    def do_noop(self, _rest):
        self.answer("noop")

    def do_quit(self, _rest):
        self.answer("quit", then=lambda: self.transport.close())

    HANDLERS = {"ehlo": do_ehlo, "helo": do_helo, "starttls": do_starttls,
                "auth": do_auth, "mail": do_mail, "rcpt": do_rcpt,
                "data": do_data, "rset": do_rset, "noop": do_noop,
                "quit": do_quit}

    def fail(self, stage):
        """Does what a fault says; None if there is none, else the code."""
        for fault in self.server.faults.get(stage, ()):
            if not fault.applies():
                continue
            what = fault.what
            if what[:3].isdigit():
                code, _, text = what.partition(":")
                lines = (text or "5.0.0 as told").split("\\n")
                self.write("".join("%s-%s\r\n" % (code, line)
                                   for line in lines[:-1]) +
                           "%s %s" % (code, lines[-1]))
                return int(code)
            self.silent = True
            if what == "close":
                self.transport.close()
            elif what == "reset":
                self.transport.abort()
            elif what == "endless":
                self.endless()
            elif what == "drip":
                self.drip(REPLIES.get(stage, "250 ok") + "\r\n")
            elif stage == "body":
                self.transport.pause_reading()
            return 0
        return None

    def endless(self):
        """A hundred lines and then some more."""
        if not self.transport.is_closing():
            self.transport.write(b"250-and another thing\r\n" * 100)
            self.server.loop.call_later(0.01, self.endless)

    def drip(self, text):
        """One byte a second."""
        if text and not self.transport.is_closing():
            self.transport.write(text[0].encode())
            self.server.loop.call_later(1, self.drip, text[1:])
        else:
            self.silent = False

    def answer(self, stage, text=None, then=None, taken=None):
        """
        The reply of a stage or its fault. taken learns the code before it is
        written; then is called after a good one. True if it is a good one.
        """
        code = self.fail(stage) if self.server.faults else None
        if code is None:
            code = 250
            self.write(text or REPLIES[stage],
                       self.server.final if stage == "end"
                       else self.server.latency, then, taken)
        elif taken:
            taken(code)
        return code < 400 and code > 0

    def write(self, text, latency=None, then=None, taken=None):
        """Writes a reply when its time has come."""
        if latency is None:
            latency = self.server.latency
        if latency > 0:
            self.waiting = True
            self.server.loop.call_later(latency, self.write_now, text, then,
                                        taken)
        else:
            self.write_now(text, then, taken)

    def write_now(self, text, then, taken):
        """Writes it and goes on."""
        was_waiting, self.waiting = self.waiting, False
        if self.silent or self.transport.is_closing():
            return
        if taken:
            taken(250)
        self.transport.write(text.encode("latin-1") + b"\r\n")
        if then:
            then()
        if was_waiting:
            self.parse()


def b64(line):
    """What a line of an AUTH exchange says."""
    try:
        return base64.b64decode(line).decode()
    except ValueError:
        return ""


class Server:
    """What all connections share."""

    def __init__(self, options, loop):
        self.loop = loop
        self.store = Store(options, loop)
        self.sessions = set()
        self.latency = options.latency / 1000
        self.final = self.latency if options.final_latency is None \
            else options.final_latency / 1000
        self.auth = options.auth
        self.offers = ["SMTPUTF8", "8BITMIME"] if options.utf8 else []
        if options.pipelining:
            self.offers += ["PIPELINING", "SIZE 30000000"]
        self.plain_offers = options.plain_offers
        self.smtps = options.smtps
        self.faults = {}
        for fault in options.fault:
            self.faults.setdefault(fault.stage, []).append(fault)
        self.tls = None
        if options.tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*options.tls)

    def features(self, in_tls):
        """The lines of EHLO."""
        lines = []
        if self.tls and not in_tls:
            lines.append("STARTTLS")
        elif self.auth:
            lines.append("AUTH PLAIN LOGIN XOAUTH2")
        if not (in_tls and self.plain_offers):
            lines += self.offers
        return lines


def parse_options():
    """The command line."""
    parser = argparse.ArgumentParser(
        usage=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--final-latency", type=float)
    parser.add_argument("--out")
    parser.add_argument("--dir")
    parser.add_argument("--commands")
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--smtps", action="store_true")
    parser.add_argument("--auth")
    parser.add_argument("--utf8", action="store_true")
    parser.add_argument("--pipelining", action="store_true")
    parser.add_argument("--plain-offers", action="store_true")
    parser.add_argument("--fault", type=Fault, action="append", default=[])
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("--tell", type=int, default=0)
    return parser.parse_args()


def watch_input(loop, stop):
    """Ends at the end of standard input."""
    def read():
        if not os.read(0, 65536):
            loop.remove_reader(0)
            stop.set()
    loop.add_reader(0, read)


async def main():
    """Serves until told to end."""
    options = parse_options()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_eof:
        watch_input(loop, stop)
    server = Server(options, loop)
    listener = await loop.create_server(
        lambda: Session(server), "127.0.0.1", options.port, backlog=1024,
        ssl=server.tls if server.smtps else None)
    print("port", listener.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    listener.close()
    for session in list(server.sessions):
        session.transport.abort()
    server.store.flush()
    print("received", server.store.accepted, "connections",
          server.store.connections, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except BrokenPipeError:
        sys.exit(1)
