"""A private PostgreSQL server on a unix socket, for demo and bench; the
caller's private folder holds all of it."""
import pathlib
import subprocess
import tempfile

SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{socket}'
shared_preload_libraries = 'mautomate'
shared_buffers = '256MB'
max_wal_size = '4GB'
synchronous_commit = off
fsync = off
client_min_messages = warning
"""


class Server:
    def __init__(self, pg_config, folder, settings=""):
        self._settings = settings
        self._bin = subprocess.run([pg_config, "--bindir"], check=True,
                                   capture_output=True,
                                   text=True).stdout.strip()
        self._data = pathlib.Path(folder, "pgdata")
        self._log = pathlib.Path(folder, "server.log")
        self.socket = tempfile.mkdtemp()
        self.psql = f"{self._bin}/psql"

    def start(self):
        self._run("initdb", "-D", self._data, "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "-N", "-U", "postgres")
        with open(self._data / "postgresql.conf", "a") as conf:
            conf.write(SETTINGS.format(socket=self.socket) + self._settings)
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-w", "start")
        return self

    def stop(self):
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def log(self):
        return self._log.read_text() if self._log.exists() else ""

    def _run(self, program, *arguments):
        subprocess.run([f"{self._bin}/{program}", *map(str, arguments)],
                       check=True, stdout=subprocess.DEVNULL,
                       stdin=subprocess.DEVNULL)
