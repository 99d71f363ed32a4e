"""CPU time of one backend, over rows, in turns."""
import atexit
import os
import pathlib
import signal
import statistics
import subprocess

import psql

PROPERTIES = ('{"amount": 120.99, "channel": "web", "category": "books",'
              ' "order": "A-100017"}')

# A client tells by one pipe that it has come so far, and waits at the other, so
# that triggers can be changed and the CPU time of its backend be read in
# between. It does so before each block of rows, and when it is warm.
SCRIPT = """\
\\set place :place + 1
\\if :place = :last
\\set place 0
\\setshell deferred echo > {come}; cat {go}
\\if :deferred
set mautomate.refresh = deferred;
\\else
set mautomate.refresh = immediate;
\\endif
\\elif :place = :warm
\\shell echo > {come}; cat {go}
\\else
\\set contact random(1, :contacts)
insert into mautomate.event (contact_id, kind, properties) values (:contact, 'purchase', :properties);
\\endif
"""


def cpu(pid):
    """Seconds that a process has run."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text()
               .split()[0]) / 1e9


def pin(pid):
    """All that is measured runs on the same processor: others may be slower."""
    os.sched_setaffinity(int(pid), {max(os.sched_getaffinity(0))})


class Backend:
    """A session and the CPU time of its backend."""

    def __init__(self, place, database):
        self.place = place
        self.database = database
        self.session = psql.Session(place, database)
        self.pid = self.session.value("select pg_backend_pid()")
        pin(self.pid)

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
        self.backend.run(f"{script} set mautomate.refresh = {mode};")


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


class Client:
    """A pgbench that inserts one row after the other, prepared, some at a
    time, whichever triggers are on by then."""

    def __init__(self, backend, contacts, rows, warm=20):
        self.backend = backend
        self.rows = rows
        self.come = pathlib.Path(f"{backend.database}.come")
        self.go = pathlib.Path(f"{backend.database}.go")
        for pipe in self.come, self.go:
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe)
        script = pathlib.Path(f"{backend.database}.pgbench")
        script.write_text(SCRIPT.format(come=self.come, go=self.go))
        last = warm + rows + 1
        self.client = subprocess.Popen(
            ["pgbench", "-n", "-M", "prepared", "-c", "1", "-t", "2000000000",
             "-f", script, "-D", f"place={last - 1}", "-D", f"last={last}",
             "-D", f"warm={warm}", "-D", f"contacts={contacts}", "-D",
             f"properties={PROPERTIES}", "-h", backend.place.socket,
             "-U", "postgres", backend.database],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        atexit.register(self.end)
        self.come.read_text()
        self.pid = backend.value(
            "select pid from pg_stat_activity where datname ="
            " current_database() and application_name = 'pgbench'")
        pin(self.pid)

    def block(self):
        """CPU us per INSERT."""
        mode = self.backend.value("show mautomate.refresh")
        self.go.write_text("1" if mode == "deferred" else "0")
        self.come.read_text()
        before = cpu(self.pid)
        self.go.write_text("")
        self.come.read_text()
        return (cpu(self.pid) - before) / self.rows * 1e6

    def end(self):
        """With the shell in which it waits."""
        atexit.unregister(self.end)
        os.killpg(self.client.pid, signal.SIGKILL)
        self.client.wait()
