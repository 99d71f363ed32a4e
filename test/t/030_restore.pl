# Dump and restore: what can be derived is not dumped and comes back by the
# first sweep, silently; what people made is all there.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'mautomate'");
$node->start;

sub value { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }

value(q{
	create extension mautomate;
	select mautomate.arm();
	select mautomate.define_attribute('country', 'text');
	select mautomate.create_list('loyal', 'count(''purchase'', within => ''365 days'') > 2');
	select mautomate.create_static_list('friends');
	select mautomate.create_list('strangers', 'not in_list(''friends'')');
	select mautomate.create_score('engagement');
	select mautomate.create_score_rule('engagement', 'buys', 10, event => 'purchase');
	select mautomate.create_score_tier('engagement', 'hot', 20);
	select mautomate.identify('c' || n, 'c' || n || '@example.com') from generate_series(1, 50) n;
	insert into mautomate.event (contact_id, kind, occurred_at)
	  select contact_id, 'purchase', mautomate.clock() - g * interval '1 day'
	  from mautomate.contact, generate_series(1, 4) g where g <= contact_id % 5;
	select mautomate.add_to_list('friends', 'c' || n) from generate_series(1, 10) n;
	insert into mautomate.contact (external_id) values ('by hand');
	select mautomate.add_to_list('loyal', 'c20', until => mautomate.clock() + interval '1 year'),
	  mautomate.remove_from_list('loyal', 'c4'), mautomate.remove_from_list('friends', 'c9', until => 'tomorrow');
	select mautomate.create_static_list('gone');
	select mautomate.add_to_list('gone', 'c1'), mautomate.drop_list('gone');
	select mautomate.create_list('were leads', 'was(contact.stage, ''lead'')');
	update mautomate.contact set stage = 'lead' where contact_id % 2 = 0;
	update mautomate.contact set stage = 'customer' where contact_id % 4 = 0;
});

my %questions = (
	lists => 'select list, count(*), min(external_id), max(external_id), count(*) filter (where by = \'hand\')
		from mautomate.list_members group by list order by list',
	overrides => 'select * from mautomate.list_overrides order by list, external_id',
	scores => 'select score, external_id, value, tier from mautomate.scores
		order by external_id',
	contacts => 'select external_id, email, attributes from mautomate.contacts
		order by external_id',
	events => 'select contact_id, kind, occurred_at, event_id
		from mautomate.event order by event_id',
	definitions => 'select name, predicate from mautomate.lists order by name');
my %before = map { $_ => value($questions{$_}) } keys %questions;
isnt($before{lists}, '', 'there are members');
my $gone = q{select count(*) from mautomate_internal.list_change
	where list_id not in (select list_id from mautomate_internal.list)};
is(value($gone), 1, 'there is history of a list that was dropped');

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'dump');
value('create database copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy',
	'-f', $dump ], 'restore');

# In parallel, tables come in any order; the worst is the other way round.
my $folder = $node->basedir . '/dump.d';
$node->command_ok([ 'pg_dump', '-Fd', '-f', $folder, 'postgres' ], 'dump to a folder');
value('create database parallel');
$node->command_ok([ 'pg_restore', '-j', '4', '-e', '-d', 'parallel', $folder ], 'restore in parallel');
my ($stdout) = run_command([ 'pg_restore', '-l', $folder ]);
my @toc = grep { !/^;/ } split /\n/, $stdout;
my @data = reverse grep { /TABLE DATA/ } @toc;
my $order = $node->basedir . '/order';
append_to_file($order, join "\n", map { /TABLE DATA/ ? shift @data : $_ } @toc);
value('create database reversed');
$node->command_ok([ 'pg_restore', '-L', $order, '-e', '-d', 'reversed', $folder ],
	'restore the other way round');

for my $db ('copy', 'parallel', 'reversed')
{
	is(value($gone, $db), 0, "$db: what was dropped is not there");
	is(value('select sum(done) > 0 from mautomate.run(100000)', $db), 't',
		"$db: the first sweep has work");
	for my $what (sort keys %questions)
	{
		is(value($questions{$what}, $db), $before{$what}, "$db: $what are the same");
	}
	is(value('select * from mautomate.verify()', $db), '', "$db: nothing differs from the log");
	is(value('select sum(done) from mautomate.run(100000)', $db), '0',
		"$db: and then there is no more work");
}

# A list that waited for transactions to end, by their numbers, where it was
# dumped; here they are far away.
value(q{select mautomate.create_list('begun', 'count(''purchase'') > 1', wait => false);
	update mautomate_internal.list set wait_for = '1000000000000' where name = 'begun'}, 'copy');
value(q{select * from mautomate.run(100000)}, 'copy') for 1 .. 2;
is(value(q{select state || ' ' || members from mautomate.lists where name = 'begun'}, 'copy'),
	'ready 30', 'a list that was being built is built on');

is(value(q{select mautomate.add_to_list('friends', 'c11')}, 'copy'), 't',
	'work goes on');
is(value(q{select string_agg(list, ' ' order by list) from mautomate.list_members
	where external_id = 'c11'}, 'copy'), 'friends', 'and lists follow');

$node->stop;
done_testing();
