"""The orders of the demo: read from the Online Retail CSV, or made up."""
import csv
import dataclasses
import datetime
import lzma
import pathlib
import random

FIRST_NAMES = """Ada Bengt Chloé Dilip Elif Fiona Gökhan Hannah Iñaki Jürgen
Kateřina Łukasz Mairéad Noor Oisín Priya Quentin Ravi Siân Tariq Ursula Vikram
Wendy Xavier Yusuf Zoë""".split()
LAST_NAMES = """Abbott Brûlé Clarke Dvořák Evans Fischer García Hughes Ivanov
Jones Kowalski Lindström Müller Novák O'Brien Patel Quinn Rossi Smith Taylor
Ünal Vogel Walsh Young Zhang""".split()


@dataclasses.dataclass
class Invoice:
    number: str
    customer: str  # '' where the shop does not know
    country: str
    at: datetime.datetime  # that of its earliest line, local time
    lines: list

    @property
    def total(self):
        return sum(line.quantity * line.price for line in self.lines)


@dataclasses.dataclass
class Line:
    stock_code: str
    description: str
    quantity: int
    price: float


def find(folder):
    """The CSV file in the folder, packed or not; None where there is none."""
    for name in ("online_retail.csv.xz", "online_retail.csv"):
        path = pathlib.Path(folder, name)
        if path.is_file():
            return path
    return None


def read(path):
    """All invoices in the order of their times."""
    invoices = {}
    unpack = lzma.open if path.suffix == ".xz" else open
    with unpack(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.datetime.fromisoformat(row["InvoiceDate"])
            invoice = invoices.setdefault(row["InvoiceNo"], Invoice(
                row["InvoiceNo"], row["CustomerID"], row["Country"], at, []))
            invoice.at = min(invoice.at, at)
            invoice.lines.append(Line(row["StockCode"], row["Description"],
                                      int(row["Quantity"]),
                                      float(row["UnitPrice"])))
    return sorted(invoices.values(), key=lambda invoice: invoice.at)


def person(customer):
    """A made-up but lasting name and address for a customer's number."""
    dice = random.Random(customer)
    first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
    return first, last, f"customer.{customer}@example.com"


def generate(folder, customers=600, seed=2011):
    """Write the CSV of a small shop that never was; the same every time."""
    dice = random.Random(seed)
    begin = datetime.datetime(2010, 12, 1, 8)
    orders = []
    for number in range(customers):
        day = dice.uniform(0, 340)
        pace = dice.choice([9, 20, 40, 80, 200])
        while day < 373:
            at = begin + datetime.timedelta(days=int(day),
                                            minutes=dice.randrange(600))
            orders.append((at, str(20000 + number)))
            day += 1 + dice.expovariate(1 / pace)
    orders += [(begin + datetime.timedelta(days=dice.randrange(373), hours=3),
                "") for _ in range(len(orders) // 20)]
    path = pathlib.Path(folder, "online_retail.csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow("InvoiceNo StockCode Description Quantity InvoiceDate"
                     " UnitPrice CustomerID Country".split())
        for number, (at, customer) in enumerate(sorted(orders), 700000):
            back = customer and dice.random() < 0.1
            for _ in range(dice.randint(1, 8)):
                thing = dice.randrange(100)
                out.writerow([f"C{number}" if back else number, 10000 + thing,
                              f"PRESENT NO. {thing}",
                              dice.randint(1, 24) * (-1 if back else 1),
                              at, 1.25 + thing % 7, customer,
                              "United Kingdom"])
    return path
