# Installing: what a new database looks like, and that nothing stays behind.
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

sub value { return $node->safe_psql('postgres', shift); }

value('create extension mautomate');
is(value(q{select extversion = default_version from pg_extension
	join pg_available_extensions on name = extname
	where extname = 'mautomate'}), 't', 'the version of the control file');

is(value(q{select string_agg(p.oid::regprocedure::text, ', ')
	from pg_proc p join pg_namespace n on n.oid = pronamespace
	where nspname in ('mautomate', 'mautomate_internal')
	and obj_description(p.oid, 'pg_proc') is null}),
	'', 'every function has a comment');
is(value(q{select string_agg(c.oid::regclass::text, ', ')
	from pg_class c join pg_namespace n on n.oid = relnamespace
	where nspname = 'mautomate' and relkind in ('r', 'v')
	and obj_description(c.oid, 'pg_class') is null}),
	'', 'every table and view that users see has a comment');

is(value(q{select string_agg(p.oid::regprocedure::text, ', ')
	from pg_proc p join pg_namespace n on n.oid = pronamespace
	where nspname in ('mautomate', 'mautomate_internal')
	and has_function_privilege('public', p.oid, 'execute')}),
	'', 'no function is granted to everybody');
is(value(q{select string_agg(c.oid::regclass::text, ', ')
	from pg_class c join pg_namespace n on n.oid = relnamespace
	where nspname in ('mautomate', 'mautomate_internal')
	and relkind in ('r', 'v', 'S')
	and (has_table_privilege('public', c.oid, 'select')
		or has_table_privilege('public', c.oid, 'insert'))}),
	'', 'no table is granted to everybody');

is(value(q{select string_agg(p.oid::regprocedure::text, ', ')
	from pg_proc p join pg_namespace n on n.oid = pronamespace
	where nspname in ('mautomate', 'mautomate_internal') and prosecdef
	and not coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}',
		false)}),
	'', 'whatever runs as its owner pins its search_path');

my $objects = q{select count(*) from pg_depend
	where refclassid = 'pg_extension'::regclass and deptype = 'e'};
my $installed = value($objects);
value('drop extension mautomate cascade');
is(value(q{select count(*) from pg_class c, pg_namespace n
	where n.oid = relnamespace and nspname like 'mautomate%'}),
	0, 'dropping it leaves nothing');
value('create extension mautomate');
is(value($objects), $installed, 'and it can be created again');

# A plan made anew, as its tables have changed, is not compiled by the JIT
# compiler, which would take half a second.
my $compiled;
$node->psql('postgres', q{
	create extension if not exists mautomate;
	select mautomate.define_event('jit_buy');
	select mautomate.create_list('jit ' || n, 'count(''jit_buy'') > 1') from generate_series(1, 2) n;
	set client_min_messages = debug1;
	set jit_above_cost = 100;
	select mautomate.drop_list('jit 1');
	select mautomate.rename_event('jit_buy', 'jit_bought');
	select mautomate.drop_list('jit 2');
}, stderr => \$compiled);
unlike($compiled, qr/time to inline|ERROR/, 'our statements are not compiled');

$node->stop;
done_testing();
