# Days and months are counted on the calendar of mautomate.timezone: the day
# on which summer time begins has 23 hours, the one on which it ends 25, hours
# are hours, whatever the session's zone is.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', qq{
shared_preload_libraries = 'mautomate'
mautomate.timezone = 'Europe/Berlin'
timezone = 'Asia/Kolkata'
mautomate.window_entries = 2
});
$node->start;

sub value { return $node->safe_psql('postgres', $_[0]); }

# The lists that ann is in at an instant, after the timers ran.
sub lists_at
{
	my ($at) = @_;
	value("select mautomate.set_clock('$at')");
	value('select from mautomate.run()');
	is(value('select * from mautomate.verify()'), '', "nothing differs from the log at $at");
	return value(q{select string_agg(list, ' ' order by list) from mautomate.list_members
		where external_id = 'ann'});
}

value(q{
	create extension mautomate;
	select mautomate.set_clock('2030-03-30 11:00+00');
	select mautomate.define_attribute('renewal', 'timestamptz'), mautomate.define_attribute('day', 'date');
	select mautomate.identify('ann', attributes => '{"renewal": "2030-03-31 02:30", "day": "2030-03-31"}');
	select mautomate.track('ann', 'buy');
	select mautomate.create_list(name, predicate) from (values
	  ('a_day', 'ever(''buy'', within => ''1 day'')'),
	  ('a_hours', 'ever(''buy'', within => ''24 hours'')'),
	  ('b_day', 'elapsed(''buy'') > ''1 day'''),
	  ('b_hours', 'elapsed(''buy'') > ''24 hours'''),
	  ('c_now', 'contact.day <= now()'),
	  ('c_minus', 'now() >= contact.day + ''1 day'''),
	  ('d_gap', 'remaining(contact.renewal) < ''-1 hour''')) l (name, predicate);
});

# summer time begins on 31 March at 01:00 UTC
is(lists_at('2030-03-30 22:59:59.999999+00'), 'a_day a_hours', 'before the day begins in Berlin');
is(lists_at('2030-03-30 23:00+00'), 'a_day a_hours c_now', 'the day begins');
is(lists_at('2030-03-31 02:30+00'), 'a_day a_hours c_now', '02:30 does not exist: it is 03:30');
is(lists_at('2030-03-31 02:30:00.000001+00'), 'a_day a_hours c_now d_gap', 'an hour after it');
is(lists_at('2030-03-31 09:59:59.999999+00'), 'a_day a_hours c_now d_gap', 'a day of 23 hours');
is(lists_at('2030-03-31 10:00+00'), 'a_hours c_now d_gap', 'is over');
is(lists_at('2030-03-31 10:00:00.000001+00'), 'a_hours b_day c_now d_gap', 'and more than that');
is(lists_at('2030-03-31 10:59:59.999999+00'), 'a_hours b_day c_now d_gap', '24 hours');
is(lists_at('2030-03-31 11:00:00.000001+00'), 'b_day b_hours c_now d_gap', 'are over');
is(lists_at('2030-03-31 22:00+00'), 'b_day b_hours c_minus c_now d_gap', 'the next day begins');

# it ends on 27 October at 01:00 UTC
value(q{select mautomate.set_clock('2030-10-26 10:00+00')});
value(q{select mautomate.track('ann', 'buy')});
like(lists_at('2030-10-27 09:59:59.999999+00'), qr/^a_day a_hours /, 'not yet 24 hours');
like(lists_at('2030-10-27 10:00+00'), qr/^a_day c/, '24 hours are less than that day');
like(lists_at('2030-10-27 10:59:59.999999+00'), qr/^a_day b_hours /, 'a day of 25 hours');
like(lists_at('2030-10-27 11:00:00.000001+00'), qr/^b_day b_hours /, 'is over');

# a fixed period is days of Berlin too
value(q{
	select mautomate.create_list('e_period', 'count(''call'', since => ''2030-03-31'', until => ''2030-03-31'') = 2');
	select mautomate.track('ann', 'call', occurred_at => at) from unnest(array[
	  '2030-03-30 22:59:59.999999+00', '2030-03-30 23:00+00',
	  '2030-03-31 21:59:59.999999+00', '2030-03-31 22:00+00']::timestamptz[]) at;
});
like(lists_at('2030-11-01 00:00+00'), qr/e_period/, 'the 23 hours of 31 March');

# many events over the days on which summer time begins and ends, most of them
# in sums: each that leaves changes whether the others are odd in number
value(q{select mautomate.create_list('odd_' || span, format('count(''hum'', within => %L) %% 2 = 1',
	  '1 ' || span)) from unnest(array['day', 'month']) span});
for my $day ('2032-02-28', '2032-10-31', '2033-03-27')
{
	value("select mautomate.set_clock('$day')");
	value(qq{insert into mautomate.event (contact_id, kind, occurred_at)
		select contact_id, 'hum', at from mautomate.contact, generate_series(timestamptz '$day' - interval '2 days',
		  timestamptz '$day' + interval '2 days', interval '13 minutes') at});
	for my $step (1 .. 24)
	{
		value(qq{select mautomate.set_clock('$day'::timestamptz + $step * interval '37 hours');
			select from mautomate.run()});
	}
	is(value('select * from mautomate.verify()'), '', "nothing differs from the log after $day");
	is(value(qq{
		set timezone = 'Europe/Berlin';
		select l.name, changed_at from mautomate_internal.list_change c
		  join mautomate_internal.list l using (list_id)
		where l.name like 'odd%' and changed_at > '$day Asia/Kolkata'
		except all
		select 'odd_' || span, occurred_at + ('1 ' || span)::interval
		from mautomate.event, unnest(array['day', 'month']) span where kind = 'hum'
		group by 1, 2 having count(*) % 2 = 1}), '', 'nobody came or went at another instant');
	is(value(qq{
		set timezone = 'Europe/Berlin';
		select 'odd_' || span, occurred_at + ('1 ' || span)::interval
		from mautomate.event, unnest(array['day', 'month']) span where kind = 'hum'
		group by 1, 2 having count(*) % 2 = 1
		  and occurred_at + ('1 ' || span)::interval between '$day Asia/Kolkata' and mautomate.clock()
		except all
		select l.name, changed_at from mautomate_internal.list_change c
		  join mautomate_internal.list l using (list_id)
		where l.name like 'odd%'}), '', 'and everybody at each');
}

$node->stop;
done_testing();
