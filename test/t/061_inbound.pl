
# What comes back: the verdicts on bounces judged by data that is not ours
# (test/inbound). Skipped where the data is not at hand.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = '../shared/data/bounces';

plan skip_all => "no $data" unless -e $data;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--encoding=UTF8']);
$node->start;
$node->safe_psql('postgres', 'create extension mautomate');
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

my ($out, $err) = ('', '');
my $good = IPC::Run::run([ 'python3', 'test/inbound/bounces.py', $data ],
	'>', \$out, '2>', \$err);
ok($good, 'bounces: 90 % of the verdicts hard or not') or diag("$out$err");
note($out);

$node->stop;
done_testing();
