"""Two sessions at once: transactions of several statements, interleaved, with
savepoints, at any isolation level, some rolled back; and definitions that
come, change and go meanwhile. What each waits for is PostgreSQL's business;
what may fail is a deadlock, a serialization failure, or a definition that
somebody else took away. Whatever came of it, lists and log have to agree."""
import queue
import re
import threading

import definition
import history
import psql

MAY_FAIL = re.compile("deadlock detected|could not serialize"
                      "|list \"\\w+\" (does not exist|is used)"
                      "|was dropped meanwhile"
                      "|current transaction is aborted")
BEGIN = ("begin", "begin", "begin", "begin isolation level repeatable read",
         "begin isolation level serializable")


class Player:
    """Plays the statements of one session, in their order, until one
    fails."""

    def __init__(self, session):
        self.failed = None
        self._session = session
        self._texts = queue.Queue()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self):
        while (text := self._texts.get()) is not None:
            if self.failed is None:
                try:
                    self._session.run(text)
                except psql.Failed as error:
                    self.failed = str(error)
            self._done.set()

    def add(self, text, seconds):
        """One more statement; waits so long for it, or goes on without."""
        self._done.clear()
        self._texts.put(text)
        self._done.wait(seconds)

    def end(self):
        self._texts.put(None)
        self._thread.join()


def play(sessions, texts):
    """Plays (session, text) pairs; returns which sessions have survived."""
    players = [Player(session) for session in sessions]
    for number, text in texts:
        players[number].add(text, 0.02)
    for player in players:
        player.end()
    for player in players:
        if player.failed and not MAY_FAIL.search(player.failed):
            raise psql.Failed(player.failed)
    return [player.failed is None for player in players]


class Weaver:
    """Makes what the two sessions do."""

    def __init__(self, random, story, maker):
        self.random = random
        self.story = story
        self.maker = maker

    def write(self, now):
        """A statement that writes."""
        story = self.story
        return self.random.choice((
            lambda: history.insertion(story.insert(now, 4)),
            lambda: history.insertion(story.insert(now, 4)),
            lambda: history.insertion(story.insert(now, 4)),
            lambda: story.track(now),
            lambda: story.update(now),
            lambda: f"delete from mautomate.event where {story.some()}",
            lambda: story.attributes(now),
            lambda: story.contact(now),
            lambda: story.shop(now)))()

    def transaction(self, now):
        """A transaction that writes, statement by statement."""
        texts = [self.random.choice(BEGIN)]
        open_ = 0
        for _ in range(self.random.randrange(1, 4)):
            if self.random.random() < 0.25:
                texts.append("savepoint s")
                open_ += 1
            texts.append(self.write(now))
            if open_ and self.random.random() < 0.6:
                texts.append(self.random.choice(
                    ("rollback to s", "rollback to s", "release s")))
                open_ -= texts[-1].startswith("release")
        texts.append(self.random.choice(("commit", "commit", "rollback")))
        return texts

    def most(self, now):
        """One statement about very many."""
        some = (f"contact_id % {self.random.choice((1, 2, 3))} = 0")
        order = self.random.choice(("", " order by contact_id",
                                    " order by contact_id desc"))
        at = history.stamp(self.story.moment(now))
        kind = self.random.choice(definition.KINDS)
        return self.random.choice((
            "insert into mautomate.event (contact_id, kind, occurred_at,"
            f" properties) select contact_id, '{kind}', timestamptz '{at}'"
            " + contact_id * interval '1 hour', jsonb_build_object("
            "'amount', contact_id % 5, 'tag', 'u') from mautomate.contact"
            f" where merged_into is null and {some}{order}",
            "insert into shop (who, amount, tag, at, paid) select external_id,"
            f" contact_id % 7, 'uv', '{at}', contact_id % 5 > 0"
            f" from mautomate.contact where external_id is not null and {some}"
            f"{order}",
            "insert into person select external_id, contact_id % 4, 'x'"
            f" from mautomate.contact where external_id is not null and {some}"
            f"{order} on conflict (id) do update set n = excluded.n",
            "update mautomate.event set occurred_at = occurred_at"
            f" - interval '90 minutes' where {some}",
            "update mautomate.event set properties = properties ||"
            f" '{{\"amount\": 0}}' where kind = '{kind}' and {some}",
            f"update mautomate.event set kind = '{kind}' where {some}"
            " and kind in ('a', 'b')",
            f"delete from mautomate.event where kind = '{kind}' and {some}",
            f"update mautomate.contact set attributes = attributes ||"
            f" '{{\"n\": {self.random.choice((0, 2, 3))}}}' where {some}"))

    def bulk(self, now):
        """Large statements in both sessions."""
        texts = [(number, self.most(now)) for number in (0, 1)
                 for _ in range(self.random.randrange(1, 3))]
        self.random.shuffle(texts)
        return texts

    def define(self, pairs):
        """A change of definitions; what it may define goes into pairs."""
        wait = self.random.choice(("true", "false", "false"))
        name, pair = self.maker.change_list()
        shape = self.random.random()
        extra = f"l{20 + self.random.randrange(4)}"
        if (name is None or shape < 0.4) and not self.maker.is_used(extra):
            name = extra
            before = self.maker.lists.pop(name, None)
            pair = self.maker.condition(2)
            if before is not None:
                self.maker.lists[name] = before
        elif name is None:
            return "select count(*) from mautomate.run()"
        elif shape < 0.6:
            return f"select mautomate.drop_list('{name}')"
        pairs[pair.text] = pair
        return (f"select mautomate.create_list('{name}',"
                f" {definition.quote(pair.text)}, wait => {wait})")

    def other(self, now, pairs):
        """What the other session does."""
        shape = self.random.random()
        if shape < 0.4:
            return self.transaction(now)
        run = "select count(*) from mautomate.run()"
        if shape < 0.5:
            return [run] * 2
        if shape < 0.55:
            return ["select * from mautomate.verify(repair => true)"
                    " where object like 'none'"]
        text = self.define(pairs)
        if self.random.random() < 0.3:
            return ["begin", text, self.write(now),
                    self.random.choice(("commit", "rollback")), run]
        return [text, run, run]

    def step(self, now):
        """What both do, shuffled."""
        pairs = {}
        both = [self.transaction(now), self.other(now, pairs)]
        texts = []
        while both[0] or both[1]:
            number = self.random.randrange(2) if both[0] and both[1] else \
                (0 if both[0] else 1)
            texts.append((number, both[number].pop(0)))
        if self.random.random() < 0.4:
            number = self.random.randrange(2)
            texts = [(number, "set mautomate.refresh = deferred"), *texts,
                     (number, "reset mautomate.refresh")]
        return ("weave", texts, pairs)
