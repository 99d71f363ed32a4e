"""Compose messages and read them back with Python's email.

Usage: messages.py FOLDER_OF_MIME [--write FOLDER]
The database is found by the environment. Prints "ok" or "not ok" lines and
ends with 1 if anything was not right. With --write the messages and what they
must say are left in a folder, for other readers (mailparser.js).
"""
import base64
import csv
import email
import email.errors
import email.header
import email.policy
import email.utils
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile

BASE = {"from": "shop@example.com", "to": "ada@example.com",
        "message_id": "1.2@example.com", "text": "Hello",
        "date": "2026-11-21 22:06:07+00", "zone": "Europe/Berlin"}
HARD = [
    "", "x", " ", "  two  spaces  inside  ", "tab\there", "a" * 500,
    "a " * 300, "word " + "b" * 80 + " word", "é" * 400, "é " * 200,
    "=?utf-8?q?fake?=", "= ?", "a =?b", "\U0001F389" * 60,
    "\U0001F468‍\U0001F469‍\U0001F467 family", "日本語" * 50,
    "Grüße aus Köln – 20 % Rabatt", "\"quoted\" <not@addr>, (comment) \\",
    "x: y; z=1", "_under_score_ and =3D", "שלום עולם", "1" * 76, "1" * 67,
    "1" * 68, "1 " * 37 + "é",
]
BODIES = [
    "", "\n", "x", "line\nline\r\nline\rline", "trailing \nspaces\t\n \n",
    "." * 5 + "\n.\n..\n.x\n", "From the start\n>From\n", "x" * 5000,
    ("word " * 30 + "\n") * 30, "é" * 3000, "日本語" * 1000, "=" * 300,
    "=_1_0123456789abcdef\n--=_2_\n", "a\x01b\x7fc", "Grüße\n" * 10,
    "a\tb\n" * 5, "-- \nsignature", "é" + "x" * 200,
]
failures = 0
total = 0


def ok(good, name, detail=""):
    global failures, total
    total += 1
    if not good:
        failures += 1
        print("not ok - %s %s" % (name, detail))


def compose(mails):
    """The bytes of each message, or the error of all of them."""
    query = """select json_agg(encode(mautomate_internal.compose_mail(m),
        'hex') order by n) from jsonb_array_elements(%s)
        with ordinality as t(m, n);""" % quote(json.dumps(mails))
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
                           "-f", "-"], input=query, text=True,
                          capture_output=True)
    if done.returncode:
        return done.stderr
    return [bytes.fromhex(text) for text in json.loads(done.stdout)]


def quote(value):
    return "'" + value.replace("'", "''") + "'"


def check_wire(raw, name, long_header=False):
    """What every message must be, whatever is in it."""
    ok(all(byte < 128 for byte in raw), name, "is not 7-bit")
    ok(b"\0" not in raw, name, "has a NUL")
    ok(raw.endswith(b"\r\n"), name, "does not end with CRLF")
    ok(not re.search(rb"\r(?!\n)|(?<!\r)\n", raw), name, "has a bare CR or LF")
    longest = max(len(line) for line in raw.split(b"\r\n"))
    ok(longest <= (998 if long_header else 76), name,
       "has a line of %d" % longest)
    head = raw.split(b"\r\n\r\n")[0]
    ok(all(re.match(rb"[A-Za-z0-9-]+: |[ \t]+\S|[A-Za-z0-9-]+:$", line)
           for line in head.split(b"\r\n")), name, "has a broken header")


