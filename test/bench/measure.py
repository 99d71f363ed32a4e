"""CPU time of one backend, over rows, in turns."""
import pathlib
import statistics
import subprocess
import time

import psql

PROPERTIES = ('{"amount": 120.99, "channel": "web", "category": "books",'
              ' "order": "A-100017"}')

# A client waits for this lock, so that its CPU time can be read in between.
GATE = 4711
SCRIPT = """\
\\set i :i + 1
\\if :i = :first or :i = :last
select pg_advisory_xact_lock_shared({gate});
\\else
\\set contact random(1, :contacts)
insert into mautomate.event (contact_id, kind, properties) values (:contact, 'purchase', :properties);
\\endif
"""


def cpu(pid):
    """Seconds that a process has run."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text()
               .split()[0]) / 1e9


class Backend:
    """A session and the CPU time of its backend."""

    def __init__(self, place, database):
        self.place = place
        self.database = database
        self.session = psql.Session(place, database)
        self.pid = self.session.value("select pg_backend_pid()")

    def seconds(self, script):
        """CPU time of running a script."""
        before = cpu(self.pid)
        self.session.run(script)
        return cpu(self.pid) - before

    def run(self, script):
        return self.session.run(script)

    def value(self, query):
        return self.session.value(query)

    def end(self):
        self.session.end()


class Triggers:
    """Which triggers of the log are on: ours, one of the DBA's, or none; and
    whether ours leaves its work for later."""

    def __init__(self, backend):
        self.backend = backend

    def choose(self, name):
        table = "alter table mautomate.event"
        script = f"{table} disable trigger user;"
        mode = "immediate"
        if name == "deferred":
            name, mode = "mautomate_insert", name
        if name != "bare":
            script += f"{table} enable trigger {name};"
        # for the sessions to come, and for this one
        script += (f"alter database {self.backend.database} set"
                   f" mautomate.refresh = {mode};"
                   f"set mautomate.refresh = {mode};")
        self.backend.run(script)


def in_turns(backend, names, rounds, measure):
    """What measure() gives with each of the triggers, by round: in turns, and
    back again in the next round."""
    triggers = Triggers(backend)
    spent = {name: [] for name in names}
    for i in range(rounds):
        for name in names if i % 2 == 0 else reversed(names):
            triggers.choose(name)
            spent[name].append(measure())
    triggers.choose("mautomate_insert")
    return spent


def quotient(above, below):
    """The median of what rounds say: what slows the machine slows both."""
    return statistics.median(a / b for a, b in zip(above, below))


def undone(backend, script, rows):
    """CPU us per row of a script whose effect is rolled back."""
    backend.run("begin")
    spent = backend.seconds(script)
    backend.run("rollback")
    return spent / rows * 1e6


def _wait_for_client(backend):
    while True:
        pid = backend.value(
            "select pid from pg_locks where locktype = 'advisory'"
            f" and objid = {GATE} and not granted")
        if pid:
            return pid
        time.sleep(0.01)


def one_row(backend, contacts, rows, warm=1000):
    """CPU us per INSERT of one row that pgbench sends, prepared."""
    script = pathlib.Path("one_row.pgbench")
    script.write_text(SCRIPT.format(gate=GATE))
    backend.run(f"select pg_advisory_lock({GATE})")
    client = subprocess.Popen(
        ["pgbench", "-n", "-M", "prepared", "-c", "1", "-t",
         str(warm + rows + 1), "-f", script, "-D", "i=0", "-D",
         f"first={warm}", "-D", f"last={warm + rows}", "-D",
         f"contacts={contacts}", "-D", f"properties={PROPERTIES}", "-h", backend.place.socket, "-U", "postgres",
         backend.database],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid = _wait_for_client(backend)
    before = cpu(pid)
    backend.run(f"select pg_advisory_unlock({GATE})")
    # the client passes at once; the second time it finds the gate shut again
    backend.run(f"select pg_advisory_lock({GATE})")
    _wait_for_client(backend)
    spent = cpu(pid) - before
    backend.run(f"select pg_advisory_unlock({GATE})")
    if client.wait() != 0:
        raise psql.Failed("pgbench failed")
    return spent / (rows - 1) * 1e6
