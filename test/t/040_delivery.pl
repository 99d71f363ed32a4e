# Messages on their way over SMTP: servers that fail in every way, programs
# that die. Nothing is lost; what may have arrived twice is told.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# A mail server that fails as told; returns it and its port.
sub server
{
	my @options = @_;
	my %server = (out => '', in => '', err => '');
	$server{harness} = IPC::Run::start(
		[ 'python3', 'test/transport/sink.py', '--until-eof', @options ],
		\$server{in}, \$server{out}, \$server{err},
		IPC::Run::timeout(180));
	$server{harness}->pump until $server{out} =~ /port (\d+)\n/;
	$server{port} = $1;
	return \%server;
}

# Ends it; returns how many messages it has taken.
sub received
{
	my $server = shift;
	$server->{harness}->finish;
	return $server->{out} =~ /received (\d+)/ ? $1 : undef;
}

# The channel leads to this port from now on.
sub use_port
{
	my ($port, $more) = @_;
	$more //= '';
	value(qq[select mautomate.create_channel('mail', 'smtp',
		'{"host": "127.0.0.1", "port": $port, "tls": "none",
		  "from": "shop\@example.com"$more}')]);
}

# Asks for n messages whose keys begin with this name.
sub ask
{
	my ($name, $n) = @_;
	value(qq[select count(mautomate.send('c' || i, 'hello',
		idempotency_key => '$name' || i)) from generate_series(1, $n) i]);
}

# What became of them: state, attempts, in doubt, how many.
sub states
{
	my $name = shift;
	return value(qq[select state, attempts, in_doubt, count(*)
		from mautomate.messages where idempotency_key like '$name%'
		group by 1, 2, 3 order by 1, 2, 3]);
}

# Time passes; what is to be tried again is due.
sub later { pass_time('2 hours'); }

sub pass_time
{
	my $span = shift;
	value("select mautomate.set_clock(mautomate.clock() + '$span')");
}

value('create extension mautomate');
value(q[select mautomate.arm();
	select count(mautomate.identify('c' || i, 'c' || i || '@example.com'))
	from generate_series(1, 400) i]);
use_port(1);
value(q[select mautomate.create_template('hello', 'mail', subject => 'Hi',
	body => 'Hi {{ contact.external_id }}', transactional => true)]);

# nobody there
ask('down', 3);
value('call mautomate.deliver()');
is(states('down'), 'retry|1|0|3', 'server down: to be tried again');
is(value(q[select count(*) from mautomate.messages
	where due_at - mautomate.clock() between '40 s' and '80 s']),
	3, 'after a minute or so');

my $out = $node->basedir . '/out.json';
my $server = server('--out', $out);
use_port($server->{port});
later();
value('call mautomate.deliver()');
is(states('down'), 'sent|2|0|3', 'server up again: sent');
is(value(q[select distinct reply from mautomate.messages]),
	'250 2.0.0 taken', 'with the reply of the server');
is(received($server), 3, 'and received');
my $text = slurp_file($out);
like($text, qr/Subject: Hi/, 'a message');
my @ids = $text =~ /Message-ID: <([^>]+)>/g;
is(scalar(@ids), 3, 'with a Message-ID');
is( value(
		"select mautomate.handle_mail(convert_to(E'In-Reply-To: <$ids[0]>"
		  . "\\n\\nThank you\\n', 'UTF8')) ->> 'event'"),
	'replied', 'by which an answer is known');

# refused for now, for good, in the middle
for my $case (
	[ 'busy',   'retry|1|0|2',    'rcpt=451' ],
	[ 'full',   'retry|1|0|2',    'end=452' ],
	[ 'gone',   'failed|1|0|2',   'rcpt=550' ],
	[ 'spam',   'failed|1|0|2',   'end=554' ],
	[ 'closed', 'retry|1|0|2',    'data=close' ],
	[ 'cut',    'in_doubt|1|1|2', 'body=reset' ],
	[ 'greet',  'retry|1|0|2',    'banner=close' ],
	[ 'doubt',  'in_doubt|1|1|2', 'end=close' ])
{
	my ($name, $expected, $fault) = @$case;
	my $bad = server('--fault', $fault);
	use_port($bad->{port});
	ask($name, 2);
	value('call mautomate.deliver()');
	is(states($name), $expected, "$fault: $expected");
	received($bad);
	my $good = server('--out', $out);
	use_port($good->{port});
	later();
	value('call mautomate.deliver()');
	like(states($name), qr/^(sent\|2|failed\|1)\|[01]\|2$/,
		"$fault: sent when it is over") or diag(states($name));
	received($good);
}
is(value(q[select count(*) from mautomate.messages where state <> 'sent'
	and state <> 'failed']), 0, 'nothing is left');

# the policy of a channel is to hold what is in doubt
my $bad = server('--fault', 'end=close');
use_port($bad->{port}, ', "in_doubt": "hold"');
ask('hold', 2);
value('call mautomate.deliver()');
is(states('hold'), 'held|1|1|2', 'in doubt: held, if the channel says so');
received($bad);
my $good = server();
use_port($good->{port});
later();
value('call mautomate.deliver()');
is(states('hold'), 'held|1|1|2', 'and held it stays');
value(q[select mautomate.resend_message(message_id)
	from mautomate.messages where state = 'held']);
value('call mautomate.deliver()');
is(states('hold'), 'sent|2|1|2', 'until it is sent again by hand');
received($good);

# one recipient is refused, the others of the batch are not
$bad = server('--fault', 'rcpt=550@3*1');
use_port($bad->{port});
ask('one', 20);
value('call mautomate.deliver()');
is(states('one'), "failed|1|0|1\nsent|1|0|19",
	'a refused recipient is nobody else\'s trouble');
received($bad);

# given up after five days
use_port(1);
ask('old', 1);
value('call mautomate.deliver()');
pass_time('5 days 1 hour');
value('call mautomate.deliver()');
is(value(q[select state, attempts, reason like 'gave up after 5 days%'
	from mautomate.messages where idempotency_key = 'old1']),
	'failed|2|t', 'given up after five days');

# The program dies while messages are on their way: none is lost, and those
# that came twice are among those in doubt.
unlink $out;
$server = server('--out', $out, '--final-latency', 20);
use_port($server->{port});
ask('kill', 400);
my ($in, $said, $err) = ('', '', '');
my $psql = IPC::Run::start(
	[ 'psql', '-X', '-d', $node->connstr('postgres'),
	  '-c', 'call mautomate.deliver()' ],
	\$in, \$said, \$err, IPC::Run::timeout(180));
$node->poll_query_until('postgres', q[select count(*) > 50
	from mautomate.messages
	where idempotency_key like 'kill%' and state = 'sent']);
my $backend = value(q[select pid from pg_stat_activity
	where query = 'call mautomate.deliver()']);
my ($program) = split ' ', slurp_file("/proc/$backend/task/$backend/children");
my $killed = $program ? kill('KILL', $program) : 0;
$psql->finish;
is($killed, 1, 'the transport program was killed');
for (1 .. 10)
{
	later();
	value('call mautomate.deliver()');
	last if value('select count(*) from mautomate.outbox_status') == 0;
}
is(value(q[select count(*) from mautomate.messages
	where idempotency_key like 'kill%' and state = 'sent']),
	400, 'none is lost');
received($server);
my %times;
$times{$_}++ for slurp_file($out) =~ /Message-ID: <([^>]+)>/g;
is(scalar(keys %times), 400, 'each is received');
my $twice = grep { $_ > 1 } values %times;
my $doubtful = value(q[select count(*) from mautomate.messages
	where idempotency_key like 'kill%' and in_doubt > 0]);
cmp_ok($twice, '<=', $doubtful, "$twice twice, $doubtful in doubt");
cmp_ok($doubtful, '<=', 4 * $killed, 'at most one in doubt per connection');

$node->stop;
done_testing();