def parse(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def cleaned(text):
    """A header value as it must be read back."""
    text = text.replace("\r\n", " ")
    return re.sub("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", " ", text)


def lines(text):
    """A body with one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_subjects(subjects):
    mails = [dict(BASE, subject=s) for s in subjects]
    for subject, raw in zip(subjects, compose(mails)):
        name = "subject %r" % subject[:40]
        check_wire(raw, name)
        ok(parse(raw)["subject"] == cleaned(subject), name,
           "is read as %r" % parse(raw)["subject"])


def check_names(names):
    mails = [dict(BASE, to_name=n, from_name=n, list_id="x.example.com",
                  list_name=n) for n in names]
    for shown, raw in zip(names, compose(mails)):
        name = "display name %r" % shown[:40]
        check_wire(raw, name)
        message = parse(raw)
        wanted = " ".join(cleaned(shown).replace("\t", " ").split())
        for header, address in (("to", BASE["to"]), ("from", BASE["from"])):
            one = message[header].addresses[0]
            ok(len(message[header].addresses) == 1 and
               one.addr_spec == address, name, "has another address")
            found = display_name(raw, header) or one.display_name
            ok(" ".join(found.split()) == wanted, name,
               "is read as %r" % found)
        ok(message["list-id"].endswith("<x.example.com>"), name, "in List-Id")


def display_name(raw, header):
    """A name of several encoded words, which Python's new policy reads with a
    space in between, at least in 3.11; None if it is no such name."""
    value = email.message_from_bytes(raw)[header]
    if value.count("=?utf-8?") < 2:
        return None
    name = email.utils.parseaddr(re.sub("\r?\n", "", value))[0]
    return str(email.header.make_header(email.header.decode_header(name)))


def check_bodies(bodies):
    mails = [dict(BASE, text=b, html=b) for b in bodies]
    for body, raw in zip(bodies, compose(mails)):
        name = "body %r" % body[:40]
        check_wire(raw, name)
        message = parse(raw)
        ok(message.get_content_type() == "multipart/alternative", name)
        for kind in ("plain", "html"):
            part = message.get_body((kind,))
            ok(lines(part.get_content()) == lines(body), name,
               "%s is read as %r" % (kind, part.get_content()[:80]))
        ok(not any(part.defects for part in message.walk()), name, "defects")


def check_files(files):
    """files: (name, type, data)"""
    mails = [dict(BASE, html="<img src='cid:logo@x'>", files=[
        {"name": n, "type": t, "data": base64.b64encode(d).decode()},
        {"name": n, "type": "image/png", "content_id": "logo@x",
         "data": base64.b64encode(d).decode()}]) for n, t, d in files]
    for (shown, kind, data), raw in zip(files, compose(mails)):
        name = "file %r" % shown[:40]
        check_wire(raw, name)
        message = parse(raw)
        ok(message.get_content_type() == "multipart/mixed", name)
        (attachment,) = message.iter_attachments()
        ok(attachment.get_filename() == cleaned(shown).replace("\t", " "),
           name, "is read as %r" % attachment.get_filename())
        ok(attachment.get_payload(decode=True) == data, name, "data")
        ok(attachment.get_content_type() == (
            kind if kind.count("/") == 1 else "application/octet-stream"),
           name, attachment.get_content_type())
        related = message.get_body(("related",))
        image = list(related.iter_parts())[1]
        ok(image["content-id"] == "<logo@x>" and
           image.get_payload(decode=True) == data and
           image.get_content_disposition() == "inline", name, "inline image")


def check_headers():
    """The headers machines read, character by character."""
    url = "https://example.com/unsubscribe/opaquepart"
    raw, long, plain = compose([
        dict(BASE, subject="x", unsubscribe_url=url, one_click=True,
             unsubscribe_mailto="leave+1@example.com", list_id="n.example.com",
             feedback_id="campaign 1:größe:mail:shop", in_reply_to="0@x.org",
             auto_submitted="auto-generated",
             headers={"X-Campaign": "a" * 200, "X-Word": "Grüße"}),
        dict(BASE, unsubscribe_url=url + "/" + "t" * 400, one_click=True),
        dict(BASE, reply_to="help@example.com", reply_to_name="Help, please"),
    ])
    check_wire(raw, "headers", True)
    message = parse(raw)
    ok(b"List-Unsubscribe: <%s>,\r\n <mailto:leave+1@example.com?subject="
       b"unsubscribe>\r\n" % url.encode() in raw, "List-Unsubscribe")
    ok(b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw,
       "List-Unsubscribe-Post")
    ok(b"\r\nFeedback-ID: campaign_1:gr__" in raw, "Feedback-ID")
    ok(b"\r\nList-Id: <n.example.com>\r\n" in raw, "List-Id")
    ok(b"\r\nMessage-ID: <1.2@example.com>\r\n" in raw, "Message-ID")
    ok(b"\r\nAuto-Submitted: auto-generated\r\n" in raw, "Auto-Submitted")
    ok(b"\r\nMIME-Version: 1.0\r\n" in raw, "MIME-Version")
    ok(b"Date: Sat, 21 Nov 2026 23:06:07 +0100\r\n" in raw, "Date")
    ok(message["in-reply-to"] == "<0@x.org>", "In-Reply-To")
    ok(message["x-word"] == "Grüße" and message["x-campaign"] == "a" * 200,
       "own headers")
    ok(b"List-Unsubscribe: <%s/%s>\r\n" % (url.encode(), b"t" * 400) in long,
       "long List-Unsubscribe")
    ok(str(parse(plain)["reply-to"]) == '"Help, please" <help@example.com>',
       "Reply-To")
    ok("unsubscribe" not in plain.decode(), "no List-Unsubscribe unasked")
    ok(compose([BASE]) == compose([BASE]), "the same message again")


def check_domains():
    """Domains in UTF-8: what Python's IDNA makes of them; SMTPUTF8 as is."""
    domains = ["münchen.de", "bücher.example", "日本語.jp", "straße.example",
               "пример.испытание", "a.ü", "ää-öö.com"]
    for domain, raw in zip(domains, compose(
            [dict(BASE, to="ada@" + d) for d in domains])):
        if "ß" not in domain:
            ok(b"\r\nTo: ada@" + domain.encode("idna") + b"\r\n" in raw,
               "domain " + domain, raw.decode())
    (raw,) = compose([dict(BASE, message_id="1@bücher.example")])
    ok(b"Message-ID: <1@xn--bcher-kva.example>" in raw, "Message-ID")
    (raw,) = compose([dict(BASE, to="straße@straße.example")])
    ok("\r\nTo: straße@straße.example\r\n".encode() in raw, "SMTPUTF8")


def check_refused():
    for change in [
            {"to": "ada@example.com\r\nBcc: eve@example.com"},
            {"to": "ada@example.com> <eve@example.com"}, {"from": "nobody"},
            {"message_id": "a\r\nb@c"}, {"message_id": "nothing"},
            {"list_id": "a b"}, {"unsubscribe_url": "http://example.com/"},
            {"unsubscribe_url": "https://example.com/\r\nBcc: x"},
            {"unsubscribe_url": "https://example.com/> <x"},
            {"unsubscribe_mailto": "x"}, {"headers": {"Subject": "x"}},
            {"headers": {"X Y": "x"}}, {"headers": {"X:": "x"}},
            {"headers": {"Bcc": "x"}}, {"headers": {"content-type": "x"}},
            {"headers": {"X\r\nBcc": "x"}},
            {"files": [{"name": "x", "content_id": "a>\r\nb", "data": ""}],
             "html": "x"},
            {"text": "x" * 27000000}]:
        answer = compose([dict(BASE, **change)])
        ok(isinstance(answer, str) and "ERROR" in answer,
           "refused: %s" % str(change)[:60], str(answer)[:200])
    for key in ("subject", "to_name", "from_name", "list_name",
                "feedback_id", "auto_submitted"):
        (raw,) = compose([dict(BASE, list_id="x.y", **{
            key: "x\r\nBcc: eve@example.com\rCc: a@b.c\n\nbody\u2028x"})])
        check_wire(raw, "injection by " + key)
        ok(parse(raw)["bcc"] is None and parse(raw)["cc"] is None and
           parse(raw).get_content().strip() == "Hello", "injection by " + key)
    (raw,) = compose([dict(BASE, headers={"X-A": "x\r\nBcc: e@x.y\r\n\r\nz"})])
    ok(parse(raw)["bcc"] is None and parse(raw)["x-a"] == "x Bcc: e@x.y  z",
       "injection by a header", repr(parse(raw)["x-a"]))


def fixtures(folder):
    """Subjects, names and bodies of messages of the world."""
    for archive in sorted(folder.glob("*.tar.xz")):
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                try:
                    yield parse(tar.extractfile(member).read())
                except Exception:
                    continue


def check_fixtures(folder):
    """What others wrote, composed anew, must say the same."""
    subjects, names, bodies, files = set(), set(), set(), {}
    for message in fixtures(folder):
        try:
            parts = list(message.walk())
            subjects.add(str(message["subject"] or ""))
            for address in getattr(message["from"], "addresses", ()):
                names.add(address.display_name)
            for part in parts:
                if part.is_multipart():
                    continue
                data = part.get_payload(decode=True) or b""
                if part.get_content_maintype() == "text":
                    bodies.add(part.get_content())
                elif part.get_filename() and len(data) < 100000:
                    files[part.get_filename()] = (part.get_content_type(),
                                                  data)
        except (LookupError, ValueError, AttributeError, KeyError,
                IndexError, TypeError, email.errors.MessageError):
            continue

    def good(text):
        return "\0" not in text and not re.search("[\ud800-\udfff]", text)

    check_subjects(sorted(filter(good, subjects)))
    check_names(sorted(filter(good, names)))
    check_bodies(sorted(b for b in bodies if good(b) and len(b) < 200000))
    check_files([(n, t, d) for n, (t, d) in sorted(files.items())
                 if good(n) and not t.startswith("message/")])
    print("# fixtures: %d subjects, %d names, %d bodies, %d files" % (
        len(subjects), len(names), len(bodies), len(files)))


def random_texts(count):
    """Texts of all kinds of characters, the same each time."""
    rng = random.Random(8058)
    kinds = ["abc xyz", "é ü ß", "日本", "\U0001F600", "=?_\"<>@,;:\\()",
             " \t", "\r\n", "\x01\x7f\x85\u2028", "."]
    for _ in range(count):
        yield "".join(rng.choice(rng.choice(kinds))
                      for _ in range(rng.choice((3, 30, 100, 400))))


def vectors(folder):
    for name in ("rfc2047_encode_inputs.csv", "rfc2047_vectors.csv"):
        with open(folder / name, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row.get("text") or row.get("decoded")


def write(folder):
    """Messages for another reader, and what it must find in them."""
    folder.mkdir(exist_ok=True)
    texts = [t for t in HARD + list(random_texts(100)) if cleaned(t).strip()]
    # mailparser decodes what looks encoded even where nothing is, in names of
    # files
    names = [t.replace("=?", "=") for t in texts]
    wanted = []
    for n, (text, name, raw) in enumerate(zip(texts, names, compose([dict(
            BASE, subject=t, to_name=t, text=t, html="<p>é</p>",
            files=[{"name": f, "data": "aGVsbG8="}])
            for t, f in zip(texts, names)]))):
        (folder / ("%d.eml" % n)).write_bytes(raw)
        wanted.append({
            "subject": cleaned(text), "text": lines(text),
            "name": " ".join(cleaned(text).replace("\t", " ").split()),
            "file": cleaned(name).replace("\t", " ")})
    (folder / "wanted.json").write_text(json.dumps(wanted))


def main():
    folder = pathlib.Path(sys.argv[1])
    if sys.argv[2:3] == ["--write"]:
        write(pathlib.Path(sys.argv[3]))
        return
    texts = list(random_texts(300))
    check_subjects(HARD + list(vectors(folder)) + texts)
    check_names(HARD + list(vectors(folder)) + texts)
    check_bodies(BODIES + texts)
    check_files([("Preisliste größer.pdf", "application/pdf",
                  bytes(range(256)) * 10),
                 ("x" * 300, "a/b", b"x" * 1000), ("日本語" * 30, "a/b", b"y"),
                 ('quo"te\\d', "image/png", b"z"), ("a\r\nb", "no type", b"q"),
                 ("it's 100%.txt", "text/plain", b"")])
    check_headers()
    check_domains()
    check_refused()
    check_fixtures(folder)
    print("messages: %d of %d checks" % (total - failures, total))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
