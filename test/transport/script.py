"""A mail server that says exactly what it was told to, when it has heard what
it was told to wait for, and keeps every byte it heard."""
import socket
import ssl
import threading

EHLO = b"EHLO shop\r\n"
PIPELINING = (EHLO, b"250-x\r\n250 PIPELINING\r\n")
PLAIN = (EHLO, b"250 x\r\n")


class Records:
    """TLS over a socket from its first byte: each line that is sent is a
    record of its own, and all of them are one write."""

    def __init__(self, client, context):
        self._client = client
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._listen(self._tls.do_handshake)

    def _listen(self, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self._client.sendall(self._out.read())
                got = self._client.recv(65536)
                if not got:
                    raise ConnectionError from None
                self._in.write(got)

    def recv(self, most):
        return self._listen(self._tls.read, most)

    def sendall(self, data):
        for line in data.splitlines(True):
            self._tls.write(line)
        self._client.sendall(self._out.read())


class Script:
    """
    One list of steps for each connection to come, after the greeting. A step
    is what to wait for, as the end of what was heard since the last step, and
    what to say then: bytes, or a list to be sent one by one, where None means:
    close, together with what was said, and a function is called. After the
    last one it listens to the end.
    """

    def __init__(self, *connections, tls=None):
        self.heard = []                 # of each connection, step by step
        self.ended = threading.Semaphore(0)     # so many connections have
        self._connections = connections
        self._tls = tls                 # certificate and key: from the start
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for steps in self._connections:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(20)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            heard = []
            self.heard.append(heard)
            try:
                self._talk(self._secured(client), steps, heard)
            except OSError:
                pass                    # it has closed: so it was told
            client.close()
            self.ended.release()

    def _secured(self, client):
        if not self._tls:
            return client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._tls)
        return Records(client, context)

    @staticmethod
    def _talk(client, steps, heard):
        client.sendall(b"220 x\r\n")
        for wanted, answers in (*steps, (b"\0", None)):
            heard.append(b"")
            while not heard[-1].endswith(wanted):
                got = client.recv(65536)
                if not got:
                    return
                heard[-1] += got
            if not isinstance(answers, list):
                answers = [answers]
            if answers[-1] is None:     # the end comes with the bytes
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            for answer in answers:
                if answer is None:
                    return
                if callable(answer):
                    answer()
                else:
                    client.sendall(answer)

    def end(self):
        """Waits until all connections were closed by the other side."""
        self._thread.join(20)
        self._listener.close()
        return self.heard

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._listener.close()
