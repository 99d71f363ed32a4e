"""Random histories: what happens to the contacts of a trial, step by step.
A step is a tuple of a word and texts, so that a trial can be played again
without some of them."""
import datetime
import json

import definition

CONTACTS = ("p1", "p2", "p3", "p4")
ANONYMOUS = ("x1", "x2")
# Days on which calendars do what nobody expects.
DAYS = ("2030-01-29", "2030-01-31", "2030-02-28", "2030-03-30", "2030-03-31",
        "2030-10-26", "2030-10-27", "2030-11-02", "2032-02-29", "2031-12-31",
        "2030-04-06", "2030-07-15", "2030-01-30", "2030-08-30",
        "2030-03-09", "2030-11-03", "2030-04-25", "2030-10-31")
UTC = datetime.timezone.utc


def stamp(moment):
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f+00")


class Story:
    """Makes the steps of one trial."""

    def __init__(self, random, windows, dense=False):
        self.random = random
        self.dense = dense
        self.lengths = [length(window) for window in windows]
        day = datetime.datetime.fromisoformat(random.choice(DAYS))
        self.start = day.replace(tzinfo=UTC) + datetime.timedelta(
            seconds=random.randrange(86400))
        self.events = 0
        self.live = []
        self.anonymous = list(ANONYMOUS)

    def moment(self, now):
        """When something happens: about the day on which the story began,
        now, late, in the future; often about the time whose window ends
        soon."""
        if self.random.random() < 0.3:
            return self.start + datetime.timedelta(
                seconds=round(self.random.gauss(0, 86400)))
        shape = self.random.random()
        length_ = self.random.choice(self.lengths)
        if shape < 0.25:
            back = datetime.timedelta(0)
        elif shape < 0.5:
            back = length_ * self.random.uniform(0, 1.2)
        elif shape < 0.85:
            back = length_ - datetime.timedelta(
                seconds=self.random.choice((-3600, 1, 5, 1800, 7200, 86400,
                                            172800, 250000))
                * self.random.random())
        else:
            back = -length_ * self.random.random() / 4
        moment = now - back
        if self.random.random() < 0.3:
            moment = moment.replace(minute=0, second=0, microsecond=0)
        return moment

    def properties(self):
        self.events += 1
        self.live.append(self.events)
        properties = {"no": self.events}
        amount = self.random.choice((1, 5, 7, 10, 10.5, 12, 20, -3, None,
                                     "many", "12", 1e200, "skip", 0, -20,
                                     0.1, "-7.25", 1e-200, -1e200, "NaN", ""))
        if amount != "skip":
            properties["amount"] = amount
        if self.random.random() < 0.7:
            properties["tag"] = self.random.choice(("u", "v", "uv"))
        return properties

    def people(self):
        return [*CONTACTS, *self.anonymous]

    def insert(self, now, most=6, who=None):
        rows = []
        for _ in range(self.random.randrange(1, most)):
            rows.append((who or self.random.choice(self.people()),
                         self.random.choice(definition.KINDS),
                         stamp(self.moment(now)),
                         json.dumps(self.properties())))
        return rows

    def burst(self, now):
        """Many events of one kind and contact, in one time of a window."""
        who = self.random.choice(CONTACTS)
        kind = self.random.choice(definition.KINDS)
        length_ = self.random.choice(self.lengths)
        first = now - length_ * self.random.uniform(0.3, 1.1)
        last = first + length_ * self.random.choice((0, 0.01, 0.3, 0.8))
        times = [first + (last - first) * self.random.random()
                 for _ in range(self.random.randrange(2, 30))]
        if self.random.random() < 0.7:
            times.sort()
        return [(who, kind, stamp(at), json.dumps(self.properties()))
                for at in times]

    def track(self, now):
        return (f"select mautomate.track('{self.random.choice(self.people())}'"
                f", '{self.random.choice(definition.KINDS)}',"
                f" '{json.dumps(self.properties())}',"
                f" '{stamp(self.moment(now))}')")

    def some(self):
        chosen = self.random.sample(self.live, min(len(self.live), 3))
        return "(properties->>'no')::int in (" + \
            ", ".join(map(str, chosen or [0])) + ")"

    def update(self, now):
        change = self.random.choice((
            f"occurred_at = '{stamp(self.moment(now))}'",
            "properties = properties || '{\"amount\": 11}'",
            "properties = properties - 'tag'", "kind = 'b'"))
        return f"update mautomate.event set {change} where {self.some()}"

    def tag(self):
        verb = self.random.choice(("tag", "tag", "untag"))
        return (f"select mautomate.{verb}('{self.random.choice(CONTACTS)}',"
                f" '{self.random.choice(('vip', 'old'))}')")

    def attributes(self, now):
        if self.random.random() < 0.2:
            return self.tag()
        value = {
            "n": self.random.choice((0, 1, 2, 3, None)),
            "t": self.random.choice((stamp(self.moment(now)), None)),
            "d": self.random.choice((self.moment(now).strftime("%Y-%m-%d"),
                                     None)),
            "b": self.random.choice((True, False, None)),
            "s": self.random.choice(("x", "y", "4", "12", None)),
            "stage": self.random.choice(("lead", "won", None))}
        names = self.random.sample(sorted(value), 2)
        text = json.dumps({name: value[name] for name in names})
        return (f"select mautomate.identify("
                f"'{self.random.choice(self.people())}',"
                f" attributes => '{text}')")

    def contact(self, now):
        """An UPDATE of contacts, of several at once."""
        zones = ("'Europe/London'", "'Asia/Tokyo'", "'America/St_Johns'",
                 "'America/Havana'", "'Africa/Cairo'", "null")
        change = self.random.choice((
            "stage = " + self.random.choice(("'lead'", "'won'", "null")),
            "timezone = " + self.random.choice(zones),
            "attributes = attributes || '{\"n\": 3, \"s\": \"x\"}'",
            "attributes = attributes - 'd' - 'n'",
            f"attributes = attributes || jsonb_build_object('d', "
            f"'{self.moment(now).strftime('%Y-%m-%d')}')"))
        who = "', '".join(self.random.sample(CONTACTS, 2))
        return (f"update mautomate.contact set {change}"
                f" where external_id in ('{who}')")

    def shop(self, now):
        """A change of tables that are attached."""
        paid = self.random.choice(("true", "true", "false"))
        who = self.random.choice(self.people())
        amount = self.random.choice((1, 5, 10, 20, -3, "null"))
        return self.random.choice((
            "insert into shop (who, amount, tag, at, paid) values"
            f" ('{who}', {amount}, 'u', '{stamp(self.moment(now))}', {paid}),"
            f" ('{who}', 10, 'uv', '{stamp(self.moment(now))}', true)",
            f"update shop set paid = not paid, amount = {amount}"
            f" where who = '{who}'",
            f"update shop set at = '{stamp(self.moment(now))}'"
            " where no = (select max(no) from shop)",
            "update shop set void = true"
            " where no = (select min(no) from shop where not void)",
            "delete from shop where no % 5 = 0",
            f"insert into person values ('{who}', {amount}, 'y')"
            " on conflict (id) do update set n = excluded.n",
            "update person set s = case s when 'y' then 'x' end"))

    def until(self, now):
        """When what is decided by hand is to end; never, as often."""
        end = now + self.random.choice(self.lengths) * self.random.random()
        return stamp(end) if end > now and self.random.random() < 0.5 else None

    def override(self, now, name):
        """A membership decided by hand, against the predicate."""
        verb = self.random.choice(("add", "remove", "clear", "all"))
        if verb == "all":
            return ("clear", name)
        return ("hand", verb, name, self.random.choice(CONTACTS),
                self.until(now))

    def step(self, now):
        """What happens next."""
        if self.dense and self.random.random() < 0.3:
            return ("insert", self.burst(now))
        if self.random.random() < 0.15:
            return ("sql", self.random.choice(
                (self.contact, self.shop, self.shop))(now))
        if self.random.random() < 0.01:
            return ("sql", "truncate mautomate.event")
        shape = self.random.random()
        if shape < 0.45:
            return ("insert", self.insert(now))
        if shape < 0.55:
            return ("sql", self.track(now))
        if shape < 0.62:
            return ("sql", self.update(now))
        if shape < 0.68:
            return ("sql", f"delete from mautomate.event where {self.some()}")
        if shape < 0.80:
            return ("sql", self.attributes(now))
        if shape < 0.85:
            return ("hand", self.random.choice(("add", "remove")), "hand",
                    self.random.choice(self.people()), self.until(now))
        if shape < 0.89 and self.anonymous:
            who = self.anonymous.pop()
            return ("alias", who, self.random.choice(CONTACTS))
        if shape < 0.91 and self.anonymous:
            end = self.random.choice(("commit", "rollback"))
            who = self.random.choice(self.anonymous)
            rows = self.insert(now, 3, who)
            if end == "commit":
                self.anonymous.remove(who)
            return ("merge", who, self.random.choice(CONTACTS), rows, end)
        if shape < 0.97:
            who = self.random.choice(self.people())
            return ("two", self.insert(now, 3, who),
                    self.insert(now, 3, who),
                    self.random.choice(("commit", "rollback")))
        return ("insert", self.insert(now, 40))


def insertion(rows):
    """The rows as one statement."""
    values = ", ".join(f"('{who}', '{kind}', timestamptz '{at}',"
                       f" jsonb '{properties}')"
                       for who, kind, at, properties in rows)
    return ("insert into mautomate.event"
            " (contact_id, kind, occurred_at, properties)"
            " select c.contact_id, v.kind, v.at, v.properties"
            f" from (values {values}) v (who, kind, at, properties)"
            " join mautomate.contact c on c.external_id = v.who")


def length(window):
    """About how long a window is."""
    units = {"second": 1, "hour": 3600, "day": 86400, "mon": 2629800,
             "year": 31557600}
    seconds = 0
    words = window.split()
    while words:
        word = words.pop(0)
        if ":" in word:
            hours, minutes, _ = word.split(":")
            seconds += int(hours) * 3600 + int(minutes) * 60
        else:
            seconds += int(word) * units[words.pop(0).rstrip("s")]
    return datetime.timedelta(seconds=seconds)
