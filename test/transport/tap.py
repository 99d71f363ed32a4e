"""Tests as functions, TAP as output."""
import os
import subprocess
import sys
import tempfile
import time
import traceback

FOLDER = tempfile.mkdtemp(prefix="ma_transport.")
TESTS = []


def test(function):
    """Registers a test."""
    TESTS.append(function)
    return function


def path(name):
    """A new file of that kind."""
    path.count += 1
    return os.path.join(FOLDER, "%d.%s" % (path.count, name))


path.count = 0


def lines(name):
    """The lines of a file."""
    with open(name) as file:
        return file.read().splitlines()


def equal(got, wanted):
    """Says what differs."""
    assert got == wanted, "got %r, wanted %r" % (got, wanted)


def run():
    """Runs all tests or those named and prints TAP; the exit code."""
    chosen = [one for one in TESTS
              if not sys.argv[1:] or one.__name__ in sys.argv[1:]]
    failed = 0
    for number, one in enumerate(chosen, 1):
        started = time.monotonic()
        try:
            one()
        except Exception:                   # the next test may still tell
            failed += 1
            print("not ok", number, "-", one.__name__)
            print("#  " + traceback.format_exc().strip()
                  .replace("\n", "\n#  "))
        else:
            print("ok", number, "-", one.__name__, "(%.1f s)" %
                  (time.monotonic() - started))
        sys.stdout.flush()
    print("1..%d" % len(chosen))
    subprocess.run(["rm", "-rf", FOLDER], check=False)
    return 1 if failed else 0

