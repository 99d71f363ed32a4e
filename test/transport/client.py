"""Speaks the frames of src/transport/protocol.h to mautomate-transport, as
the sender would, and starts the sink: what the tests and the measurements
share."""
import os
import queue
import re
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("MAUTOMATE_TRANSPORT",
                         os.path.join(HERE, "../../mautomate-transport"))
WRAPPER = os.environ.get("MAUTOMATE_TRANSPORT_WRAPPER", "").split()

OUTCOMES = {1: "sent", 2: "temporary", 3: "permanent", 4: "not_reached",
            5: "in_doubt", 6: "untried"}
BODY = b"Subject: test\r\n\r\nHello\r\n"


def shim(folder, **settings):
    """The environment in which shim.c does what it is told to by these."""
    library = os.path.join(folder, "shim.so")
    if not os.path.exists(library):
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O1",
                        "-fPIC", "-shared", os.path.join(HERE, "shim.c"),
                        "-ldl", "-o", library], check=True)
    return {"LD_PRELOAD": library,      # before a sanitizer's, too
            "ASAN_OPTIONS": "verify_asan_link_order=0",
            **{"SHIM_" + name.upper(): value
               for name, value in settings.items()}}


def string(value):
    """A string of a frame."""
    if isinstance(value, str):
        value = value.encode()
    return struct.pack("!I", len(value)) + value


def frame(kind, payload):
    """A whole frame."""
    return struct.pack("!I", len(payload) + 1) + kind + payload


def mail_frame(number, sender, recipient, body):
    """A MAIL frame."""
    return frame(b"M", struct.pack("!q", number) + string(sender) +
                 string(recipient) + string(body))


def request_frame(number, method, url, headers=(), body=b""):
    """A REQUEST frame."""
    return frame(b"Q", struct.pack("!q", number) + string(method) +
                 string(url) + string("\n".join(headers)) + string(body))


class Result:
    """A RESULT frame."""

    def __init__(self, payload):
        number, outcome, self.code, self.retry_after, length = struct.unpack(
            "!qBIII", payload[:21])
        self.id = number
        self.outcome = OUTCOMES[outcome]
        self.provided = payload[21:21 + length].decode("utf-8", "replace")
        self.text = payload[21 + length:].decode("utf-8", "replace")
        self.time = time.monotonic()

    def __repr__(self):
        return "%d %s %d %s" % (self.id, self.outcome, self.code, self.text)


class Transport:
    """One running program."""

    def __init__(self, config=None, environment=None, **settings):
        self.process = subprocess.Popen(
            WRAPPER + [PROGRAM], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=environment or {}, bufsize=0)
        self.results = queue.Queue()
        self.ending = []            # ids of ENDING frames
        self.broken = None          # text of a BROKEN frame
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if config is None:
            relays = settings.pop("relays", None)
            if relays is None:
                settings.setdefault("host", "127.0.0.1")
                settings.setdefault("tls", "none")
            pairs = list(settings.items())
            for relay in relays or ():
                pairs.append(("relay", relay.pop("weight", 1)))
                pairs += {"host": "127.0.0.1", "tls": "none",
                          **relay}.items()
            config = frame(b"C", b"".join(
                string(name) + string(str(value)) for name, value in pairs))
        self.write(config)

    def read(self):
        """Takes its frames until it ends."""
        stream = self.process.stdout
        data = b""
        while True:
            got = stream.read(65536)
            if not got:
                break
            data += got
            while len(data) >= 4:
                end = 4 + struct.unpack("!I", data[:4])[0]
                if len(data) < end:
                    break
                self.take(data[4:5], data[5:end])
                data = data[end:]
        self.results.put(None)

    def take(self, kind, payload):
        """Understands one frame."""
        if kind == b"R":
            self.results.put(Result(payload))
        elif kind == b"E":
            self.ending.append(struct.unpack("!q", payload)[0])
        elif kind == b"B":
            self.broken = payload.decode("ascii")
        else:
            raise ValueError("unknown frame")

    def write(self, data):
        """Writes bytes; it may be gone."""
        try:
            view = memoryview(data)
            while view:
                view = view[self.process.stdin.write(view):]
        except BrokenPipeError:
            pass

    def send(self, number, recipient="to@example.com",
             sender="from@example.com", body=BODY):
        """Gives it a message."""
        self.write(mail_frame(number, sender, recipient, body))

    def ack(self, number):
        """Acknowledges a result."""
        self.write(frame(b"A", struct.pack("!q", number)))

    def result(self, timeout=60 if WRAPPER else 20):
        """The next result; None when it has ended."""
        return self.results.get(timeout=timeout)

    def one(self, number=1, **mail):
        """Sends one message, waits for its result, acknowledges."""
        self.send(number, **mail)
        result = self.result()
        if result:
            self.ack(number)
        return result

    def request(self, method, url, headers=(), body=b"", number=1):
        """Sends one request, waits for its result, acknowledges."""
        self.write(request_frame(number, method, url, headers, body))
        result = self.result()
        if result:
            self.ack(number)
        return result

    def close_input(self):
        """Tells it to end."""
        if not self.process.stdin.closed:
            self.process.stdin.close()

    def end(self, timeout=20):
        """Tells it to end and waits; its exit code."""
        self.close_input()
        code = self.process.wait(timeout)
        self.reader.join(timeout)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        if self.process.poll() is None:
            self.process.kill()
        self.end()


class Sink:
    """One running sink.py; options as on its command line."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "sink.py"), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.fullmatch(r"port (\d+)\n", line)[1])
        self.received = None        # after the end
        self.connections = None

    def end(self):
        """Ends it and learns what it has counted."""
        if self.received is None:
            self.process.send_signal(signal.SIGTERM)
            line = self.process.communicate(timeout=20)[0].splitlines()[-1]
            match = re.fullmatch(r"received (\d+) connections (\d+)", line)
            self.received, self.connections = map(int, match.groups())
        return self.received

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.end()
