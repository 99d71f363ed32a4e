"""One trial: definitions and a history, compared with the oracle after each
step and at the instants at which time alone may change something."""
import datetime
import random
import threading

import definition
import history
import psql
import weave

MICROSECOND = datetime.timedelta(microseconds=1)
# Some change to summer time at midnight, which then is not, or is twice.
ZONES = ("Europe/London", "Europe/London", "America/New_York", "UTC",
         "Australia/Lord_Howe", "Pacific/Apia", "America/Havana",
         "Africa/Cairo")


# What was decided by hand, as mautomate has it.
OVERRIDES = ("select list, contact_id, entered, coalesce(until, 'infinity')"
             " from mautomate.list_overrides")


class Wrong(Exception):
    """The engine and the oracle disagree."""


class Trial:
    """Definitions and the steps taken so far; played in a fresh database."""

    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)
        self.zone = self.random.choice(ZONES)
        self.on_update = self.random.choice(("ignore", "replace", "append"))
        self.deferring = self.random.random() < 0.5
        # so many more contacts that a statement takes them in several chunks
        self.crowd = self.random.choice((0,) * 9 + (600,))
        self.everybody = False  # is the crowd to be compared too?
        # from so many events on, a window is kept in sums
        self.entries = self.random.choice((2, 2, 3, 5, 9, 128))
        self.dense = self.random.random() < 0.4
        self.maker = definition.Maker(self.random, self.dense)
        self.maker.add_lists(0, 8)
        self.maker.add_score()
        self.maker.add_lists(8, 4)
        self.story = history.Story(self.random, self.maker.windows,
                                   self.dense)
        self.weaver = weave.Weaver(self.random, self.story, self.maker)
        self.lists = list(self.maker.lists)
        self.pairs = {}     # by text: what a list may come to say
        self.steps = []
        self.instants = 0
        self.compared = 0

    # --- the stage

    def open(self, stage):
        self.stage = stage
        stage.zone(self.zone)
        self.database = stage.database()
        self.session = psql.Session(stage.server, self.database)
        self.other = psql.Session(stage.server, self.database)
        self.now = self.story.start
        people = history.CONTACTS + history.ANONYMOUS
        self.session.run(
            "create schema oracle;"
            "create table oracle.hand (contact_id bigint primary key);"
            "create table oracle.decided (list text, contact_id bigint,"
            " entered boolean, until timestamptz,"
            " primary key (list, contact_id));"
            f"select mautomate.set_clock('{history.stamp(self.now)}');"
            "select mautomate.arm();"
            + "".join(f"select mautomate.define_attribute('{name}', '{type}');"
                      for name, type in (("n", "numeric"), ("s", "text"),
                                         ("t", "timestamptz"), ("d", "date"),
                                         ("b", "boolean")))
            + "".join(f"select mautomate.define_event('{kind}',"
                      " '{\"amount\": \"numeric\", \"tag\": \"text\"}');"
                      for kind in definition.KINDS)
            + "".join(f"select mautomate.identify('{who}');"
                      for who in people)
            + "insert into mautomate.contact (external_id, attributes)"
            " select 'c' || n, jsonb_build_object('n', n % 3)"
            f" from generate_series(1, {self.crowd}) n;"
            + "select mautomate.create_static_list('hand');"
            "create table shop (no serial primary key, who text,"
            " amount numeric, tag text, at timestamptz, paid boolean,"
            " void boolean not null default false);"
            "create table person (id text primary key, n numeric, s text);"
            "select mautomate.attach_events('shop', 'a', contact => 'who',"
            " occurred_at => 'at', properties => 'amount, tag',"
            " condition => 'paid', void_when => 'void',"
            f" on_update => '{self.on_update}');"
            "select mautomate.attach_contacts('person', 'id',"
            " attributes => 'n, s');")
        for session in (self.session, self.other):
            self.settle(session)

    def settle(self, session):
        session.run(f"set timezone = '{self.zone}'; set jit = off;"
                    f"set mautomate.window_entries = {self.entries};"
                    "set deadlock_timeout = '30ms'")

    def close(self):
        self.session.end()
        self.other.end()
        self.stage.drop(self.database)

    def define(self, names):
        """Creates the lists (and the score between the first eight and the
        last four, which may use it)."""
        score = definition.score_calls(self.maker.score)
        for name, pair in self.maker.lists.items():
            if int(name[1:]) >= 8 and score:
                self.session.run(";".join(f"select {call}" for call in score))
                score = []
            if name in names:
                self.session.run(f"select mautomate.create_list('{name}',"
                                 f" {definition.quote(pair.text)})")

    # --- comparing

    def lists_sql(self):
        return [(name, self.maker.member_sql(name))
                for name in ["hand", *self.lists]]

    def compared_sql(self):
        """Whom to compare: where sessions defer, or so many errors come that
        the rest is left to the sweep, those who are not behind."""
        whom = "c.merged_into is null"
        if not self.everybody:
            whom += " and c.external_id not like 'c%'"
        if self.deferring or self.maker.raisers:
            whom += (" and c.contact_id not in (select contact_id"
                     " from mautomate_internal.deferred_contacts() union all"
                     " select contact_id from mautomate_internal.dirty)")
        return whom

    def wrong_sql(self):
        """Every membership and score that is not as the oracle says."""
        now = f"timestamptz '{history.stamp(self.now)}'"
        lists = " union all ".join(
            f"select '{name}' as list, c.contact_id, c.external_id,"
            f" {sql} as expected"
            f" from mautomate.contact c where {self.compared_sql()}"
            for name, sql in self.lists_sql()).replace("{now}", now)
        score = self.maker.score_sql().replace("{now}", now)
        return (f"select 'list ' || list, external_id, 'should be', expected::text"
                f" from ({lists}) x where expected <> exists"
                " (select from mautomate.list_members m"
                " where m.list = x.list and m.contact_id = x.contact_id)"
                " union all"
                " select 'score', external_id, 'should be', expected::text"
                " from (select c.contact_id, c.external_id,"
                f" {score} as expected from mautomate.contact c"
                f" where {self.compared_sql()}) x"
                " where abs(expected - coalesce((select value from"
                " mautomate.scores s where s.contact_id = x.contact_id"
                " and s.score = 's'), 0)) > 1e-9"
                " union all"
                " select 'decided', contact_id::text, list, null from ("
                f"(select * from oracle.decided where until > {now} except"
                f" {OVERRIDES}) union all ({OVERRIDES} except"
                f" select * from oracle.decided where until > {now})) x")

    def explain_sql(self):
        """Single conditions that explain_list() sees otherwise."""
        now = f"timestamptz '{history.stamp(self.now)}'"
        parts = [f"select '{name}' as list, c.external_id, {sql} as expected"
                 " from mautomate.contact c where c.merged_into is null"
                 " and c.external_id not like 'c%'"
                 f" and not ({self.raises(name)})"
                 f" and not exists (select from mautomate.list_overrides o"
                 f" where o.list = '{name}' and o.contact_id = c.contact_id)"
                 for name, sql in self.lists_sql()
                 if name != "hand" and self.maker.lists[name].single]
        if not parts:
            return "select where false"
        return ("select 'explain ' || x.list, x.external_id, 'should be',"
                f" expected from ({' union all '.join(parts)}) x, "
                " mautomate.explain_list(x.list, x.external_id) n"
                " where coalesce(n.holds, false) <> expected"
                ).replace("{now}", now)

    def raises(self, name):
        """When the predicate of a list fails, as SQL."""
        pair = self.maker.lists.get(name)
        return pair.raises if pair else "false"

    def failing(self):
        """Memberships of those about whom a predicate fails just now."""
        parts = [f"select '{name}', c.contact_id, exists (select"
                 " from mautomate.list_members m where m.contact_id ="
                 f" c.contact_id and m.list = '{name}') from mautomate.contact c"
                 " where c.merged_into is null and c.external_id not like 'c%'"
                 f" and {self.raises(name)}"
                 for name in self.lists if self.raises(name) != "false"]
        now = f"timestamptz '{history.stamp(self.now)}'"
        return {tuple(row[:2]): row[2] for row in self.session.run(
            " union all ".join(parts).replace("{now}", now))} if parts else {}

    def log_sql(self):
        """When something may change, as the log says."""
        spans = ", ".join(f"(interval '{span}')"
                          for span in sorted(self.maker.spans))
        return self.later(
            "select e.occurred_at + span"
            f" from mautomate.event e, (values {spans}) s (span)"
            + "".join(" union select"
                      f" (c.attributes->>'{name}')::timestamptz + sign * span"
                      f" from mautomate.contact c, (values {spans}) s (span),"
                      " (values (-1), (1)) g (sign)" for name in "td")
            + " union select until from mautomate.list_overrides"
            " union select ((d + make_interval(years => extract(year from"
            f" timestamptz '{history.stamp(self.now)}' - d::timestamptz)::int"
            " / 1 + y))::date + n)::timestamp at time zone coalesce(c.timezone,"
            " current_setting('timezone')) from mautomate.contact c,"
            " lateral (select (c.attributes->>'d')::date) v (d),"
            " generate_series(-1, 2) y, generate_series(0, 1) n")

    def until_sql(self):
        """When something will change, as explain_list() says."""
        return self.later(" union ".join(
            "select n.until from mautomate.contact c,"
            f" mautomate.explain_list('{name}', c.external_id) n"
            " where c.merged_into is null and c.external_id not like 'c%'"
            for name in self.lists))

    def later(self, query):
        return (f"select extract(epoch from t)::text from ({query}) x (t)"
                f" where t > '{history.stamp(self.now)}' and isfinite(t)"
                " order by t limit 30")

    def check(self, explain=False, verify=False):
        script = self.wrong_sql()
        if explain:
            script += ";\n" + self.explain_sql()
        if verify:
            script += (";\nselect 'verify', object, external_id, stored,"
                       " expected from mautomate.verify()"
                       " where coalesce(expected, '')"
                       f" !~ '{definition.ERRORS}';"
                       "select 'error', object, message"
                       " from mautomate.errors"
                       f" where message !~ '{definition.ERRORS}'")
        self.compared += len(self.lists) * len(history.CONTACTS)
        rows = self.session.run(script)
        if rows:
            raise Wrong("\n".join(" ".join(row) for row in rows))

    # --- steps

    def take(self, step):
        """Takes a step and compares."""
        self.steps.append(step)
        verb = getattr(self, "take_" + step[0])
        verb(*step[1:])

    def take_refresh(self, session, mode):
        """A session defers from here on, or does no more."""
        getattr(self, session).run(f"set mautomate.refresh = {mode}")

    def take_run(self):
        self.session.run("select count(*) from mautomate.run(100000)")
        self.check(explain=True, verify=True)

    def take_sql(self, text):
        self.session.run(text)
        self.check(explain=len(text) % 5 == 0)

    def take_insert(self, rows):
        if not rows:
            return
        before = self.failing()
        self.take_sql(history.insertion(rows))
        if not self.deferring:
            for key, member in self.failing().items():
                if before.get(key, member) != member:
                    raise Wrong(f"{key} failed and fails, and has changed")

    def take_hand(self, verb, name, who, until):
        """Puts somebody into a list, or takes them out, for good or until
        then; or clears that."""
        contact = (f"(select contact_id from mautomate.contact where"
                   f" external_id = '{who}' and merged_into is null)")
        self.session.run(
            f"delete from oracle.decided where list = '{name}'"
            f" and contact_id = {contact}")
        if verb == "clear":
            self.session.run(f"select mautomate.clear_override('{name}',"
                             f" '{who}')")
        elif name != "hand" or until:
            self.session.run(
                f"insert into oracle.decided select '{name}', {contact},"
                f" {verb == 'add'}, '{until or 'infinity'}'")
        else:
            self.session.run(f"delete from oracle.hand where contact_id ="
                             f" {contact}" if verb == "remove" else
                             f"insert into oracle.hand select {contact}"
                             " on conflict do nothing")
        if verb != "clear":
            function = "add_to_list" if verb == "add" else "remove_from_list"
            self.session.run(f"select mautomate.{function}('{name}', '{who}',"
                             f" {definition.quote(until)})")
        self.check()

    def take_clear(self, name):
        """Clears for everybody what was decided about a list."""
        self.session.run(f"delete from oracle.decided where list = '{name}';"
                         f"select mautomate.clear_override('{name}')")
        self.check()

    def merge(self, anonymous, who):
        """A merge; what was decided about both is the survivor's."""
        loser, survivor = (f"(select contact_id from mautomate.contact"
                           f" where external_id = '{name}')"
                           for name in (anonymous, who))
        return (f"insert into oracle.hand select {survivor} from oracle.hand"
                f" where contact_id = {loser} on conflict do nothing;"
                f"delete from oracle.hand where contact_id = {loser};"
                f"delete from oracle.decided where contact_id = {survivor}"
                f" and until <= '{history.stamp(self.now)}';"
                f"insert into oracle.decided select list, {survivor}, entered,"
                f" until from oracle.decided where contact_id = {loser}"
                f" and until > '{history.stamp(self.now)}'"
                " on conflict do nothing;"
                f"delete from oracle.decided where contact_id = {loser};"
                f"select mautomate.alias('{anonymous}', '{who}')")

    def take_alias(self, anonymous, who):
        self.session.run(self.merge(anonymous, who))
        self.check(verify=True)

    def take_rule(self, name, pair):
        """Another predicate for a list: whatever was folded for the old
        one has to serve or to go."""
        if name not in self.lists:
            return
        self.maker.lists[name] = pair
        self.session.run(f"select mautomate.create_list('{name}',"
                         f" {definition.quote(pair.text)})")
        self.check()

    def take_merge(self, anonymous, who, rows, end):
        """A merge, while another session writes for the one that goes."""
        self.at_once(self.merge(anonymous, who), history.insertion(rows), end)

    def take_weave(self, texts, pairs):
        """Two sessions with transactions of their own."""
        self.pairs.update(pairs)
        self.everybody = any("contact_id %" in text for _, text in texts)
        alive = weave.play((self.session, self.other), texts)
        if not alive[0]:
            self.session = self.again()
        if not alive[1]:
            self.other = self.again()
        deferred = any("deferred" in text for _, text in texts)
        if any("drop_list" in text for _, text in texts):
            self.forget()
        for _ in range(10):
            self.learn()
            behind = self.session.number(
                "select count(*) from mautomate.lists where state <> 'ready'")
            if deferred:
                behind += self.session.number(
                    "select (select count(*) from mautomate_internal.deferred)"
                    " + (select count(*) from mautomate_internal.dirty)")
            if not deferred or behind == 0:
                self.check()
            if behind == 0:
                self.everybody = False
                return
            self.session.run("select count(*) from mautomate.run(100000)")
        raise Wrong("run() does not come to an end")

    def again(self):
        session = psql.Session(self.stage.server, self.database)
        self.settle(session)
        return session

    def learn(self):
        """Which lists there are, and what they say."""
        self.pairs.update((pair.text, pair)
                          for pair in self.maker.lists.values())
        self.lists = []
        self.maker.lists = {}
        for name, text, state in self.session.run(
                "select name, predicate, state from mautomate.lists"
                " where predicate is not null order by length(name), name"):
            self.maker.lists[name] = self.pairs[text]
            if state == "ready":
                self.lists.append(name)

    def forget(self):
        """What was decided about lists that are gone, or has ended."""
        self.session.run("delete from oracle.decided d where not exists"
                         f" (select from ({OVERRIDES}) o where o.list = d.list"
                         " and o.contact_id = d.contact_id)")

    def take_two(self, first, second, end):
        """Two sessions write to the same contact; the second waits."""
        self.at_once(history.insertion(first), history.insertion(second), end)

    def at_once(self, first, second, end):
        errors = []

        def write():
            try:
                self.other.run(second)
            except psql.Failed as error:
                errors.append(error)

        self.session.run("begin; " + first)
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(self.random.choice((0, 0.01)))
        self.session.run(end)
        writer.join()
        if errors:
            raise errors[0]
        self.check()

    def take_clock(self, at, run):
        """The clock moves; explain_list() is exact before the timers ran."""
        back = datetime.datetime.fromisoformat(at) < self.now
        if back:
            self.forget()
        self.now = datetime.datetime.fromisoformat(at)
        self.instants += 1
        self.session.run(f"select mautomate.set_clock('{at}')")
        if run == "explain":
            rows = self.session.run(self.explain_sql())
            if rows:
                raise Wrong("before the timers ran\n"
                            + "\n".join(" ".join(row) for row in rows))
        self.session.run("select count(*) from mautomate.run(100000)")
        self.check(verify=run == "explain")

    # --- the whole

    def sweep(self, most):
        """Time passes: to where something changes, a microsecond before and
        one after it."""
        for _ in range(most):
            query = self.random.choice((self.until_sql, self.log_sql))()
            moments = [moment(seconds)
                       for seconds, in self.session.run(query)]
            if not moments:
                continue
            at = self.random.choice(moments[:self.random.choice((1, 3, 30))])
            for near in (at - MICROSECOND, at, at + MICROSECOND):
                if near > self.now:
                    self.take(("clock", history.stamp(near),
                               self.random.choice(("explain", "run", "run"))))

    def next_step(self):
        if self.deferring and self.random.random() < 0.2:
            return self.random.choice((
                ("run",), ("refresh", self.random.choice(("session", "other")),
                           self.random.choice(("deferred", "deferred",
                                               "immediate")))))
        if self.random.random() < 0.04:
            name, pair = self.maker.change_list()
            if name:
                return ("rule", name, pair)
        if self.random.random() < 0.25:
            return self.weaver.step(self.now)
        if self.random.random() < 0.04:
            return self.story.override(
                self.now, self.random.choice([*self.lists, "hand"]))
        if self.random.random() < (0.15 if self.crowd else 0.03):
            return ("weave", self.weaver.bulk(self.now), {})
        return self.story.step(self.now)

    def play(self, rounds, steps, instants):
        """The trial as its seed has it."""
        self.define(self.lists)
        for i in range(rounds):
            for _ in range(steps):
                self.take(self.next_step())
            self.sweep(instants)
            if self.random.random() < 0.4:
                back = self.random.choice(self.story.lengths)
                self.take(("clock", history.stamp(
                    self.now - back * self.random.random()), "explain"))
        self.end()

    def end(self):
        """Nobody is behind, and all is right."""
        self.session.run("reset mautomate.refresh;"
                         "select count(*) from mautomate.run();"
                         "select count(*) from mautomate.run(100000)")
        self.everybody = True
        self.check(explain=True, verify=True)
        behind = self.session.run(
            "select 'left over', n::text from mautomate_internal.deferred"
            " union all select 'marked', contact_id::text"
            " from mautomate_internal.dirty")
        if behind:
            raise Wrong("\n".join(" ".join(row) for row in behind))

    def replay(self, lists, steps):
        """The same with fewer lists and steps; what is wrong, or None."""
        again = Trial(self.seed)
        # others came later, by steps
        again.lists = [name for name in lists if name in again.maker.lists]
        again.open(self.stage)
        try:
            try:
                again.define(lists)
            except psql.Failed:
                return None     # a list needs one that is left out
            for step in steps:
                again.take(step)
            again.end()
        except (Wrong, psql.Failed) as error:
            return str(error)
        finally:
            again.close()
        return None


def moment(seconds):
    whole, _, part = seconds.partition(".")
    return datetime.datetime.fromtimestamp(int(whole), history.UTC) + \
        datetime.timedelta(microseconds=int((part + "000000")[:6]))
