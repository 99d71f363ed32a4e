# The transport's child as the server sees it: what it inherits, how it dies,
# what is known of its messages then. test/transport has the rest.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename;
use IO::Socket::INET;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $folder = abs_path(dirname(__FILE__) . '/../transport');
my $probe = PostgreSQL::Test::Utils::tempdir . '/probe.so';

my ($sink, $port);

# The functions of probe.c, with those of transport*.c in the same library.
chomp(my $include = `pg_config --includedir-server`);
system_or_bail($ENV{CC} // 'cc', '-std=gnu11', '-O1', '-fPIC', '-shared',
	'-D_GNU_SOURCE', "-I$include", "$folder/probe.c",
	glob("$folder/../../src/transport*.c"), '-o', $probe);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', join ';', map {
	my ($name, $arguments, $result) = @$_;
	"create function $name($arguments) returns $result"
	. " language c as '$probe'" } (
	[ 'probe_start', 'int, int', 'void' ],
	[ 'probe_send', 'int, int, int', 'int' ],
	[ 'probe_results', 'int', 'text' ],
	[ 'probe_ack', 'int', 'void' ],
	[ 'probe_drain', '', 'void' ],
	[ 'probe_stop', '', 'void' ],
	[ 'probe_state', '', 'text' ],
	[ 'probe_fail', 'int', 'void' ],
	[ 'probe_pump', 'int, int, int, int', 'text' ],
	[ 'probe_request', 'text, text', 'text' ]));

# Starts a sink; its harness and port.
sub sink
{
	my @options = @_;
	my ($in, $out) = ('', '');
	my $sink = IPC::Run::start([ "$folder/sink.py", '--until-eof', @options ],
		'<', \$in, '>', \$out, IPC::Run::timeout(60));

	$sink->pump until $out =~ /^port (\d+)\n/;
	return ($sink, $1);
}

# Runs statements in one session; their results. "!command" runs a shell
# command as a child of the session, where $CHILD is the running transport.
sub session
{
	my @script = ('create temp table shell (line text)');

	for my $line (@_)
	{
		if ($line =~ /^!(.*)/s)
		{
			my $command = find_child() . $1;
			$command =~ s/'/''/g;
			push @script, "copy shell from program '$command'",
			  'select line from shell', 'delete from shell';
		}
		else
		{
			push @script, $line;
		}
	}
	return $node->safe_psql('postgres', join ";\n", @script);
}

# Shell: CHILD is the transport below the session, which may still be on its
# way to its exec; empty if none appears.
sub find_child
{
	return 'CHILD=; tries=300; while [ -z "$CHILD" ] && [ $tries -gt 0 ]; do'
	  . ' tries=$((tries - 1));'
	  . ' for p in $(cat /proc/$PPID/task/$PPID/children); do'
	  . ' case $(cat /proc/$p/comm) in mautomate-trans) CHILD=$p;; esac;'
	  . ' done; done; ';
}

# Waits until that process has ended (a zombie has).
sub ends
{
	my $pid = shift;

	for (1 .. 1000)
	{
		return 1 unless open(my $file, '<', "/proc/$pid/stat");
		return 1 if (<$file> // '') =~ /^\d+ \(.*\) Z/;
		select undef, undef, undef, 0.01;
	}
	return 0;
}

# A session that stays, with a running transport: harness, its process id,
# its child's.
sub lasting_session
{
	my ($in, $out) = ('', '');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d',
			$node->connstr('postgres') ], '<', \$in, '>', \$out,
		'2>', '/dev/null', IPC::Run::timeout(60));
	my $command = find_child() . 'echo $CHILD';

	$command =~ s/'/''/g;
	$in = "create temp table shell (line text);\n"
	  . "select probe_start($port, 2); select probe_send(1, 1, 100);\n"
	  . "copy shell from program '$command';\n"
	  . "select 'pid ' || pg_backend_pid() || ' ' || line from shell;\n";
	$psql->pump until $out =~ /pid (\d+) (\d+)\n/;
	return ($psql, $1, $2);
}

($sink, $port) = sink();
is(session("select probe_start($port, 2)", 'select probe_send(1, 3, 100)',
		'select probe_results(2) like E\'%2 1 250 2.0.0 taken%\'',
		'select probe_state()', 'select probe_ack(1)',
		'select probe_results(1)', 'select probe_ack(2)',
		'select probe_ack(3)', 'select probe_state()',
		'select probe_stop()'),
	"\n1\nt\nalive, owes 1, room 3\n\n3 1 250 2.0.0 taken\n\n\n\n"
	. "alive, owes 0, room 4\n",
	'messages go out and results come back, one for each connection unless'
	. ' acknowledged');

like(session('select probe_start(1, 4)', 'select probe_send(1, 3, 45000000)',
		'select probe_results(3) like \'1 4 0 %2 4 0 %3 4 0 %\'',
		'select probe_state()'),
	qr/^\n0\nt\nalive, owes 0, room 8$/m,
	'what is big leaves no room, until it has a result');

is(session("select probe_start($port, 2)", 'select probe_send(1, 1, 100)',
		'select probe_results(1)',
		'!ls -l /proc/$CHILD/fd | sed -n "s/.* -> //p" | grep -v ^socket:'
		. ' | grep -v "[.]log$" | grep -v "^anon_inode:.event[fp]";'
		. ' readlink /proc/$CHILD/fd/[01] | uniq | wc -l'),
	"\n3\n1 1 250 2.0.0 taken\n\n1",
	'the child has nothing of the server but one socket and standard error,'
	. ' beside what it waits with');
