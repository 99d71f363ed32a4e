"""How the demo looks on a terminal, or in a file."""
import contextlib
import sys
import time

TTY = sys.stdout.isatty()


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if TTY else text


def bold(text):
    return paint(1, text)


def mark(holds):
    return paint(32, "✓") if holds else paint("1;31", "✗")


def day(instant):
    return f"{instant.day} {instant:%B %Y}"


def title(name, label):
    print(f"\n{bold(name)}  {label}\n", flush=True)


def heading(text):
    print(f"\n{bold(text)}", flush=True)


def fact(name, value, note=""):
    if isinstance(value, float):
        value = round(value, 1)
    print(f"  {name:<42} {value:>10,} {note}", flush=True)


@contextlib.contextmanager
def step(text):
    print(f"  {text:<66}", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:6.1f} s", flush=True)


def table(names, rows):
    """Columns as wide as needed, numbers to the right."""
    if not rows:
        print("  (none)")
        return
    widths = [max(len(plain(str(cell))) for cell in column)
              for column in zip(names, *rows)]
    right = [all(str(row[i])[:1].isdigit() for row in rows)
             for i in range(len(names))]
    for number, row in enumerate([names, *rows]):
        line = "   ".join(pad(str(cell), width, to_right)
                          for cell, width, to_right
                          in zip(row, widths, right)).rstrip()
        print("  " + (paint(4, line) if number == 0 else line))
    sys.stdout.flush()


def plain(text):
    """Without the colours."""
    for code in ("\x1b[32m", "\x1b[1;31m", "\x1b[0m"):
        text = text.replace(code, "")
    return text


def pad(text, width, to_right):
    space = " " * (width - len(plain(text)))
    return space + text if to_right else text + space


def quote(text):
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        print(f"  {paint(36, '│')} {line}")


class Progress:
    """A line that moves on a terminal; a line per month in a file."""

    def __init__(self, total):
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._month = None
        self._shown = 0.0

    def advance(self, done, at, mails):
        self._done += done
        now = time.monotonic()
        share = self._done / self._total
        text = (f"  {at:%d %b %Y}  {share:4.0%}  {self._done:>7,} invoices  "
                f"{self._done / (now - self._started):>5,.0f} /s  "
                f"{mails:>6,} mails")
        if TTY:
            if now - self._shown > 0.1 or self._done == self._total:
                self._shown = now
                bar = "█" * int(share * 24)
                print(f"\r{text}  {bar:<24}", end="", flush=True)
        elif at.month != self._month:
            self._month = at.month
            print(text, flush=True)

    def end(self):
        if TTY:
            print()
