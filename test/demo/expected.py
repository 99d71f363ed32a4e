#!/usr/bin/env python3
"""What the lists and mails of the demo must be, straight from the CSV.

Deliberately shares no line with mautomate or with the rest of the demo:
    python3 expected.py online_retail.csv.xz
"""
import bisect
import calendar
import collections
import csv
import datetime
import lzma
import sys

DAY = datetime.timedelta(days=1)
BEGIN = datetime.datetime(2011, 7, 1)
INSTANTS = [BEGIN, datetime.datetime(2011, 10, 1),
            datetime.datetime(2011, 12, 10)]


def purchases(path):
    """Customer -> sorted times of the invoices that are purchases."""
    first = {}
    unpack = lzma.open if str(path).endswith(".xz") else open
    with unpack(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["CustomerID"] and not row["InvoiceNo"].startswith("C"):
                key = row["InvoiceNo"], row["CustomerID"]
                at = row["InvoiceDate"]
                first[key] = min(first.get(key, at), at)
    times = collections.defaultdict(list)
    for (_, customer), at in first.items():
        times[customer].append(datetime.datetime.fromisoformat(at))
    return {customer: sorted(ats) for customer, ats in times.items()}


def six_months_later(at):
    year, month = divmod(at.year * 12 + at.month - 1 + 6, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return at.replace(year=year, month=month + 1, day=min(at.day, last))


def list_sizes(times, now):
    """The lists loyal, recent and asleep at an instant."""
    sizes = collections.Counter(loyal=0, recent=0, asleep=0)
    for ats in times.values():
        known = ats[:bisect.bisect_left(ats, now)]
        if not known:
            continue
        sizes["loyal"] += sum(at + 365 * DAY > now for at in known) > 10
        sizes["recent"] += six_months_later(known[-1]) > now
        sizes["asleep"] += now > known[-1] + 90 * DAY
    return dict(sizes)


def mails(times, begin, end):
    """Mails of the workflows first buy and review from begin to end."""
    sent = collections.Counter(promo=0, review=0)
    for ats in times.values():
        sent["promo"] += ats[0] >= begin
        entered = None
        for at in ats:
            if at >= begin and (entered is None or
                                at >= entered + 30 * DAY):
                entered = at
                sent["review"] += at + 7 * DAY <= end
    return dict(sent)


def main():
    times = purchases(sys.argv[1])
    print("purchases", sum(map(len, times.values())))
    for now in INSTANTS:
        for name, size in list_sizes(times, now).items():
            print(now.date(), name, size)
    for template, sent in mails(times, BEGIN, INSTANTS[-1]).items():
        print("mails", template, sent)


if __name__ == "__main__":
    main()