is(session("select probe_start($port, 2)", 'select probe_send(1, 1, 100)',
		'select probe_results(1)',
		'!wc -c </proc/$CHILD/environ; readlink /proc/$CHILD/cwd;'
		. ' grep -E "^Sig(Blk|Ign)" /proc/$CHILD/status | cut -c 21-;'
		. ' cut -d " " -f 6 /proc/$CHILD/stat | sed "s/^$CHILD$/alone/"'),
	"\n3\n1 1 250 2.0.0 taken\n\n0\n/\n0000\n5003\n"
	. 'alone',
	'no environment, no folder, no blocked signal, a session of its own');
my $pid = session("select probe_start($port, 2)", '!echo $CHILD');
$pid =~ s/\n//g;
ok(ends($pid), 'the end of a session ends its child');
is(session("do \$\$ begin perform probe_fail($port);"
		. ' exception when others then null;'
		. ' end $$',
		'!echo "child $CHILD"'),
	'child ', 'an error ends a child of the failed call');

like(session("select probe_start($port, 4)", 'select probe_send(1, 4, 100)',
		'select probe_results(4)', '!kill -9 $CHILD',
		'select probe_results(1)', 'select probe_state()',
		'select probe_ack(4)', 'select probe_stop()'),
	qr/\n\nit was terminated by signal 9, owes 0, room 0\n\n$/,
	'a death with nothing owed');

# In flight: whatever was announced is in doubt, the rest surely not sent.
my $mails = PostgreSQL::Test::Utils::tempdir . '/mails';
my ($held, $held_port) = sink('--fault', 'end=mute', '--out', $mails);
my $result = session("select probe_start($held_port, 3)",
	'select probe_send(1, 6, 100)',
	"!tail -n +1 -f $mails | head -n 3 | wc -l; kill -9 \$CHILD",
	'select probe_results(6)', 'select probe_state()');
is(scalar(() = $result =~ /^[1-6] 5 0 it was terminated by signal 9$/mg), 3,
	'a message for each connection is in doubt');
is(scalar(() = $result =~ /^[1-6] 4 0 it was terminated by signal 9$/mg), 3,
	'those that waited are not');
like($result, qr/it was terminated by signal 9, owes 0, room 0$/,
	'each has one result');

$result = session("select probe_start($held_port, 1)",
	'select probe_send(1, 2, 30000000)', '!kill -STOP $CHILD; echo',
	'!kill -9 $CHILD', 'select probe_results(2)');
like($result, qr/^2 6 0 it was terminated/m,
	'what was never read by the child was never tried');

$result = session("select probe_start($held_port, 2)",
	'select probe_send(1, 4, 100)',
	"!tail -n +4 -f $mails | head -n 2 | wc -l",
	'select probe_drain()', 'select probe_state()',
	'select probe_results(4)', 'select probe_state()');
like($result, qr/^alive, owes 4, room 0$/m, 'draining takes nothing more');
is(scalar(() = $result =~ /^[1-4] 6 0 /mg), 2,
	'draining gives back what was not begun');
is(scalar(() = $result =~ /^[1-4] 5 0 the transport was told to end$/mg), 2,
	'and what is not answered in time is in doubt');

like(session("select probe_start($port, 2)", '!kill -STOP $CHILD; echo',
		'select probe_drain()', 'select probe_results(1)',
		'select probe_state()'),
	qr/it did not end in time, owes 0, room 0$/,
	'a child that hangs does not hang us');

# A session that is ended, and one that dies with the server.
my ($psql, $backend, $child) = lasting_session();
$node->safe_psql('postgres', "select pg_terminate_backend($backend)");
ok(ends($child), 'terminating the session ends its child');
$psql->finish;
($psql, $backend, $child) = lasting_session();
$node->stop('immediate');
ok(ends($child), 'so does the death of the server');
$psql->finish;
$node->start;

like($node->safe_psql('postgres', "select probe_pump($port, 8, 3000, 4000)"),
	qr/^3000 sent, /, 'many messages');
like($node->safe_psql('postgres', "select probe_pump($port, 8, 20, 8000000)"),
	qr/^20 sent, /, 'long messages');

# A web server that answers with what it was sent, in one line.
my $web = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
  or die "no socket: $!";
my $server = fork // die "no process: $!";
if ($server == 0)
{
	my $client = $web->accept;
	my $got = '';

	sysread $client, $got, 4096, length $got until $got =~ /the body$/;
	$got =~ s/\r\n/|/g;
	print $client "HTTP/1.1 202 ok\r\nContent-Length: "
	  . length($got) . "\r\n\r\n$got";
	close $client;
	POSIX::_exit(0);
}
like($node->safe_psql('postgres', 'select probe_request(\'http://127.0.0.1:'
		. $web->sockport . '/x\', \'the body\')'),
	qr{^1 202 POST /x HTTP/1.1\|.*\|Content-Type: text/plain\|X-Two: 2\|.*\|\|the body$},
	'a request to a web server');
waitpid $server, 0;

$node->stop;
$_->finish for ($sink, $held);
done_testing();
