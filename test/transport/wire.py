#!/usr/bin/env python3
"""Addresses of every kind, through SQL to the wire: what isemail calls
deliverable arrives, the rest is refused with its reason and never seen.

Usage: wire.py FOLDER_OF_EMAIL_ADDRESSES
The database is found by the environment. The addresses are put into the table
of contacts as they are, past identify(), which would refuse them.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path[1:1] = [str(HERE), str(HERE.parent / "render")]

import addresses  # noqa: E402
from client import Sink  # noqa: E402

HOSTILE = ["ann@example.com\r\nRSET", "ann@example.com\nRCPT TO:<b@b.com>",
           "ann@example.com> NOTIFY=SUCCESS", "ann@example.com>\r\nDATA",
           "<ann@example.com>", "ann@example.com SIZE=1", "a" * 65 + "@x.com",
           "ann@example.com\t", "ann@exa\x01mple.com", "\"a\r\nb\"@x.com"]
COMMAND = re.compile(
    r"EHLO [\w.-]+|MAIL FROM:<shop@example\.com>( SMTPUTF8| BODY=8BITMIME"
    r"| SIZE=\d+)*|RCPT TO:<(\"([^\"\\<>]|\\.)*\"|[^<>\s\"]+)@[^<>\s\"]+>"
    r"|DATA|RSET|QUIT")
SETUP = """
create extension if not exists mautomate;
select mautomate.arm();
select mautomate.create_channel('wire', 'smtp', '{"host": "127.0.0.1",
  "port": %d, "tls": "none", "from": "shop@example.com"}');
select mautomate.create_template('wire', 'wire', subject => 'Hi',
  body => 'Hi', transactional => true);
insert into mautomate.contact (external_id, email)
  select 'wire' || n, a from json_array_elements_text($json$%s$json$)
  with ordinality as t(a, n);
select count(mautomate.send('wire' || n, 'wire', idempotency_key => 'w' || n))
  from generate_series(1, %d) n;
call mautomate.deliver(100000);
"""
RESULT = """select json_agg(json_build_array(state, reason)
  order by substr(idempotency_key, 2)::int)
  from mautomate.messages where template = 'wire'"""


def sql(script):
    return subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"], input=script,
        text=True, stdout=subprocess.PIPE, check=True).stdout


def main():
    folder = pathlib.Path(sys.argv[1])
    tests = {address: good for name in ("isemail_tests.xml",
                                        "isemail_tests_original.xml")
             for address, good, _ in addresses.read(folder / name) if address}
    tests.update((address, False) for address in HOSTILE)
    # whoever has no such sign in the encoding of JSON is left out
    tests = {a: g for a, g in tests.items()
             if not any("\ud800" <= c <= "\udfff" for c in a)}
    files = [os.path.join(tempfile.mkdtemp(), name)
             for name in ("commands", "out")]
    with Sink("--utf8", "--commands", files[0], "--out", files[1]) as sink:
        sql(SETUP % (sink.port, json.dumps(list(tests)), len(tests)))
        found = json.loads(sql(RESULT))
        received = sink.end()
    wrong = [(a, good, state, reason) for (a, good), (state, reason)
             in zip(tests.items(), found)
             if state != ("sent" if good else "refused") or
             not (good or reason.startswith("invalid e-mail address: "))]
    lines = pathlib.Path(files[0]).read_text(encoding="utf-8").splitlines()
    wrong += [line for line in lines if not COMMAND.fullmatch(line)]
    good = sum(tests.values())
    wrong += [] if received == good else ["%d arrived" % received]
    for what in wrong:
        print("# %r" % (what,))
    print("wire: %d addresses, %d deliverable, %d commands seen" %
          (len(tests), good, len(lines)))
    sys.exit(bool(wrong) or len(lines) < 3 * good)


main()
