# A standby answers every question, refuses the rest in words, and takes over
# when it is promoted.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'mautomate'
mautomate.databases = 'postgres'
});
$primary->start;
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# no workers on the primary: the standby has to find work when it takes over
$primary->safe_psql('postgres', q{
	create extension mautomate;
	select mautomate.stop();
	select mautomate.arm();
	select mautomate.define_attribute('due', 'timestamptz');
	select mautomate.create_list('buyer', 'ever(''buy'')');
	select mautomate.create_list('due', 'contact.due <= now()');
	select mautomate.create_score('s');
	select mautomate.create_score_rule('s', 'r', 5, 'buy');
	select mautomate.identify('ann');
	select mautomate.track('ann', 'buy');
	select mautomate.create_workflow('hello',
		'{"entry": [{"event": "hello"}], "steps": [{"id": "w", "wait": {"for": "1 day"}}]}');
	select mautomate.activate_workflow('hello');
});
$primary->wait_for_catchup($standby);

sub asked { return $standby->safe_psql('postgres', shift); }

is(asked(q[select list, external_id from mautomate.list_members]),
	'buyer|ann', 'memberships on the standby');
like(asked(q[select condition, holds from mautomate.explain_list('buyer', 'ann')]),
	qr/^ever\('buy'\)\|t$/, 'explain_list()');
is(asked(q[select * from mautomate.verify()]), '', 'verify()');
is(asked(q[select external_id, value from mautomate.top_leads('s', 5)]),
	'ann|5', 'top_leads()');
is(asked(q[select matching from mautomate.preview_list('ever(''buy'')')]),
	'1', 'preview_list()');
is(asked(q[select kind from mautomate.timeline('ann') where kind = 'buy']),
	'buy', 'timeline()');
is(asked(q[select mautomate.clock() > '2020-01-01']), 't', 'clock()');

# a definition that changed since the standby's session loaded them
my $session = $standby->background_psql('postgres');
$session->query_safe(q[select * from mautomate.explain_list('buyer', 'ann')]);
$primary->safe_psql('postgres',
	q[select mautomate.create_list('buyer', 'never(''buy'')')]);
$primary->wait_for_catchup($standby);
like($session->query_safe(q[select holds from mautomate.explain_list('buyer', 'ann')]),
	qr/^f$/, 'a change of definitions reaches the standby');
$session->quit;

for my $call ('select mautomate.start()', 'select mautomate.stop()',
	'select * from mautomate.run()', 'call mautomate.deliver()')
{
	my ($name) = $call =~ /(\w+)\(/;
	my ($code, $out, $err) = $standby->psql('postgres', $call);
	like($err, qr/ERROR:  $name\(\) does not work on a standby\nDETAIL:.*\nHINT:  Call it on the primary/,
		"$name() is refused in words");
}

# of what writes, the first thing that would is refused
for my $call (q[track('ann', 'buy')], q[track_batch('[{"who": "ann", "kind": "buy"}]')],
	q[attach_contacts('pg_class', 'relname')], q[attach_events('pg_class', 'buy', 'relname')],
	q[enroll('hello', 'ann')], q[unenroll('hello', 'ann')],
	q[identify('cat')], q[create_list('buyer', 'ever(''buy'')')], q[set_clock(null)])
{
	my ($name) = $call =~ /(\w+)\(/;
	for my $place ($standby, $primary)
	{
		my ($code, $out, $err) = $place->psql('postgres', qq[\\set VERBOSITY sqlstate
			begin read only; select mautomate.$call]);
		is($err =~ s/^psql:<stdin>:\d+: //r, 'ERROR:  25006',
			"$name() is refused " . ($place == $standby ? 'on a standby' : 'where nobody may write'));
	}
}
is(asked('select count(*) from mautomate.stat_workers'), 0,
	'workers of the primary are none of the standby');

$primary->safe_psql('postgres', q{
	select mautomate.identify('bob',
		attributes => jsonb_build_object('due', clock_timestamp()));
	update mautomate_internal.worker_switch set started = true;
});
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q[select count(*) from pg_stat_activity
	where backend_type like 'mautomate s%']), 0, 'no workers on a standby');
$primary->stop('immediate');
$standby->promote;
ok($standby->poll_query_until('postgres', q[select count(*) = 1
	from mautomate.list_members where list = 'due' and external_id = 'bob']),
	'what fell due is done after promotion');
is(asked(q[select * from mautomate.verify()]), '', 'and all is right');
$standby->stop;
done_testing();
