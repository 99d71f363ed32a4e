# mautomate.timezone is set anew: what was folded under another zone is folded
# again, silently, and nothing of it is left.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q[
	shared_preload_libraries = 'mautomate'
	timezone = 'UTC'
	mautomate.timezone = 'UTC']);
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

sub members
{
	return value(q[select string_agg(list || ' ' || external_id, ', '
		order by list, external_id) from mautomate.list_members]);
}

sub set_zone
{
	my $zone = shift;

	$node->append_conf('postgresql.conf', "mautomate.timezone = '$zone'");
	return;
}

my $known = q[select zone_done and timezone = current_setting('mautomate.timezone')
	from mautomate_internal.generation];

# 2030-03-31 is 23 hours long in London
value(q[create extension mautomate;
	select mautomate.arm();
	select mautomate.set_clock('2030-04-01 11:30+00');
	select mautomate.identify(who) from unnest(array['ann', 'bob']) who;
	insert into mautomate.event (contact_id, kind, occurred_at, properties)
	select contact_id, 'buy', at, '{"amount": 5, "shop": "x"}'
	from mautomate.contact,
		unnest(array['2030-03-31 11:00+00', '2030-03-30 12:00+00',
			'2029-12-31 23:30+00']::timestamptz[]) at
	where external_id = 'ann';
	select mautomate.create_list(name, expression)
	from (values ('count', $$count('buy', within => '2 days') > 0$$),
		('other', $$count_distinct('buy', 'shop', within => '1 day') > 0$$),
		('sum', $$sum('buy', 'amount', within => '2 days') > 5$$),
		('year', $$count('buy', since => '2030-01-01')
			filter (where event.amount = 5) = 3$$))
		as v (name, expression);
	select * from mautomate.run()]);
is(members(), 'count ann, sum ann', 'as UTC has it');
is(value($known), 't', 'states are folded under UTC');
is(value(q[select * from mautomate.verify()]), '', 'and right');

# far in the east the year begins earlier; the clocks do not change
set_zone('Pacific/Kiritimati');
$node->restart;
is(value($known), 'f', 'the zone is another one');
value(q[select mautomate.track('ann', 'look')]);
value(q[select * from mautomate.run()]);
is(members(), 'count ann, sum ann, year ann', 'as Kiritimati has it');
is(value($known), 't', 'states are folded under it');
is(value(q[select * from mautomate.verify()]), '', 'and right');
is(value(q[select done from mautomate.run() where pass = 'sweep']), 0,
	'once is enough');

# a window over the hour that is not there is shorter; an event comes first
set_zone('Europe/London');
$node->restart;
value(q[select mautomate.track('ann', 'buy', '{"amount": 1}',
	'2030-03-30 11:45+00')]);
value(q[select * from mautomate.run()]);
is(value(q[select * from mautomate.verify()]), '', 'right in London');
is(members(), 'count ann',
	'where the year begins as in UTC, and the clocks go forward');
is(value(q[select count(*) from mautomate.event
	where kind in ('list_entered', 'list_left')
	and properties->>'list' = 'year']), 0, 'and nothing of it was news');

# while everything runs: the scheduler finds it
value('select mautomate.start()');
set_zone('Pacific/Kiritimati');
$node->reload;
ok($node->poll_query_until('postgres', $known),
	'the scheduler folds them when the setting is read again');
is(value(q[select * from mautomate.verify()]), '', 'right again');
like(members(), qr/year/, 'and the year has begun');
$node->stop;
done_testing();
