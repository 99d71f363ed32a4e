# A list that is built while others write: a crash loses nothing of what is
# done, writers do not wait, and the workers finish it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $contacts = 6000;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q[
	shared_preload_libraries = 'mautomate'
	restart_after_crash = on
	autovacuum = off]);
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

sub progress
{
	return value(qq[select done || ' of ' || total
		from mautomate.progress where object = 'list "$_[0]"']);
}

# Kills a backend, and all others with it; they start anew.
sub crash
{
	my $pid = shift;

	kill('KILL', $pid);
	$node->poll_query_until('postgres', qq[select not exists (select
		from pg_stat_activity where pid = $pid)]);
	return;
}

value(qq[create extension mautomate;
	select mautomate.arm();
	insert into mautomate.contact (external_id)
		select 'c' || n from generate_series(1, $contacts) n;
	insert into mautomate.event (contact_id, kind, occurred_at)
		select contact_id, 'buy', mautomate.clock() - interval '1 day' * n
		from mautomate.contact, generate_series(1, 1 + contact_id % 10) n]);
my $expected = value(q[select count(*) from (select from mautomate.event
	where kind = 'buy' group by contact_id having count(*) > 5) x]);

value(q[select mautomate.create_list('often',
	$$count('buy', within => '1 year') > 5$$, wait => false)]);
is(value(q[select state from mautomate.lists]), 'building', 'it is building');
is(progress('often'), "0 of $contacts", 'and has not begun');
# one run learns which transactions are older, the next one begins
value(q[select * from mautomate.run(1000)]) for 1 .. 2;
my ($done) = progress('often') =~ /^(\d+) of/;
cmp_ok($done, '>', 0, 'it has begun');
cmp_ok($done, '<', $contacts, 'and is not done');
like(value(q[select estimated_end > started_at from mautomate.progress]),
	qr/^t$/, 'the end is estimated');

# killed between passes, and in the middle of one
$node->stop('immediate');
$node->start;
is(progress('often'), "$done of $contacts", 'what was done is done');
my $runner = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $runner->query('select pg_backend_pid()');
$runner->query('begin; select * from mautomate.run(1000)');

# writers wait for nobody but whom the pass has just taken
value(q[set lock_timeout = '5s'; insert into mautomate.event (contact_id, kind)
	select 5990, 'buy' from generate_series(1, 6)]);
is(value(q[select count(*) from mautomate.list_members
	where contact_id = 5990]), 1, 'who writes meanwhile is in the list');
$expected++;
crash($pid);
is(progress('often'), ($done + 1) . " of $contacts",
	'what was not committed is not done');

# the same, and the postmaster is killed
$runner = $node->background_psql('postgres', on_error_stop => 0);
$runner->query('begin; select * from mautomate.run(1000)');
my $postmaster = value(q[select split_part(pg_read_file('postmaster.pid'), E'\n', 1)]);
$node->kill9;
1 while kill(0, $postmaster);
eval { $runner->quit };
for (1 .. 60)    # until its children are gone too
{
	last if $node->start(fail_ok => 1);
}
is(progress('often'), ($done + 1) . " of $contacts",
	'nor after the postmaster was killed');

# the workers finish it
my $db = 'postgres';
my $holder = $node->background_psql($db);
$holder->query_safe(q[begin; select from mautomate_internal.contact_state
	where contact_id = 5999 for update]);
value('select mautomate.start()');
ok($node->poll_query_until($db, qq[select done = $contacts - 1
		from mautomate.progress]), 'all are done but one that is held');
is(value(q[select state from mautomate.lists]), 'building',
	'and it is not ready');
$holder->query_safe('commit');
ok($node->poll_query_until($db,
		q[select state = 'ready' from mautomate.lists]), 'then it is');
is(value(q[select members from mautomate.lists]), $expected, 'and full');
is(value(q[select count(*) from mautomate.verify()]), 0, 'and right');
is(value(q[select count(*) from mautomate.progress]), 0, 'nothing is left');

# one that a query fills is ready at once; its states follow after a crash too
value('select mautomate.stop()');
value(q[select mautomate.create_list('seldom',
	$$count('buy', within => '1 year') <= 5$$)]);
is(value(q[select members from mautomate.lists where name = 'seldom']),
	$contacts - $expected, 'a list filled by a query is full at once');
value(q[select * from mautomate.run(1000)]);
($done) = progress('seldom') =~ /^(\d+) of/;
cmp_ok($done, '>', 0, 'some states follow');
crash($holder->query('select pg_backend_pid()'));
is(progress('seldom'), "$done of $contacts", 'and do so after a crash');
value('select mautomate.start()');
ok($node->poll_query_until($db,
		q[select count(*) = 0 from mautomate.progress]), 'then all');
is(value(q[select count(*) from mautomate.verify()]), 0, 'and all is right');
$node->stop;
done_testing();
