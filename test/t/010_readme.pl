# The examples of the README: every block marked sql, in order, in one database.
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

my $readme = slurp_file('README.md');
my @blocks;
while ($readme =~ /^```sql\n(.*?)^```$/msg)
{
	push @blocks, $1;
}
cmp_ok(scalar @blocks, '>', 5, 'the README has examples');

foreach my $number (0 .. $#blocks)
{
	my ($stdout, $stderr);
	my $code = $node->psql('postgres', $blocks[$number],
		stdout => \$stdout, stderr => \$stderr, on_error_stop => 1);
	is($code, 0, 'example ' . ($number + 1)) or diag("$blocks[$number]\n$stderr");
	next if $number > 0;
	like($stdout, qr/^loyal\|ann$/m, 'the first success');
}

my $first = (split /create extension mautomate/, $readme)[0];
cmp_ok(($first =~ tr/\n//), '<', 60, 'first success within 60 lines');
cmp_ok(($readme =~ tr/\n//), '<=', 400, 'and not more than 400 in all');

$node->stop;
done_testing();
