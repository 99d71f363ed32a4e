"""CPU time of one backend, over rows, in turns."""
import os
import pathlib
import statistics
import subprocess

import psql

PROPERTIES = ('{"amount": 120.99, "channel": "web", "category": "books",'
              ' "order": "A-100017"}')

# A client tells by one pipe that it has come so far, and waits at the other, so
# that the CPU time of its backend can be read in between.
COME, GO = pathlib.Path("one_row.come"), pathlib.Path("one_row.go")
SCRIPT = f"""\
\\set i :i + 1
\\if :i = :first or :i = :last
\\shell echo > {COME}; cat {GO}
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


def one_row(backend, contacts, rows, warm=1000):
    """CPU us per INSERT of one row that pgbench sends, prepared."""
    script = pathlib.Path("one_row.pgbench")
    script.write_text(SCRIPT)
    for pipe in COME, GO:
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    client = subprocess.Popen(
        ["pgbench", "-n", "-M", "prepared", "-c", "1", "-t",
         str(warm + rows + 1), "-f", script, "-D", "i=0", "-D",
         f"first={warm}", "-D", f"last={warm + rows}", "-D",
         f"contacts={contacts}", "-D", f"properties={PROPERTIES}", "-h", backend.place.socket, "-U", "postgres",
         backend.database],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    COME.read_text()
    pid = backend.value("select pid from pg_stat_activity"
                        " where application_name = 'pgbench'")
    before = cpu(pid)
    GO.write_text("")
    COME.read_text()
    spent = cpu(pid) - before
    GO.write_text("")
    if client.wait() != 0:
        raise psql.Failed("pgbench failed")
    return spent / (rows - 1) * 1e6
