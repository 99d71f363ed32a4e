# The table of notes: who writes the log only to note it does not lock it, and
# loses nothing beside VACUUM, VACUUM FULL and TRUNCATE.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
autovacuum = off
max_prepared_transactions = 2
});
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

sub blocks
{
	return value(q[select pg_relation_size('mautomate_internal.deferred') / 8192]);
}

value(q[create extension mautomate;
	select mautomate.create_list('often', 'count(''buy'') >= 3');
	insert into mautomate.contact (external_id)
	select 'c' || g from generate_series(1, 1000) g;
	alter database postgres set mautomate.refresh = deferred]);

# an open transaction that has noted
my $insert = q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact where external_id = 'c1'];
my $writer = $node->background_psql('postgres');
$writer->query_safe("begin; $insert");
is(value(q[select count(*) from pg_locks l join pg_stat_activity a using (pid)
	where l.relation = 'mautomate_internal.deferred'::regclass]), 0,
	'who notes an event does not lock the notes');
for my $command ('vacuum full %s', 'truncate %s', 'alter table %s set unlogged')
{
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n"
		. sprintf($command, 'mautomate_internal.deferred'));
	like($err, qr/55P03: .*CONTEXT:  waiting until nobody writes mautomate\.event/s,
		"$command gives up");
}
value('vacuum mautomate_internal.deferred');
$writer->query_safe('commit');
is(value('select sum(n) from mautomate_internal.deferred'), 1, 'and the note is there');

# the same, prepared
$writer->query_safe("begin; $insert; prepare transaction 'noted'");
$writer->quit;
isnt($node->psql('postgres', 'vacuum full mautomate_internal.deferred'), 0,
	'a prepared transaction that has noted is waited for');
value("commit prepared 'noted'");
value('vacuum full mautomate_internal.deferred');
is(value('select sum(n) from mautomate_internal.deferred'), 2, 'its note is there');

# VACUUM gives the end back, but not while somebody may append to it
value(q[insert into mautomate.event (contact_id, kind)
	select contact_id, 'buy' from mautomate.contact, generate_series(1, 20)]);
cmp_ok(blocks(), '>', 10, 'notes take blocks');
value('select * from mautomate.run(1000000)');
$writer = $node->background_psql('postgres');
$writer->query_safe('begin; delete from mautomate.event where false');
my $before = blocks();
value('vacuum mautomate_internal.deferred');
is(blocks(), $before, 'beside a writer they stay');
$writer->query_safe('rollback');
$writer->quit;
value('vacuum mautomate_internal.deferred');
is(blocks(), 0, 'then VACUUM gives them back');

# many writers, all the time
my $script = $node->basedir . '/noted.sql';
append_to_file($script, q[
\set id random(1, 1000)
\set end random(1, 5)
begin;
insert into mautomate.event (contact_id, kind) values (:id, 'buy');
\if :end = 1
rollback;
\else
commit;
\endif
insert into mautomate.event (contact_id, kind) values (:id, 'buy');
]);
my $events = value('select count(*) from mautomate.event');
my $pgbench = IPC::Run::start(['pgbench', '-n', '-c', '4', '-t', '1000', '-M', 'prepared',
	'-f', $script, '-h', $node->host, '-p', $node->port, 'postgres'],
	'>', \my $out, '2>', \my $err);
my ($full, $plain) = (0, 0);
while ($pgbench->pumpable)
{
	$full += !$node->psql('postgres', 'vacuum full mautomate_internal.deferred');
	$plain += !$node->psql('postgres', 'vacuum mautomate_internal.deferred');
	$node->psql('postgres', 'select * from mautomate.run(100)') if $full % 4 == 0;
	$pgbench->pump_nb;
}
ok($pgbench->finish, 'writers are not disturbed') or diag($err);
cmp_ok($full, '>', 0, "beside $full VACUUM FULL");
cmp_ok($plain, '>', 0, "and $plain VACUUM");
cmp_ok(value('select count(*) from mautomate.event') - $events, '>', 4000, 'all are written');
value('select * from mautomate.run(1000000)');
is(value('select count(*) from mautomate_internal.deferred'), 0, 'all notes are taken');
is(value('select * from mautomate.verify()'), '', 'and none was lost');

my ($code, $stdout, $stderr) = $node->psql('postgres',
	'create table t (n int) using mautomate_deferred');
like($stderr, qr/is for the notes of mautomate only/, 'no other table is such');
$node->stop;
done_testing();
