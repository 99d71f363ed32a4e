"""Compare the verdicts on e-mail addresses with those of isemail.

Usage: addresses.py FOLDER_OF_EMAIL_ADDRESSES
The database is found by the environment. Deliverable is what isemail calls
valid, valid but not found in the DNS, or valid for SMTP; but no top-level
domain is a number. Addresses with a NUL, which no text holds, are left out.
"""
import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

DELIVERABLE = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321"}


def read(path):
    for test in xml.etree.ElementTree.parse(path).getroot().findall("test"):
        address = "".join(
            chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2420 else c
            for c in test.findtext("address") or "")
        diagnosis = test.findtext("diagnosis")
        good = (test.findtext("category") in DELIVERABLE or
                diagnosis == "ISEMAIL_RFC5321_IPV6DEPRECATED") and \
            diagnosis != "ISEMAIL_RFC5321_TLDNUMERIC"
        if "\0" not in address:
            yield address, good, diagnosis


def problems(addresses):
    query = """select json_agg(mautomate_internal.address_problem(a)
        order by n) from json_array_elements_text($json$%s$json$)
        with ordinality as t(a, n)""" % json.dumps(addresses)
    done = subprocess.run(["psql", "-XAtq", "-f", "-"], input=query,
                          text=True, capture_output=True, check=True)
    return json.loads(done.stdout)


def main():
    folder = pathlib.Path(sys.argv[1])
    tests = [test for name in ("isemail_tests.xml",
                               "isemail_tests_original.xml")
             for test in read(folder / name)]
    wrong = 0
    for (address, good, diagnosis), problem in zip(
            tests, problems([test[0] for test in tests])):
        if (problem is None) != good:
            wrong += 1
            print("# %r: %s, ours: %s" % (address, diagnosis, problem))
    print("addresses: %d of %d verdicts" % (len(tests) - wrong, len(tests)))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
