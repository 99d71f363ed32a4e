
# Rendering: addresses, templates and messages judged by data and programs
# that are not ours (test/render). Skipped where the data is not at hand.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = '../shared/data';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--encoding=UTF8']);
$node->start;
$node->safe_psql('postgres', 'create extension mautomate');
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

# Run a script of test/render on a file or folder of the data.
sub judge
{
	my ($name, $script, $source) = @_;
  SKIP:
	{
		skip "$name: no $data/$source", 1 unless -e "$data/$source";
		my ($out, $err) = ('', '');
		my $good = IPC::Run::run(
			[ 'python3', "test/render/$script", "$data/$source" ],
			'>', \$out, '2>', \$err);
		ok($good, $name) or diag("$out$err");
		note($out);
	}
	return;
}

judge('e-mail addresses: the verdicts of isemail',
	'addresses.py', 'email_addresses');
judge('templates: 95 % of golden-liquid',
	'liquid_conformance.py', 'golden_liquid/golden_liquid.json');
judge('messages: read by Python\'s email', 'messages.py', 'mime');

# Another reader, where it can be had.
SKIP:
{
	my $folder = PostgreSQL::Test::Utils::tempdir();
	skip "mailparser: no $data/mime", 1 unless -e "$data/mime";
	local $ENV{HOME} = $folder;
	skip 'npm or mailparser 3.7.2 cannot be had', 1
	  if system("timeout 60 npm install --silent --no-audit --no-fund "
		  . "--prefix $folder mailparser\@3.7.2 >/dev/null 2>&1") != 0;
	my ($out, $err) = ('', '');
	my $good = IPC::Run::run([ 'python3', 'test/render/messages.py',
			"$data/mime", '--write', "$folder/mails" ], '2>', \$err);
	local $ENV{NODE_PATH} = "$folder/node_modules";
	$good &&= IPC::Run::run([ 'node', 'test/render/mailparser.js',
			"$folder/mails" ], '>', \$out, '2>', \$err);
	ok($good, 'messages: read by mailparser') or diag("$out$err");
	note($out);
}

$node->stop;
done_testing();
