#!/usr/bin/env python3
"""Tests of mautomate-transport as a program: frames in, SMTP out, results
back, against sink.py and its faults. Loopback only. Prints TAP.

    test_program.py [NAME...]    only those tests"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from client import (BODY, Sink, WRAPPER, Transport, frame, mail_frame, shim,
                    string)
from script import EHLO, PIPELINING, PLAIN, Script
from tap import FOLDER, equal, lines, path, run, test


def attempt(*options, count=1, body=BODY, **settings):
    """The results of messages sent one after the other to a new sink."""
    with Sink(*options) as sink:
        with Transport(port=sink.port, **settings) as transport:
            results = [transport.one(number, body=body)
                       for number in range(count)]
        sink.end()
        return results, sink


def outcome(*options, **settings):
    """What became of one message: outcome and code."""
    result = attempt(*options, **settings)[0][0]
    return result.outcome, result.code


# --- frames ---------------------------------------------------------------

def dies(data, text):
    """It ends with exit code 1 and says why."""
    with Transport(config=data) as transport:
        equal(transport.result(), None)
        equal(transport.end(), 1)
        equal(transport.broken, text)


def config(**settings):
    """A CONFIG frame."""
    return frame(b"C", b"".join(string(name) + string(value)
                                for name, value in settings.items()))


@test
def ends_quietly_without_input():
    for data in (b"", b"\0", b"\0\0\0\5C", config(host="localhost")):
        with Transport(config=data) as transport:
            equal(transport.end(), 0)
            equal(transport.broken, None)


@test
def refuses_broken_frames():
    good = config(host="localhost")
    dies(frame(b"M", b""), "the first frame is not a configuration")
    dies(b"\xff\xff\xff\xff", "a frame is too long")
    dies(b"\0\0\0\0", "a frame is too long")
    dies(good + b"\x7f\0\0\0", "a frame is too long")
    dies(good + frame(b"?", b""), "a frame has an unknown type")
    dies(good + frame(b"M", b"\0" * 9), "a message is broken")
    dies(good + mail_frame(1, "a\0b@c", "d@e", BODY), "a message is broken")
    dies(good + frame(b"M", b"\0" * 8 + b"\xff" * 30), "a message is broken")
    dies(good + frame(b"A", b"\0" * 8),
         "an acknowledgement has no result")


@test
def refuses_broken_configurations():
    dies(frame(b"C", b"\0\0\0\4host"), "broken configuration")
    dies(config(), "host is missing")
    dies(config(host="a b"), "host is neither a name nor an address")
    dies(config(host="a/b"), "host is neither a name nor an address")
    dies(config(host="h", colour="red"), "unknown setting")
    dies(config(host="h", port="x"), "setting is not a whole number")
    dies(config(host="h", port="0"), "port must be 1 to 65535")
    dies(config(host="h", tls="maybe"), "tls must be starttls, smtps or none")
    dies(config(host="h", connections="513"), "too many connections, or none")
    dies(config(host="h", reply_ms="0"), "a time limit is zero")
    dies(config(host="h", user="me"), "password_file is missing")
    dies(config(host="h", auth="ntlm"), "auth must be plain, login or xoauth2")


# --- what arrives ---------------------------------------------------------

@test
def delivers_bytes_as_they_are():
    out = path("json")
    bodies = [
        BODY,
        b".\r\n",
        b"..\r\n.\r\n\r\n.\r\n",
        b".\r\n" * 40000,
        b"x" * 16381 + b"\r\n.\r\n" + b"y" * 16382 + b"\r\n.\r\nend\r\n",
        b"\r\n" * 9,
        bytes(range(32, 256)) + b"\r\n",
        (b"m" * 74 + b"\r\n") * 330000,
        # where the last line of what is written at once fits, or does not
        *(b"z" * (n - 2) + b"\r\n" for n in range(16378, 16387)),
    ]
    with Sink("--out", out) as sink:
        with Transport(port=sink.port) as transport:
            for number, body in enumerate(bodies):
                equal(transport.one(number, body=body).outcome, "sent")
            equal(transport.ending, list(range(len(bodies))))
    got = [json.loads(line) for line in lines(out)]
    equal(len(got), len(bodies))
    for mail, body in zip(got, bodies):
        equal(mail["data"].encode("latin-1") == body, True)
        equal(mail["sender"], "from@example.com")
        equal(mail["recipients"], ["to@example.com"])
    equal({mail["connection"] for mail in got}, {1})


@test
def mends_line_ends():
    out = path("json")
    bodies = {
        b"a\n.\nb": b"a\r\n.\r\nb\r\n",
        b"a\r.\rb\r": b"a\r\n.\r\nb\r\n",
        b"a\n.\r\nRSET\r\nMAIL FROM:<x@y>\r\n":
            b"a\r\n.\r\nRSET\r\nMAIL FROM:<x@y>\r\n",
        b"a\r\r\n.\r\n": b"a\r\n\r\n.\r\n",
        b"\n": b"\r\n",
    }
    with Sink("--out", out) as sink:
        with Transport(port=sink.port) as transport:
            for number, body in enumerate(bodies):
                equal(transport.one(number, body=body).outcome, "sent")
    equal([json.loads(line)["data"].encode() for line in lines(out)],
          list(bodies.values()))


@test
def takes_the_null_sender_and_foreign_domains():
    out = path("json")
    with Sink("--out", out) as sink:
        with Transport(port=sink.port, helo="shop.example") as transport:
            equal(transport.one(1, sender="").outcome, "sent")
            equal(transport.one(2, recipient="to@bücher.example").outcome,
                  "sent")
    first, second = [json.loads(line) for line in lines(out)]
    equal(first["sender"], "")
    equal(first["helo"], "shop.example")
    equal(second["recipients"], ["to@xn--bcher-kva.example"])


@test
def takes_utf8_addresses_where_the_server_does():
    commands = path("commands")
    with Sink("--utf8", "--commands", commands) as sink:
        with Transport(port=sink.port) as transport:
            for number in range(2):
                equal(transport.one(number, recipient="jörg@example.com")
                      .outcome, "sent")
            equal(transport.one(3).outcome, "sent")
    equal([line for line in lines(commands) if line.startswith("MAIL")],
          2 * ["MAIL FROM:<from@example.com> SMTPUTF8"] +
          ["MAIL FROM:<from@example.com>"])
    with Sink() as sink:
        with Transport(port=sink.port) as transport:
            equal(transport.one(0).outcome, "sent")
            for number in range(1, 3):
                result = transport.one(number, recipient="jörg@example.com")
                equal((result.outcome, result.code), ("permanent", 0))
        equal(sink.end(), 1)


@test
def refuses_dangerous_addresses_and_bodies():
    commands = path("commands")
    bad = ["", "a", "@", "a@", "@b", "a b@c", '"a b@c',
           '"a b"@c d', "a@b\r\nDATA", "a@b\nRSET",
           "a@b> SIZE=1", "<a@b>", "a@b\x7f", "a@b\tc", "l" * 65 + "@b",
           "a@" + "b" * 253]
    with Sink("--commands", commands) as sink:
        with Transport(port=sink.port) as transport:
            number = 0
            for address in bad:
                for mail in ({"recipient": address}, {"sender": address}):
                    if mail == {"sender": ""}:
                        continue
                    number += 1
                    result = transport.one(number, **mail)
                    equal((address, result.outcome, result.code),
                          (address, "permanent", 0))
            for body in (b"", b"a\0b\r\n"):
                number += 1
                equal(transport.one(number, body=body).outcome, "permanent")
        sink.end()
        equal(sink.connections, 0)
    equal(lines(commands), [])


# --- what the server says -------------------------------------------------

def outcomes(cases):
    """
    Each case is the outcome wanted, the options of a sink and the settings:
    all at the same time, since most of it is waiting.
    """
    def check(case):
        wanted, options, settings = case
        equal((options, outcome(*options, **settings)), (options, wanted))
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(check, cases))


def faults(stages, what, wanted, **settings):
    """The same fault at several stages, without and with PIPELINING."""
    return [(wanted, ("--fault", stage + "=" + what, *offers), settings)
            for stage in stages for offers in ((), ("--pipelining",))]


@test
def judges_replies():
    cases = []
    for code, wanted in ((421, "temporary"), (451, "temporary"),
                         (550, "permanent"), (554, "permanent")):
        cases += faults(("mail", "rcpt", "data", "end"), str(code),
                        (wanted, code))
        cases += faults(("banner",), str(code), ("not_reached", code))
    cases += faults(("mail",), "530", ("not_reached", 530))
    cases += faults(("data",), "250", ("not_reached", 0))
    cases += faults(("end",), "252", ("sent", 252))
    cases += faults(("end",), "354", ("in_doubt", 354))
    outcomes(cases)


@test
def goes_on_after_a_refusal():
    for offers in ((), ("--pipelining",)):
        results, sink = attempt(
            "--fault", "rcpt=550@2*1", "--fault", "end=451@2*1", "--fault",
            "mail=450@5*1", "--fault", "data=554@5*1", *offers, count=8)
        equal([result.outcome for result in results],
              ["sent", "permanent", "temporary", "sent", "temporary",
               "sent", "permanent", "sent"])
        equal((sink.received, sink.connections), (4, 1))


@test
def shows_replies_as_plain_text():
    result = attempt("--fault", "end=250:2.0.0 one\\ntwo \x01\xe9\x7f",
                     )[0][0]
    equal(result.text, "2.0.0 one two ???"[:len(result.text)])
    result = attempt("--fault", "rcpt=550:" + "x" * 5000)[0][0]
    equal((result.outcome, len(result.text)), ("permanent", 1000))


EARLY = ("banner", "ehlo", "mail", "rcpt", "data")
LONG = b"x\r\n" * 6000000


@test
def survives_lost_connections():
    cases = []
    for what in ("close", "reset"):
        cases += faults(EARLY, what, ("not_reached", 0))
        cases += faults(("end",), what, ("in_doubt", 0))
        cases += faults(("body",), what, ("not_reached", 0), body=LONG)
    outcomes(cases)


@test
def survives_mute_servers():
    outcomes(
        faults(EARLY, "mute", ("not_reached", 0), reply_ms=300) +
        faults(("end",), "mute", ("in_doubt", 0), final_ms=300) +
        faults(("body",), "mute", ("not_reached", 0), reply_ms=300,
               body=LONG))


@test
def survives_endless_and_slow_replies():
    outcomes(
        faults(EARLY[:4], "endless", ("not_reached", 0)) +
        faults(EARLY[:4], "drip", ("not_reached", 0), reply_ms=1200) +
        faults(("end",), "endless", ("in_doubt", 0)) +
        faults(("end",), "drip", ("in_doubt", 0), final_ms=1200))


# --- what is on the wire --------------------------------------------------

MAIL = b"MAIL FROM:<from@example.com>\r\n"
RCPT = b"RCPT TO:<to@example.com>\r\n"
DATA = b"DATA\r\n"
GROUP = MAIL + RCPT + DATA
OK = b"250 ok\r\n"
GO = b"354 go\r\n"
WIRE = BODY + b".\r\n"
DOT = b"\r\n.\r\n"


def play(*connections, count=1, **settings):
    """The results of so many messages, and what each connection heard."""
    with Script(*connections) as script:
        with Transport(port=script.port, helo="shop", **settings) as transport:
            results = [transport.one(number) for number in range(count)]
            ending = transport.ending
            equal(transport.end(), 0)
        heard = script.end()
        return [(result.outcome, result.code) for result in results], \
            heard, ending


@test
def sends_the_envelope_at_once_where_it_may():
    # no answer before the last byte of the group was there
    results, heard, _ = play(
        [PIPELINING, (DATA, OK + OK + GO), (DOT, OK),
         (DATA, [OK, b"250-a\r\n250 b\r\n", GO]), (DOT, OK)], count=2)
    equal(results, 2 * [("sent", 250)])
    equal(heard, [[EHLO, GROUP, WIRE, GROUP, WIRE, b"QUIT\r\n"]])
    results, heard, _ = play(
        [PLAIN, (b">\r\n", OK), (b">\r\n", OK), (DATA, GO), (DOT, OK)])
    equal(results, [("sent", 250)])
    equal(heard, [[EHLO, MAIL, RCPT, DATA, WIRE, b"QUIT\r\n"]])


@test
def understands_replies_in_pieces():
    def bytes_of(text):
        return [bytes([byte]) for byte in text]
    results, heard, _ = play(
        [PIPELINING,
         (DATA, bytes_of(b"250-a\r\n250-b\r\n250 c\r\n" + OK + GO)),
         (DOT, bytes_of(b"250-2.0.0 one\r\n250 two\r\n"))])
    equal(results, [("sent", 250)])
    equal(heard[0][1:3], [GROUP, WIRE])


@test
def announces_the_size_where_it_may():
    results, heard, _ = play(
        [(EHLO, b"250-x\r\n250-PIPELININGS\r\n250 SIZE 99\r\n"),
         (b"\r\n", b"552 too big\r\n"), (b"\r\n", OK)])
    equal(results, [("permanent", 552)])
    equal(heard[0][1], b"MAIL FROM:<from@example.com> SIZE=%d\r\n" %
          len(BODY))


@test
def ends_the_data_of_what_was_refused():
    """RFC 2920, 3.1: RCPT is refused, and DATA is taken all the same."""
    no = b"550 no\r\n"
    for last in (OK, b"554 nobody\r\n", b"451 later\r\n"):
        results, heard, ending = play(
            [PIPELINING, (DATA, OK + no + GO), (b".\r\n", last),
             (DATA, OK + OK + GO), (DOT, OK)], count=2)
        equal(results, [("permanent", 550), ("sent", 250)])
        equal(heard, [[EHLO, GROUP, b".\r\n", GROUP, WIRE, b"QUIT\r\n"]])
        equal(ending, [1])
    # all of it refused: the next message begins with RSET, but for MAIL
    for refusal, wanted in (
            (no + b"503 x\r\n503 x\r\n", GROUP),
            (OK + b"450 x\r\n503 x\r\n", b"RSET\r\n" + GROUP),
            (OK + OK + b"451 x\r\n", b"RSET\r\n" + GROUP)):
        results, heard, ending = play(
            [PIPELINING, (DATA, refusal),
             (DATA, (OK if b"RSET" in wanted else b"") + OK + OK + GO),
             (DOT, OK)], count=2)
        equal(results[0][1], int(re.search(rb"[45]\d\d", refusal)[0]))
        equal(results[1], ("sent", 250))
        equal(heard, [[EHLO, GROUP, wanted, WIRE, b"QUIT\r\n"]])
    # and whoever dies then has still refused it
    for step in ((b".\r\n", None), (b".\r\n", b"250-")):
        results, heard, ending = play(
            [PIPELINING, (DATA, OK + no + GO), step], reply_ms=300)
        equal((results, ending), ([("permanent", 550)], []))


@test
def forgets_a_message_step_by_step():
    steps = [(b"\r\n", OK), (b"\r\n", OK), (DATA, GO), (DOT, OK)]
    refused = [PLAIN, (b"\r\n", OK), (b"\r\n", b"550 no\r\n")]
    results, heard, _ = play(
        [*refused, (b"\r\n", OK), *steps], count=2)
    equal(results, [("permanent", 550), ("sent", 250)])
    equal(heard, [[EHLO, MAIL, RCPT, b"RSET\r\n", MAIL, RCPT, DATA, WIRE,
                   b"QUIT\r\n"]])
    # a server that cannot: another connection
    results, heard, _ = play([*refused, (b"\r\n", b"502 what\r\n")],
                             [PLAIN, *steps], count=2)
    equal(results, [("permanent", 550), ("sent", 250)])
    equal(heard, [[EHLO, MAIL, RCPT, b"RSET\r\n", b""],
                  [EHLO, MAIL, RCPT, DATA, WIRE, b"QUIT\r\n"]])


@test
def believes_no_reply_before_its_command():
    odd = ("not_reached", 0)
    for steps in ([PIPELINING, (DATA, OK + OK + GO + OK)],
                  [PIPELINING, (DATA, OK + b"550 no\r\n" + GO + OK)],
                  [PLAIN, (b"\r\n", OK + OK)],
                  [PLAIN, (b"\r\n", OK), (b"\r\n", OK + GO)]):
        results, heard, ending = play(steps)
        equal(results, [("permanent", 550) if b"550" in steps[1][1] else odd])
        equal(ending, [])
        assert b"Hello" not in b"".join(heard[0]), heard
    # after the last reply: it was sent, and the connection is given up
    steps = [PIPELINING, (DATA, OK + OK + GO), (DOT, OK + OK)]
    results, heard, _ = play(steps, steps, count=2)
    equal(results, 2 * [("sent", 250)])
    equal(len(heard), 2)


@test
def is_not_in_doubt_before_the_final_dot():
    def early(*steps, wanted=("not_reached", 0), ending=()):
        results, heard, ends = play([PIPELINING, *steps])
        equal((results, ends), ([wanted], list(ending)))
        assert WIRE not in heard[0], heard
    early((DATA, None))
    early((DATA, [OK, None]))
    early((DATA, [OK + OK + b"3", None]))
    early((DATA, [OK + OK + GO, None]), ending=[0])
    early((DATA, [b"421 bye\r\n", None]), wanted=("temporary", 421))
    early((DATA, OK + b"421 bye\r\n"), wanted=("temporary", 421))
    # it reads some of a long message and then says what it thinks of it
    for answer, wanted in ((b"552 too big\r\n", ("permanent", 552)),
                           (b"452 full\r\n", ("temporary", 452)),
                           (OK, ("not_reached", 250))):
        with Script([PIPELINING, (DATA, OK + OK + GO), (b"x", answer)]) \
                as script:
            with Transport(port=script.port, helo="shop") as transport:
                result = transport.one(1, body=b"x" * 20000000 + b"\r\n")
                equal((result.outcome, result.code or 250),
                      (wanted[0], wanted[1]))
                equal(transport.ending, [])


@test
def finishes_no_message_while_the_server_speaks():
    # half of a reply to something, in the midst of a message
    with Script([PIPELINING, (DATA, OK + OK + GO), (b"x", b"250-x\r\n"),
                 (DOT, OK)]) as script:
        with Transport(port=script.port, helo="shop") as transport:
            result = transport.one(1, body=b"x" * 20000000 + b"\r\n")
            equal((result.outcome, result.code), ("not_reached", 0))
        assert not script.end()[0][-1].endswith(DOT)


@test
def notices_a_connection_that_is_closed_at_rest():
    steps = [PIPELINING, (DATA, OK + OK + GO), (DOT, OK)]
    with Script([*steps[:2], (DOT, [OK, b"421 idle\r\n"])], steps) as script:
        with Transport(port=script.port, helo="shop") as transport:
            equal(transport.one(1).outcome, "sent")
            equal(script.ended.acquire(timeout=20), True)
            equal(transport.one(2).outcome, "sent")
            equal(transport.end(), 0)
        equal(script.end(), [[EHLO, GROUP, WIRE, b""],
                             [EHLO, GROUP, WIRE, b"QUIT\r\n"]])


@test
def takes_nothing_over_into_tls():
    cert, key = certificate("localhost")
    for options, wanted in (((), "sent"), (("--plain-offers",), "permanent")):
        with Sink("--tls", cert, key, "--utf8", *options) as sink:
            with Transport(port=sink.port, host="localhost", tls="starttls",
                           ca_file=cert) as transport:
                equal(transport.one(recipient="jörg@example.com").outcome,
                      wanted)
    # what was injected behind the reply to STARTTLS is never heard
    results, heard, _ = play(
        [(EHLO, b"250-x\r\n250 STARTTLS\r\n"),
         (b"\r\n", b"220 go\r\n250-x\r\n250 PIPELINING\r\n")],
        tls="starttls", insecure=1, reply_ms=500)
    equal(results, [("not_reached", 0)])
    assert b"MAIL" not in b"".join(heard[0]), heard


@test
def sends_over_tls_what_is_longer_than_a_record():
    cert, key = certificate("localhost")
    out = path("json")
    bodies = [BODY, b"." * 70000 + b"\r\n", (b".x\r\n") * 200000, BODY]
    for offers in ((), ("--pipelining",)):
        with Sink("--tls", cert, key, "--out", out, *offers) as sink:
            with Transport(port=sink.port, host="localhost", tls="starttls",
                           ca_file=cert) as transport:
                for number, body in enumerate(bodies):
                    equal(transport.one(number, body=body).outcome, "sent")
            sink.end()
            equal(sink.connections, 1)
    equal([json.loads(line)["data"].encode() for line in lines(out)],
          2 * bodies)


@test
def hears_all_that_tls_has_read_ahead():
    files = certificate("localhost")
    steps = [(DATA, b"250-a\r\n250 b\r\n" + OK + GO),
             (DOT, b"250-2.0.0 one\r\n250 two\r\n")]
    for settings in ({}, {"environment": shim(FOLDER, ahead="1")}):
        with Script([PIPELINING, *steps, *steps], tls=files) as script:
            with Transport(port=script.port, helo="shop", tls="smtps",
                           insecure=1, reply_ms=5000, final_ms=5000,
                           **settings) as transport:
                for number in range(2):
                    result = transport.one(number)
                    equal((result.outcome, result.text),
                          ("sent", "2.0.0 one two"))
                equal(transport.end(), 0)
            equal(script.end(), [[EHLO, GROUP, WIRE, GROUP, WIRE,
                                  b"QUIT\r\n"]])


@test
def hears_what_came_while_it_was_held_up():
    """The answer is there in time, and it is late itself."""
    def hold():
        transport.process.send_signal(signal.SIGSTOP)

    def let_go():
        try:
            transport.process.wait(0.5)
        except subprocess.TimeoutExpired:
            transport.process.send_signal(signal.SIGCONT)

    with Script([PIPELINING, (DATA, [hold, OK + OK + GO, let_go]),
                 (DOT, [hold, OK, let_go])]) as script:
        with Transport(port=script.port, helo="shop", reply_ms=300,
                       final_ms=300) as transport:
            equal(transport.one().outcome, "sent")


@test
def survives_refused_connections():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with Transport(port=port) as transport:     # it does not listen
            result = transport.one()
            equal((result.outcome, result.code), ("not_reached", 0))
            assert "refused" in result.text, result.text


@test
def limits_connecting():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fill = []
        for _ in range(4):                  # its queue is full: no answer
            fill.append(socket.socket())
            fill[-1].setblocking(False)
            fill[-1].connect_ex(("127.0.0.1", port))
        with Transport(port=port, connect_ms=500) as transport:
            result = transport.one()
            equal((result.outcome, result.text),
                  ("not_reached", "connecting: no answer in time"))
        for one in fill:
            one.close()


@test
def does_not_wait_for_the_answer_to_quit():
    started = time.monotonic()
    results, _ = attempt("--fault", "quit=mute", "--fault", "rcpt=550@2*1",
                         count=3)
    equal([result.outcome for result in results],
          ["sent", "permanent", "sent"])
    # if it did, then for minutes
    assert time.monotonic() - started < 20, "it waited"


@test
def limits_the_message_not_the_connection():
    results, sink = attempt("--final-latency", "450", count=6, total_ms=1000,
                            final_ms=2500)
    equal({result.outcome for result in results}, {"sent"})
    equal(sink.connections, 1)
    equal(outcome("--latency", "700", total_ms=1000), ("not_reached", 0))


# --- TLS and login --------------------------------------------------------

def certificate(name):
    """A certificate and its key for that name."""
    files = path("crt"), path("key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
         "/CN=" + name, "-addext", "subjectAltName=DNS:" + name, "-out",
         files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


@test
def starts_tls_or_sends_nothing():
    cert, key = certificate("localhost")
    for options, tls in ((["--tls", cert, key], "starttls"),
                         (["--tls", cert, key, "--smtps"], "smtps")):
        out = path("json")
        results, sink = attempt("--out", out, *options, host="localhost",
                                tls=tls, ca_file=cert, count=3)
        equal({result.outcome for result in results}, {"sent"})
        equal(sink.connections, 1)
        equal(json.loads(lines(out)[0])["tls"], True)
        # not trusted, not the name, not checked
        equal(outcome(*options, host="localhost", tls=tls),
              ("not_reached", 0))
        equal(outcome(*options, host="127.0.0.1", tls=tls, ca_file=cert),
              ("not_reached", 0))
        equal(outcome(*options, tls=tls, insecure=1), ("sent", 250))
    equal(outcome(tls="starttls")[0], "not_reached")
    equal(outcome("--tls", cert, key, "--fault", "starttls=454",
                  tls="starttls"), ("not_reached", 454))
    equal(outcome("--tls", cert, key, "--fault", "starttls=mute",
                  tls="starttls", reply_ms=300), ("not_reached", 0))
    equal(outcome(tls="smtps", reply_ms=500)[0], "not_reached")


@test
def logs_in_from_a_file():
    secret = path("password")
    with open(secret, "w") as file:
        file.write("p w:d\n")
    for auth in ("plain", "login", "xoauth2", None):
        out = path("json")
        settings = {"user": "me", "password_file": secret}
        if auth:
            settings["auth"] = auth
        equal((auth, outcome("--auth", "me:p w:d", "--out", out, **settings)),
              (auth, ("sent", 250)))
        equal(json.loads(lines(out)[0])["user"], "me")
    equal(outcome("--auth", "me:other", user="me", password_file=secret),
          ("not_reached", 535))
    equal(outcome("--auth", "me:other"), ("not_reached", 530))
    for missing in (path("missing"), FOLDER, "/dev/zero"):
        result = attempt(user="me", password_file=missing)[0][0]
        equal((result.outcome, result.code), ("not_reached", 0))
        assert result.text.startswith("cannot read the password"), result.text


@test
def reads_the_password_at_each_connection():
    secret = path("password")
    with Sink("--auth", "me:right") as sink:
        with Transport(port=sink.port, user="me",
                       password_file=secret) as transport:
            outcomes = []
            for number, word in enumerate(("wrong", "right", "wrong")):
                with open(secret, "w") as file:
                    file.write(word)
                outcomes.append(transport.one(number).outcome)
            # the third one goes over the connection of the second
            equal(outcomes, ["not_reached", "sent", "sent"])


# --- connections ----------------------------------------------------------

@test
def goes_to_another_relay_where_one_does_not_answer():
    with socket.socket() as closed, Sink() as good, \
            Sink("--fault", "banner=421") as bad, \
            Sink("--auth", "me:secret") as strict:
        closed.bind(("127.0.0.1", 0))           # it does not listen
        secret = path("password")
        with open(secret, "w") as file:
            file.write("wrong")
        relays = [{"port": closed.getsockname()[1], "weight": 100},
                  {"port": bad.port, "weight": 50},
                  {"port": strict.port, "user": "me", "weight": 20,
                   "password_file": secret},
                  {"port": good.port, "weight": 0}]
        with Transport(relays=relays, connections=1) as transport:
            results = [transport.one(number) for number in range(5)]
    equal([r.outcome for r in results], ["sent"] * 5)
    equal((good.end(), good.connections), (5, 1))
    equal((bad.end(), strict.end()), (0, 0))


@test
def says_why_none_of_the_relays_answers():
    with Sink("--fault", "banner=554:no") as one, \
            Sink("--fault", "banner=554:neither") as other:
        with Transport(relays=[{"port": one.port, "weight": 2},
                               {"port": other.port}]) as transport:
            result = transport.one()
    equal((result.outcome, result.text), ("not_reached", "greeting: neither"))
    one.end(), other.end()
    equal((one.connections, other.connections), (1, 1))


@test
def uses_relays_by_weight():
    with Sink("--final-latency", "200") as heavy, \
            Sink("--final-latency", "200") as light:
        with Transport(relays=[{"port": light.port, "weight": 1},
                               {"port": heavy.port, "weight": 3}],
                       connections=8) as transport:
            for number in range(8):
                transport.send(number)
            for _ in range(8):
                equal(transport.result().outcome, "sent")
    equal((heavy.end(), light.end()), (6, 2))
    equal((heavy.connections, light.connections), (6, 2))


@test
def uses_as_few_connections_as_needed():
    results, sink = attempt(count=20, connections=4)
    equal({result.outcome for result in results}, {"sent"})
    equal(sink.connections, 1)


@test
def uses_all_connections_at_once():
    with Sink("--final-latency", "600") as sink:
        with Transport(port=sink.port, connections=8) as transport:
            started = time.monotonic()
            for number in range(8):
                transport.send(number)
            for _ in range(8):
                equal(transport.result().outcome, "sent")
            assert time.monotonic() - started < 1.5, "one after the other"
        sink.end()
        equal(sink.connections, 8)


@test
def waits_for_the_acknowledgement():
    commands = path("commands")
    with Sink("--commands", commands) as sink:
        with Transport(port=sink.port, connections=1) as transport:
            for number in range(3):
                transport.send(number)
            equal(transport.result().id, 0)
            try:
                assert False, transport.result(timeout=0.4)
            except Exception as error:      # queue.Empty
                equal(type(error).__name__, "Empty")
            equal(sum(line.startswith("MAIL") for line in lines(commands)), 1)
            transport.ack(0)
            equal(transport.result().id, 1)
            transport.ack(1)
            equal(transport.result().id, 2)
        equal(sink.end(), 3)


@test
def tries_once_more_where_a_rested_connection_is_gone():
    for what in ("421", "close", "reset"):
        results, sink = attempt("--fault", "mail=%s@2*1" % what, count=3)
        equal((what, [result.outcome for result in results]),
              (what, ["sent"] * 3))
        equal(sink.connections, 2)
    results, sink = attempt("--fault", "end=close@2*1", count=3)
    equal([result.outcome for result in results],
          ["sent", "in_doubt", "sent"])
    equal(sink.received, 2)


@test
def closes_connections_politely():
    commands = path("commands")
    with Sink("--commands", commands) as sink:
        def quits(count):
            limit = time.monotonic() + 5
            while lines(commands).count("QUIT") < count:
                assert time.monotonic() < limit, "no QUIT"

        with Transport(port=sink.port, idle_ms=100) as transport:
            equal(transport.one(1).outcome, "sent")
            quits(1)                        # it has rested too long
            equal(transport.one(2).outcome, "sent")
            equal(transport.end(), 0)
            quits(2)
        equal(sink.end(), 2)
        equal(sink.connections, 2)
    equal(lines(commands).count("QUIT"), 2)


@test
def ignores_proxies_and_netrc():
    environment = dict(all_proxy="http://127.0.0.1:1", HOME=FOLDER,
                       smtp_proxy="http://127.0.0.1:1")
    with open(os.path.join(FOLDER, ".netrc"), "w") as file:
        file.write("default login a password b\n")
    with Sink("--auth", "a:b") as sink:
        with Transport(port=sink.port, environment=environment) as transport:
            equal(transport.one().code, 530)


# --- the end --------------------------------------------------------------

@test
def ignores_sigterm():
    with Sink() as sink:
        with Transport(port=sink.port) as transport:
            equal(transport.one(1).outcome, "sent")
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                transport.process.send_signal(number)
            equal(transport.one(2).outcome, "sent")
            equal(transport.end(), 0)


@test
def finishes_what_it_has_begun():
    with Sink("--final-latency", "700") as sink:
        with Transport(port=sink.port, connections=2) as transport:
            for number in range(5):
                transport.send(number)
            limit = time.monotonic() + 5
            while len(transport.ending) < 2:
                assert time.monotonic() < limit, "no ENDING"
            transport.close_input()
            results = sorted((transport.result() for _ in range(5)),
                             key=lambda result: result.id)
            equal([result.outcome for result in results],
                  ["sent"] * 2 + ["untried"] * 3)
            equal(transport.end(), 0)
        equal(sink.end(), 2)


@test
def ends_in_time_whatever_the_server_does():
    for fault in ("end=mute", "banner=mute", "quit=mute"):
        with Sink("--fault", fault) as sink:
            with Transport(port=sink.port, connections=3) as transport:
                for number in range(3):
                    transport.send(number)
                limit = time.monotonic() + 5
                while len(transport.ending) < 3 and fault != "banner=mute":
                    assert time.monotonic() < limit, "no ENDING"
                started = time.monotonic()
                equal(transport.end(), 0)
                assert time.monotonic() - started < (6 if WRAPPER else 2), \
                    "it took too long"
                equal(sorted(transport.ending),
                      [] if fault == "banner=mute" else [0, 1, 2])


@test
def says_what_may_be_in_doubt_before_it_dies():
    out = path("json")
    with Sink("--final-latency", "300", "--out", out) as sink:
        with Transport(port=sink.port, connections=4) as transport:
            for number in range(8):
                transport.send(number)
            limit = time.monotonic() + 5
            while len(transport.ending) < 2:
                assert time.monotonic() < limit, "no ENDING"
            transport.process.kill()
            equal(transport.result(), None)
            ending = len(transport.ending)
        sink.end()
        assert 2 <= ending <= 4, ending
        assert len(lines(out)) <= ending, "a message came unannounced"


@test
def is_not_confused_by_many():
    """Random faults, many messages: one result each, and the truth."""
    faults = []
    for stage in ("mail", "rcpt", "data", "end", "banner"):
        for first in range(7, 400, 41):
            for what, shift in (("451", 0), ("close", 11), ("550", 23)):
                faults += ["--fault", "%s=%s@%d*1" % (stage, what,
                                                      first + shift)]
    messages = 400
    out = path("json")
    with Sink("--out", out, *faults) as sink:
        with Transport(port=sink.port, connections=16) as transport:
            results = {}
            for number in range(messages):
                transport.send(number, recipient="%d@example.com" % number)
            for _ in range(messages):
                result = transport.result()
                assert result.id not in results, "twice"
                results[result.id] = result
                transport.ack(result.id)
            equal(transport.end(), 0)
    arrived = {}
    for line in lines(out):
        mail = json.loads(line)
        number = int(mail["recipients"][0].partition("@")[0])
        assert number not in arrived, "sent twice"
        arrived[number] = mail["reply"]
    for number, result in results.items():
        if number in arrived:
            equal({250: "sent", 0: "in_doubt", 451: "temporary",
                   550: "permanent"}[arrived[number]], result.outcome)
        else:
            assert result.outcome not in ("sent", "in_doubt"), result
    assert len(set(r.outcome for r in results.values())) >= 4


sys.exit(run())
