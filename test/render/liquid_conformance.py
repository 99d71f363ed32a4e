"""Count how many cases of golden-liquid render as they should.

Usage: liquid_conformance.py GOLDEN_LIQUID_JSON
The database is found by the environment (PGHOST, PGPORT, PGDATABASE, ...).
Ends with 1 if fewer than 95 % do.
"""
import json
import subprocess
import sys


def quote(value):
    return "'" + value.replace("'", "''") + "'"


def run(tests):
    """The output, or None for an error, of each case."""
    script = ["set client_min_messages = fatal", "set timezone = 'UTC'",
              "create temp table result (n int, output text)"]
    for n, test in enumerate(tests):
        data = json.dumps(test.get("data") or {})
        partials = json.dumps(test.get("templates") or {})
        script.append(
            "insert into result select %d, mautomate_internal.render_liquid("
            "%s, %s, %s)" % (n, quote(test["template"]), quote(data),
                             quote(partials)))
    script.append("select coalesce(json_object_agg(n, output), '{}')"
                  " from result")
    done = subprocess.run(["psql", "-XAtq", "-f", "-"], text=True,
                          input=";\n".join(script) + ";\n",
                          capture_output=True)
    if not done.stdout.strip():
        sys.exit("psql failed: " + done.stderr)
    outputs = json.loads(done.stdout)
    return [outputs.get(str(n)) for n in range(len(tests))]


def passes(test, output):
    if test.get("invalid"):
        return output is None
    if "results" in test:
        return output in test["results"]
    return output == test["result"]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        tests = json.load(file)["tests"]
    outputs = run(tests)
    failed = [(test, output) for test, output in zip(tests, outputs)
              if not passes(test, output)]
    for test, output in failed:
        wanted = "an error" if test.get("invalid") else \
            repr(test.get("result", test.get("results")))
        print("# %s: %r\n#   wanted %s, got %s" % (
            test["name"], test["template"], wanted,
            "an error" if output is None else repr(output)))
    good = len(tests) - len(failed)
    print("golden-liquid: %d of %d cases (%.1f %%)" %
          (good, len(tests), 100.0 * good / len(tests)))
    sys.exit(good < 0.95 * len(tests))


if __name__ == "__main__":
    main()
