"""A psql session as a pipe: no driver needed."""
import subprocess
import tempfile

MARK = "-- done --"


class Failed(Exception):
    pass


def command(program, database, socket_folder):
    return [program, "-X", "-q", "-A", "-t", "-F", "\x1f",
            "-v", "ON_ERROR_STOP=1", "-h", socket_folder,
            "-U", "postgres", "-d", database]


def once(place, database, script):
    """Run a script in a session of its own."""
    done = subprocess.run(command(place.psql, database, place.socket),
                          input=script, text=True, encoding="utf-8",
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())


class Session:
    """A session that stays. COPY with data is for once(): psql would read on
    for more of it than we have sent."""

    def __init__(self, place, database):
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._psql = subprocess.Popen(
            command(place.psql, database, place.socket),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._complaints, text=True, encoding="utf-8")

    def run(self, script):
        """Send a script and wait for its end; its rows as lists of texts."""
        try:
            # psql flushes after a result, not after \\echo
            self._psql.stdin.write(f"{script}\n;\nselect '{MARK}';\n")
            self._psql.stdin.flush()
        except BrokenPipeError:
            pass
        rows = []
        for line in self._psql.stdout:
            if line.rstrip("\n") == MARK:
                return rows
            rows.append(line.rstrip("\n").split("\x1f"))
        self._complaints.seek(0)
        raise Failed(self._complaints.read().strip())

    def value(self, query):
        rows = self.run(query)
        return rows[0][0] if rows else None

    def number(self, query):
        return int(self.value(query) or 0)

    def end(self):
        self._psql.stdin.close()
        self._psql.wait()


def literal(value):
    if value is None or value == "":
        return "null"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"
