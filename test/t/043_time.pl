# On time: ten thousand contacts whose window ends at one instant have left
# their list within a second of it, at that very instant.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'mautomate'
mautomate.databases = 'postgres'
track_commit_timestamp = on
max_prepared_transactions = 2
});
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# Events of a kind, at $before ago when seconds from now have passed; the
# instant is in table due.
sub events_due
{
	my ($seconds, $kind, $where, $end) = @_;
	value(qq[truncate due;
		insert into due select clock_timestamp() + interval '$seconds seconds';
		begin;
		insert into mautomate.event (contact_id, kind, occurred_at)
			select contact_id, '$kind', at - interval '1 hour'
			from mautomate.contact, due where $where;
		$end]);
}

# Waits for changes of lists at the instant or later.
sub changes
{
	my $n = shift;
	return $node->poll_query_until('postgres', qq[select count(*) = $n
		from mautomate_internal.list_change
		where changed_at >= (select at from due)]);
}

# How long after the instant the last of them was committed.
sub lag
{
	return value(q[select max(extract(epoch from
			pg_xact_commit_timestamp(xmin) - (select at from due)))
		from mautomate_internal.list_change
		where changed_at >= (select at from due)]);
}

value(q{
	create extension mautomate;
	select mautomate.arm();
	create table due (at timestamptz);
	select mautomate.create_list('recent', 'ever(''buy'', within => ''1 hour'')');
	select mautomate.create_list('after', 'elapsed(''sell'') > ''1 hour''');
	select mautomate.create_list('at', 'elapsed(''sell'') >= ''1 hour''');
	insert into mautomate.contact (external_id)
		select 'c' || n from generate_series(1, 10000) n;
});
ok($node->poll_query_until('postgres', q[select count(*) = 1
	from mautomate.stat_workers where kind = 'scheduler']),
	'the scheduler runs');

# a machine that is busy with other things gets three tries
my $lag;
for my $try (1 .. 3)
{
	events_due(4, 'buy', 'true', 'commit');
	ok(changes(10000), 'all leave the list');
	$lag = lag();
	note("the last commit came $lag s after the instant");
	last if $lag < 1;
}
cmp_ok($lag, '<', 1, 'within a second');
is(value(q[select count(*), count(distinct occurred_at), max(occurred_at)
	= (select at from due) from mautomate.event where kind = 'list_left'
	and occurred_at >= (select at from due)]),
	'10000|1|t', 'at that instant, and so their events say');
is(value('select * from mautomate.verify()'), '', 'verify()');

# before, at and after it
events_due(1, 'sell', 'contact_id <= 10', 'commit');
ok(changes(20), 'some enter lists');
is(value(q[select string_agg(distinct name || ' ' || entered || ' '
		|| (changed_at - (select at from due))::text, ', ')
	from mautomate_internal.list_change join mautomate_internal.list
		using (list_id) where changed_at >= (select at from due)]),
	'after true 00:00:00.000001, at true 00:00:00', 'at the very instants');

# one alone, while nothing else happens
events_due(1, 'buy', 'contact_id = 1', 'commit');
ok(changes(1), 'one contact');
note('its commit came ' . lag() . ' s after the instant');
cmp_ok(lag(), '<', 1, 'within a second, too');

# a transaction that was prepared, and is committed after its time
events_due(1, 'buy', 'contact_id = 2', q[prepare transaction 'late']);
ok($node->poll_query_until('postgres',
	q[select clock_timestamp() > (select at from due)]), 'its time comes');
my $committed = value(q[commit prepared 'late'; select clock_timestamp()]);
ok(changes(1), 'what was prepared leaves');
is(value(q[select changed_at = (select at from due)
	from mautomate_internal.list_change order by changed_at desc limit 1]),
	't', 'at the instant');
cmp_ok(value(qq[select extract(epoch from
		clock_timestamp() - '$committed')]),
	'<', 20, 'and nobody sleeps for long over it');
$node->stop;
done_testing();
