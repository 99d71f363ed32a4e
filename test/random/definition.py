"""Random lists and scores: each as the text that mautomate takes and as the
plain SQL that says the same over the log, written by this file alone. In the
SQL, c is the contact, e the event, and {now} stands for the instant."""
import collections

KINDS = ("a", "b")
WINDOWS = ("1 second", "90 seconds", "1 hour", "24 hours", "36 hours",
           "1 day", "1 day 02:30:00", "2 days", "7 days", "30 days",
           "1 mon", "1 mon 1 day", "2 mons", "3 mons", "1 year", "10 years")
# Windows whose ends depend on the calendar.
CALENDAR = ("1 day", "1 mon", "1 mon", "1 mon 1 day", "2 mons")
# What the messages of predicates that fail on somebody's data begin with.
ERRORS = "^(division by zero|invalid input syntax for type integer)"
ORDER = ("<", "<=", "=", "<>", ">=", ">")

# A predicate or value: as we write it, as the oracle does, whether
# explain_list() shows it as one condition, and when it raises an error; then
# the oracle's SQL is null.
Pair = collections.namedtuple("Pair", "text sql single raises",
                              defaults=(True, "false"))


def number(alias, name):
    """A JSON value as a number; null where it is none."""
    value = f"{alias}->'{name}'"
    word = f"{alias}->>'{name}'"
    return (f"(select v from (select case when jsonb_typeof({value}) = 'number'"
            f" or {word} ~ '^-?[0-9]+(\\.[0-9]+)?$' then ({word})::numeric end)"
            " x (v) where abs(v) < 1e1000)")


