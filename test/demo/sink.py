"""A mail server that takes everything and delivers nothing, in a thread."""
import asyncio
import collections
import email
import email.policy
import threading


class Sink(threading.Thread):
    """Counts messages by Message-ID and keeps the first as it came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.received = collections.Counter()  # Message-ID -> times
        self.first = {}  # recipient -> the first message as it came
        self.port = None
        self._ready = threading.Event()

    def begin(self):
        self.start()
        self._ready.wait()
        return self

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0,
                                            limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _talk(self, reader, writer):
        def say(line):
            writer.write(line.encode() + b"\r\n")

        recipient = ""
        say("220 sink ESMTP")
        try:
            while line := (await reader.readline()).decode().strip():
                verb = line.split(":")[0].upper().split(" ")[0]
                if verb == "EHLO":
                    say("250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                        "250 PIPELINING")
                elif verb == "RCPT":
                    recipient = line.partition(":")[2].split()[0].strip("<>")
                    say("250 ok")
                elif verb == "DATA":
                    say("354 go on")
                    data = await reader.readuntil(b"\r\n.\r\n")
                    self._take(recipient, data[:-3])
                    say("250 taken")
                elif verb == "QUIT":
                    say("221 bye")
                    break
                else:
                    say("250 ok")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _take(self, recipient, data):
        headers = email.message_from_bytes(data.split(b"\r\n\r\n")[0],
                                           policy=email.policy.default)
        self.received[headers["Message-ID"]] += 1
        self.first.setdefault(recipient, data)
