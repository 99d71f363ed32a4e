"""Compare the verdicts on bounces with those of Sisimai.

Usage: bounces.py FOLDER_OF_BOUNCES [-v]
The database is found by the environment. One verdict (hard or not) for each
row of expected_sisimai.csv, compared with that on the recipient of the same
number; a mail that has fewer recipients for us has its first one compared.
Then the same mails with other line ends, mails that are no bounces, and broken
ones, which must be survived. At least 90 % must be right.
"""
import csv
import json
import pathlib
import subprocess
import sys
import tarfile

NEEDED = 0.90


def judge(mails):
    """What the database takes each of the mails for."""
    query = "".join("select mautomate_internal.judge_mail('\\x%s');\n"
                    % mail.hex() for mail in mails)
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-f",
                           "-"], input=query, text=True, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(folder):
    """The mails of the archive: {folder: {name: bytes}}."""
    found = {}
    with tarfile.open(folder / "set-of-emails.tar.xz") as archive:
        for member in archive:
            path = pathlib.PurePath(member.name)
            if member.isfile() and path.parts[-3:-2] == ("maildir",):
                found.setdefault(path.parts[-2], {})[path.name] = \
                    archive.extractfile(member).read()
    return found


def hard(verdict, number):
    """Is the recipient of this number (from 1) dead?"""
    recipients = verdict["recipients"]
    if verdict["kind"] not in ("bounce", "delayed") or not recipients:
        return False
    return recipients[number - 1 if number <= len(recipients) else 0]["hard"]


def main():
    folder = pathlib.Path(sys.argv[1])
    mails = read(folder)
    with open(folder / "expected_sisimai.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    verdicts = dict(zip(mails["bsd"], judge(mails["bsd"].values())))
    right = 0
    for row in rows:
        verdict = verdicts[row["file"]]
        good = hard(verdict, int(row["recipient_no"])) == \
            (row["hardbounce"] == "true")
        right += good
        if not good and "-v" in sys.argv:
            print("#", row, json.dumps(verdict)[:900])
    bounces = sum(v["kind"] in ("bounce", "delayed", "delivered", "complaint")
                  for v in verdicts.values())
    print("verdicts: %d of %d right (%.1f %%); %d of %d known as reports"
          % (right, len(rows), 100 * right / len(rows), bounces,
             len(verdicts)))
    failed = right < NEEDED * len(rows)
    plain = {name: mail for name, mail in mails["bsd"].items()
             if b"\r" not in mail}
    for name, end in ("CRLF", b"\r\n"), ("CR", b"\r"):
        others = judge(mail.replace(b"\n", end) for mail in plain.values())
        same = sum(other == verdicts[mail]
                   for other, mail in zip(others, plain))
        print("line ends %s: %d of %d the same" % (name, same, len(plain)))
        failed |= same < len(plain)
    for name, verdict in zip(mails["not"], judge(mails["not"].values())):
        print("no bounce: %s is %s" % (name, verdict["kind"]))
        failed |= any(r["hard"] for r in verdict["recipients"])
    print("broken: %d survived" % len(judge(
        [mail for kind in ("err", "tmp", "dos", "mac")
         for mail in mails[kind].values()])))
    sys.exit(failed)


if __name__ == "__main__":
    main()