class Maker:
    """Makes the definitions of one trial."""

    def __init__(self, random, dense=False):
        self.random = random
        self.dense = dense      # windows with many events
        self.windows = random.sample(WINDOWS, 2)
        self.windows.append(random.choice(CALENDAR))
        self.spans = set(self.windows)
        self.raisers = random.choice((0, 0, 1))
        self.lists = {}
        self.static = ["hand"]
        self.score = []     # (rule, points, event, condition, sql)

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *values):
        return self.random.choice(values)

    # --- what a filter may say about an event

    def filter(self):
        amount = number("e.properties", "amount")
        tag = "e.properties->>'tag'"
        least = self.pick(5, 10, 20)
        return self.pick(
            Pair(f"event.amount > {least}", f"{amount} > {least}"),
            Pair("event.tag = 'u'", f"{tag} = 'u'"),
            Pair("event.tag like 'u%' or event.amount is null",
                 f"({tag} like 'u%' or {amount} is null)"),
            Pair("event.tag in ('u', 'v') and not event.amount < 7",
                 f"({tag} in ('u', 'v') and not {amount} < 7)"),
            Pair("extract(hour from event.occurred_at) < 12",
                 "extract(hour from e.occurred_at) < 12"),
            # an event about which a filter raises is not counted
            Pair("10 / event.amount > 1", f"10 / nullif({amount}, 0) > 1"))

    # --- calls about the history

    def call(self, function, prop=None, windowed=None):
        kind = self.pick(*KINDS)
        text = [f"'{kind}'"]
        where = f"e.contact_id = c.contact_id and e.kind = '{kind}'"
        column = "*" if function == "count" else "e.occurred_at"
        if prop:
            text.append(f"'{prop}'")
            column = number("e.properties", prop)
        if self.chance(0.8) if windowed is None else windowed:
            window = self.pick(*self.windows)
            text.append(f"within => '{window}'")
            where += f" and e.occurred_at + interval '{window}' > {{now}}"
        elif self.chance(0.3):
            first, last = self.period()
            text.append(f"since => '{first}'")
            where += f" and e.occurred_at >= '{first}'"
            if last:
                text.append(f"until => '{last}'")
                # a date is the whole day, a time the instant
                end = f"'{last}'" if " " in last else f"date '{last}' + 1"
                where += f" and e.occurred_at < ({end})::timestamptz"
        after = ""
        if self.chance(0.25):
            chosen = self.filter()
            after = f" filter (where {chosen.text})"
            where += f" and {chosen.sql}"
        names = {"first_at": "min", "last_at": "max"}
        if function in ("ever", "never"):
            sql = f"exists (select from mautomate.event e where {where})"
            if function == "never":
                sql = f"(not {sql})"
        else:
            sql = (f"(select {names.get(function, function)}({column})"
                   f" from mautomate.event e where {where})")
        return Pair(f"{function}({', '.join(text)}){after}", sql)

    def period(self):
        """A fixed one, with or without an end; local times."""
        first = self.pick("2030-01-30", "2030-03-31 01:30", "2030-10-27")
        return first, self.pick(None, "2031-01-01", "2032-02-29 12:00")

    def count(self):
        return self.call("count")

    def distinct(self):
        """How many different values; JSON null is none."""
        chosen = self.call("count_distinct", "amount")
        value = "e.properties->'amount'"
        column = number("e.properties", "amount")
        return Pair(chosen.text, chosen.sql.replace(
            f"count_distinct({column})",
            f"count(distinct {value}) filter (where jsonb_typeof({value})"
            " <> 'null')"))

    def last(self):
        kind = self.pick(*KINDS)
        return Pair(f"last_value('{kind}', 'tag')",
                    "(select e.properties->>'tag' from mautomate.event e"
                    f" where e.contact_id = c.contact_id and e.kind = '{kind}'"
                    " and e.properties ? 'tag'"
                    " order by e.occurred_at desc, e.event_id desc limit 1)")

    def value(self):
        return self.call(self.pick("sum", "avg", "min", "max"), "amount")

    def time(self):
        return self.call(self.pick("first_at", "last_at"))

    # --- predicates

    def compare(self, left, right, operators=ORDER):
        operator = self.pick(*operators)
        if self.chance(0.15):
            left, right = right, left
        return Pair(f"{left.text} {operator} {right.text}",
                    f"({left.sql} {operator} {right.sql})")

    @staticmethod
    def constant(value):
        return Pair(str(value), str(value))

    def attribute(self, name):
        value = f"c.attributes->>'{name}'"
        types = {"n": "numeric", "t": "timestamptz", "d": "date",
                 "b": "boolean", "s": "text"}
        return Pair(f"contact.{name}", f"(({value})::{types[name]})")

    def count_condition(self):
        a = self.count()
        n = self.random.randrange(0, 5)
        low = self.random.randrange(0, 3)
        return self.pick(
            lambda: self.compare(a, self.constant(n)),
            lambda: self.compare(a, self.constant(n)),
            lambda: self.compare(a, self.constant(n)),
            lambda: self.compare(a, self.constant(f"{n}.5")),
            lambda: self.compare(a, self.constant("99999999999999999999")),
            lambda: self.compare(a, self.count()),
            lambda: self.compare(a, self.attribute("n")),
            lambda: Pair(f"{a.text} % 2 = 1", f"({a.sql} % 2 = 1)"),
            lambda: Pair(f"{a.text} in (1, {n})", f"({a.sql} in (1, {n}))"),
            lambda: Pair(f"{a.text} between {low} and {low + 2}",
                         f"({a.sql} between {low} and {low + 2})"),
            lambda: Pair(f"{a.text} not between {low} and {low + 1}",
                         f"({a.sql} not between {low} and {low + 1})"),
        )()

    def value_condition(self):
        a = self.value()
        n = self.pick(0, 5, 10, "12.5", 20, 30, -3)
        b = self.value()
        return self.pick(
            lambda: self.compare(a, self.constant(n)),
            lambda: self.compare(a, self.constant(n)),
            lambda: self.compare(a, b),
            lambda: self.compare(a, self.attribute("n")),
            lambda: Pair(f"{a.text} is null", f"({a.sql} is null)"),
            lambda: Pair(f"{a.text} - {b.text} > 3",
                         f"({a.sql} - {b.sql} > 3)"),
            lambda: Pair(f"coalesce({a.text}, {b.text}, 7) < 9",
                         f"(coalesce({a.sql}, {b.sql}, 7) < 9)"),
            lambda: Pair(f"{a.text} is distinct from {b.text}",
                         f"({a.sql} is distinct from {b.sql})"),
        )()

    def span(self):
        span = self.pick(*self.windows)
        self.spans.add(span)
        return span

    def time_condition(self):
        a = self.time()
        span = self.span()
        some = self.pick(self.attribute("t"), self.attribute("d"), a)
        plain = "::timestamptz" if some.text == "contact.d" else ""
        operator = self.pick("<", "<=", ">=", ">")
        return self.pick(
            lambda: self.compare(a, self.time()),
            lambda: self.compare(a, self.attribute("t")),
            lambda: Pair(f"{a.text} is null", f"({a.sql} is null)"),
            lambda: Pair(f"extract(hour from {a.text}) < 12",
                         f"(extract(hour from {a.sql}) < 12)"),
            lambda: Pair(f"elapsed({some.text}) {operator} '{span}'",
                         f"({{now}} {operator} {some.sql}{plain}"
                         f" + interval '{span}')"),
            lambda: Pair(f"remaining({some.text}) {operator} '{span}'",
                         f"({some.sql}{plain} - interval '{span}'"
                         f" {operator} {{now}})"),
            lambda: Pair(f"{a.text} > now() - interval '{span}'",
                         f"({{now}} < {a.sql} + interval '{span}')"),
            lambda: Pair(f"now() - {a.text} > '{span}'",
                         f"({{now}} > {a.sql} + interval '{span}')"),
            lambda: Pair(f"{some.text} + '{span}' <= now()",
                         f"({some.sql}{plain} + interval '{span}'"
                         " <= {now})"),
            lambda: Pair("now() >= '2030-02-28 12:00'",
                         "({now} >= '2030-02-28 12:00')"),
            lambda: self.call("ever"), lambda: self.call("ever"),
            lambda: self.call("never"),
        )()

    def mixed_condition(self):
        a, b, v = self.count(), self.count(), self.value()
        n = self.random.randrange(0, 4)
        return self.pick(
            lambda: Pair(f"case when {a.text} > 2 then {v.text}"
                         f" else {b.text} end > 1",
                         f"(case when {a.sql} > 2 then {v.sql}"
                         f" else {b.sql} end > 1)"),
            lambda: Pair(f"{a.text} + {b.text} = 3",
                         f"({a.sql} + {b.sql} = 3)"),
            lambda: Pair(f"coalesce({v.text}, 0) > {b.text}",
                         f"(coalesce({v.sql}, 0) > {b.sql})"),
            lambda: self.compare(self.distinct(), self.constant(n)),
            lambda: self.compare(self.distinct(), self.constant(n)),
            lambda: self.compare(self.distinct(), a),
            lambda: self.compare(self.last(), Pair("'u'", "'u'")),
            self.trait, self.trait,
            lambda: Pair("contact.b", self.attribute("b").sql),
            lambda: Pair("contact.s = 'x'", "((c.attributes->>'s') = 'x')"),
            lambda: self.compare(self.attribute("n"),
                                 self.constant(self.pick(1, 2))),
        )()

    def raising(self):
        """What cannot be told of everybody: then membership stays as it
        is, and becomes right when it can be told again."""
        n, a = self.attribute("n").sql, self.count()
        word = "(c.attributes->>'s')"
        least = self.pick(3, 5)
        return self.pick(
            Pair(f"12 / contact.n > {least}", f"(12 / nullif({n}, 0) > {least})",
                 raises=f"coalesce({n} = 0, false)"),
            Pair(f"contact.s::int > {least}",
                 f"((case when {word} ~ '^[0-9]+$' then {word}::int end)"
                 f" > {least})",
                 raises=f"coalesce({word} !~ '^[0-9]+$', false)"),
            Pair(f"12 % {a.text} = 0", f"(12 % nullif({a.sql}, 0) = 0)",
                 raises=f"({a.sql} = 0)"))

    def trait(self):
        """Tags, stages, anniversaries, what was."""
        tag = self.pick("vip", "old")
        stage = self.pick("lead", "won")
        tags = "c.attributes->'tags'"
        day = ("(({now} at time zone coalesce(c.timezone,"
               " current_setting('timezone')))::date)")
        date = self.attribute("d").sql
        return self.pick(
            Pair(f"has_tag('{tag}')", f"coalesce(jsonb_typeof({tags}) = 'array'"
                 f" and {tags} ? '{tag}', false)"),
            Pair(f"contact.stage = '{stage}'", f"(c.stage = '{stage}')"),
            Pair(f"contact.stage is distinct from '{stage}'",
                 f"(c.stage is distinct from '{stage}')"),
            Pair(f"was(contact.stage, '{stage}')",
                 f"(coalesce(c.stage = '{stage}', false) or exists (select from"
                 " mautomate.event e where e.contact_id = c.contact_id"
                 " and e.kind = 'attribute_changed'"
                 " and e.properties->>'attribute' = 'stage'"
                 f" and '{stage}' in (e.properties->>'value',"
                 " e.properties->>'previous')))"),
            Pair("anniversary(contact.d)",
                 f"(to_char({date}, 'MMDD') = to_char({day}, 'MMDD')"
                 f" or (to_char({date}, 'MMDD') = '0229'"
                 f" and to_char({day}, 'MMDD') = '0228'"
                 f" and to_char({day} + 1, 'DD') = '01'))"))

    def whole_condition(self):
        """What needs all of a window, though nothing of it is constant."""
        a, v = self.call("count", windowed=True), self.value()
        n = self.attribute("n").sql
        least = self.random.randrange(0, 25)
        return self.pick(
            lambda: self.compare(a, self.attribute("n")),
            lambda: Pair(f"{a.text} - {least} > contact.n",
                         f"({a.sql} - {least} > {n})"),
            lambda: Pair(f"{a.text} % 2 = 1", f"({a.sql} % 2 = 1)"),
            lambda: self.compare(v, self.attribute("n")),
            lambda: self.compare(v, self.constant(10 * least)),
            lambda: Pair(f"{v.text} - {10 * least} < contact.n",
                         f"({v.sql} - {10 * least} < {n})"),
            lambda: self.compare(self.call("first_at", windowed=True),
                                 self.attribute("t")),
        )()

    def member(self):
        name = self.random.choice([*self.lists, *self.static])
        return Pair(f"in_list('{name}')", self.member_sql(name))

    def member_sql(self, name):
        if name in self.static:
            return by_hand(name, "(c.contact_id in"
                           f" (select contact_id from oracle.{name}))")
        pair = self.lists[name]
        if pair.raises == "false":
            return by_hand(name, pair.sql)
        return by_hand(name, f"case when {pair.raises} then exists (select"
                       f" from mautomate.list_members m where m.list = '{name}'"
                       " and m.contact_id = c.contact_id)"
                       f" else {pair.sql} end")

    def scored(self):
        points = self.pick(10, 20, 25)
        return self.pick(
            Pair(f"score('s') >= {points}",
                 f"({self.score_sql()} >= {points})"),
            Pair("tier('s') = 'warm'",
                 f"(case when {self.score_sql()} >= 20 then 'hot'"
                 f" when {self.score_sql()} >= 10 then 'warm' end = 'warm')")
        )

    def condition(self, depth):
        if depth > 0 and self.chance(0.4):
            a, b = self.condition(depth - 1), self.condition(depth - 1)
            word = self.pick("and", "or", "and not")
            raises = "false"
            if (a.raises, b.raises) != ("false", "false"):
                # the second is only looked at where the first leaves it open
                settled = "true" if word == "or" else "false"
                raises = (f"({a.raises} or {a.sql} is not {settled}"
                          f" and {b.raises})")
            return Pair(f"({a.text}) {word} ({b.text})",
                        f"({a.sql} {word} {b.sql})", False, raises)
        choices = [self.count_condition] * 4 + [self.value_condition] * 3 + \
            [self.time_condition] * 3 + [self.mixed_condition] * 2 + \
            [self.member] + [self.raising] * self.raisers
        if self.score:
            choices.append(self.scored)
        if self.dense:
            choices += [self.whole_condition] * 8
        return self.random.choice(choices)()

    # --- definitions

    def score_sql(self):
        terms = [f"{points}::float8 * {sql}"
                 for _, points, _, _, sql in self.score]
        return f"least(greatest({' + '.join(terms)}, -50), 50)"

    def add_score(self):
        score = []
        for i in range(self.random.randrange(1, 4)):
            points = self.pick(5, 10, -4, 2.5)
            if self.chance(0.5):
                kind = self.pick(*KINDS)
                chosen = self.filter() if self.chance(0.5) else None
                sql = ("(select count(*) from mautomate.event e where"
                       f" e.contact_id = c.contact_id and e.kind = '{kind}'"
                       + (f" and {chosen.sql}" if chosen else "") + ")")
                score.append((f"r{i}", points, kind,
                              chosen and chosen.text, sql))
            else:
                rule = self.condition(1)
                while rule.raises != "false":
                    rule = self.condition(1)
                score.append((f"r{i}", points, None, rule.text,
                              f"coalesce(({rule.sql})::int, 0)"))
        self.score = score

    def is_used(self, name):
        """Does a list or the score stand on it?"""
        return any(f"'{name}'" in text for text in
                   [pair.text for pair in self.lists.values()]
                   + [str(rule[3]) for rule in self.score])

    def change_list(self):
        """Another predicate for a list that none stands on; its name."""
        free = [name for name in self.lists if not self.is_used(name)]
        if not free:
            return None, None
        name = self.random.choice(free)
        pair = self.lists.pop(name)
        fresh = self.condition(2)
        self.lists[name] = pair
        return name, fresh

    def add_lists(self, first, n):
        for i in range(first, first + n):
            self.lists[f"l{i}"] = self.condition(2)


def by_hand(name, sql):
    """What was decided by hand beats the predicate."""
    return ("coalesce((select o.entered from oracle.decided o"
            f" where o.list = '{name}' and o.contact_id = c.contact_id"
            f" and o.until > {{now}}), {sql}, false)")


def quote(text):
    return "null" if text is None else "'" + text.replace("'", "''") + "'"


def score_calls(score):
    """What to call to create the score."""
    if not score:
        return []
    calls = ["mautomate.create_score('s', -50, 50)",
             "mautomate.create_score_tier('s', 'warm', 10)",
             "mautomate.create_score_tier('s', 'hot', 20)"]
    for name, points, kind, condition, _ in score:
        calls.append(f"mautomate.create_score_rule('s', '{name}', {points},"
                     f" {quote(kind)}, {quote(condition)})")
    return calls
