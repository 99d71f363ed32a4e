# A year of real orders: lists at three instants are what plain Python finds
# in the CSV, whether backfilled or inserted, and verify() agrees.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($csv) = glob '../shared/data/online_retail/online_retail.csv.xz';
my $unpacked = PostgreSQL::Test::Utils::tempdir() . '/online_retail.csv';
plan skip_all => 'no ../shared/data/online_retail' unless $csv && -e $csv;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'mautomate'
mautomate.timezone = 'Europe/London'
timezone = 'Europe/London'
CONF
$node->start;

system_or_bail('python3', '-c', 'import lzma, shutil, sys;'
	  . 'shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))',
	$csv, $unpacked);

sub sql { return $node->safe_psql('postgres', shift); }

sql(<<"SQL");
create extension mautomate;
create table line (invoice_no text, stock_code text, description text,
  quantity int, at timestamptz, price numeric, customer text, country text);
copy line from '$unpacked' (format csv, header);
create table invoice (no text primary key, customer text, at timestamptz);
SQL
my $insert = q{insert into invoice select invoice_no, customer, min(at)
	from line where at %s '2011-07-01' group by 1, 2};
sql(sprintf $insert, '<');

sql("select mautomate.set_clock('2011-07-01')");
sql(q{select mautomate.create_list('loyal',
	$$ count('purchase', within => '365 days') > 10 $$)});
sql(q{select mautomate.attach_events('invoice', 'purchase',
	contact => 'customer', occurred_at => 'at',
	condition => $$ no not like 'C%' $$)});
# one list before the events, one when they are there
sql(q{select mautomate.create_list('recent',
	$$ ever('purchase', within => '6 months') $$)});

my %expected;
foreach (`python3 test/demo/expected.py $csv`)
{
	$expected{"$1 $2"} = $3 if /^(\d{4}-\d\d-\d\d) (\w+) (\d+)$/;
}

sub compare
{
	my $day = shift;

	foreach my $list (qw(asleep loyal recent))
	{
		is(sql("select members from mautomate.lists where name = '$list'"),
			$expected{"$day $list"}, "$list on $day");
	}
	is(sql('select count(*) from mautomate.verify()'), 0,
		"verify() on $day");
}

# the passes until nothing is left to do
sub run_all
{
	while (sql('select coalesce(sum(done), 0) from mautomate.run(10000)') > 0)
	{
	}
}

sql(q{select mautomate.create_list('asleep',
	$$ elapsed('purchase') > '90 days' $$)});
compare('2011-07-01');

my $between = "$insert having min(at) >= '%s' and min(at) < '%s'";
$between =~ s/where at %s '2011-07-01' //;
foreach (['2011-07-01', '2011-10-01'], ['2011-10-01', '2011-12-10'])
{
	my ($from, $to) = @$_;

	sql(sprintf $between, $from, $to);
	sql("select mautomate.set_clock('$to')");
	run_all();
	compare($to);
}

$node->stop;
done_testing();
