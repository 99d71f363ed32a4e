# How fast messages leave, with servers and workers: limits shared by two
# senders, pauses, the times of retries.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'mautomate.senders = 2');
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# A mail server; returns it and its port.
sub server
{
	my %server = (out => '', in => '', err => '');
	$server{harness} = IPC::Run::start(
		[ 'python3', 'test/transport/sink.py', '--until-eof', @_ ],
		\$server{in}, \$server{out}, \$server{err},
		IPC::Run::timeout(180));
	$server{harness}->pump until $server{out} =~ /port (\d+)\n/;
	$server{port} = $1;
	return \%server;
}

# The channel leads to this server, with these limits.
sub use_server
{
	my ($server, $limits, $channel) = @_;
	$channel //= 'mail';
	value(qq[select mautomate.create_channel('$channel', 'smtp',
		'{"host": "127.0.0.1", "port": $server->{port}, "tls": "none",
		  "from": "shop\@example.com", "connections": 8, $limits}')]);
}

# Asks for n messages to somebody; their keys begin with this name.
sub ask
{
	my ($name, $who, $n, $template) = @_;
	$template //= 'hello';
	value(qq[select count(mautomate.send('$who', '$template',
		idempotency_key => '$name' || i)) from generate_series(1, $n) i]);
}

# Waits until so many of them are sent.
sub wait_for
{
	my ($name, $n) = @_;
	return $node->poll_query_until('postgres', qq[select count(*) = $n
		from mautomate.messages
		where idempotency_key like '$name%' and state = 'sent']);
}

my $out = $node->basedir . '/out.json';
my $server = server('--out', $out, '--final-latency', 100);
value('create extension mautomate');
value(q[select mautomate.arm();
	select mautomate.identify('slow', 'slow@slow.example');
	select mautomate.identify('fast', 'fast@fast.example')]);
use_server($server, '"domains": {"slow.example": {"connections": 2}}');
value(q[select mautomate.create_template('hello', 'mail', subject => 'Hi',
	body => 'Hi', transactional => true)]);
value('select mautomate.start()');

# Two at a time to a domain, for both senders together; what waits for it
# keeps nobody else waiting.
value('begin; ' . join(';', map {
	qq[select count(mautomate.send('$_', 'hello', idempotency_key => '$_' || i))
	   from generate_series(1, 30) i] } qw(slow fast)) . '; commit');
ok(wait_for('slow', 30) && wait_for('fast', 30), 'all are sent');
is(value(q[select max(sent_at) filter (where external_id = 'fast')
		< max(sent_at) filter (where external_id = 'slow')
	from mautomate.messages]), 't', 'who has no limit is not kept waiting');
my %ended = (slow => [], fast => []);
for (split /\n/, slurp_file($out))
{
	my ($who) = /"recipients": \["<?(slow|fast)@/;
	my ($time) = /"time": ([\d.]+)/;
	push @{ $ended{$who} }, $time if $who;
}
is(scalar(@{ $ended{slow} }), 30, 'they arrived');

# How many ended within 80 ms of one another? Each took 100 ms.
sub at_once
{
	my $most = 0;
	for my $end (@_)
	{
		my $n = grep { $_ >= $end && $_ < $end + 0.08 } @_;
		$most = $n if $n > $most;
	}
	return $most;
}
cmp_ok(at_once(@{ $ended{slow} }), '<=', 2, 'two under way at once');
cmp_ok(at_once(@{ $ended{fast} }), '>', 2, 'more to another domain');

# Five a second: who sleeps wakes when the token comes.
use_server($server, '"rate": {"per_second": 5, "burst": 1}');
ask('rate', 'fast', 6);
ok(wait_for('rate', 6), 'all are sent');
my $gaps = q[from (select sent_at, lag(sent_at) over (order by sent_at)
	from mautomate.messages where idempotency_key like 'rate%') g (at, before)];
cmp_ok(value("select extract(epoch from max(at) - min(at)) $gaps"), '>=', 0.7,
	'one after the other');
cmp_ok(value("select extract(epoch from max(at) - min(at)) $gaps"), '<', 4,
	'and without delay');

# A server that does not answer keeps seven of eight connections, and all that
# one domain may have. Whoever else is written to gets it over the eighth, and
# other channels go on; so it is at each of several times, without a delay.
my $mute = server('--fault', 'rcpt=mute*7');
use_server($mute, '"domains": {"slow.example": {"connections": 2}}');
use_server($server, '"idle_timeout": "1 min"', 'second');
value(q[select mautomate.create_template('second', 'second', subject => 'Hi',
	body => 'Hi', transactional => true)]);
my $stuck = q[select count(*) from mautomate.messages where state = 'sending'];
ask('mute_slow', 'slow', 2);
$node->poll_query_until('postgres', "select ($stuck) = 2");
ask('mute_fast', 'fast', 5);
$node->poll_query_until('postgres', "select ($stuck) = 7");
ask('more_slow', 'slow', 10);
for my $round (1 .. 3)
{
	ask("beside$round.", 'fast', 50);
	ask("second$round.", 'fast', 50, 'second');
	ok(wait_for("beside$round.", 50) && wait_for("second$round.", 50),
		'who is stuck keeps nobody else waiting');
}
cmp_ok(value(q[select extract(epoch from max(sent_at) - min(sent_at))
	from mautomate.messages where idempotency_key like 'beside%']), '<', 20,
	'nor for long');
is(value($stuck), 7, 'they are stuck all the time');
is(value(q[select count(*) from mautomate.messages
	where idempotency_key like 'more_slow%' and state = 'sent']), 0,
	'and with them those whose domain has no more connections');
$mute->{harness}->kill_kill;
use_server($server, '"domains": {}');
ok(wait_for('more_slow', 10), 'which go when it has');
$node->poll_query_until('postgres', "select ($stuck) = 0");
value(q[select count(mautomate.cancel_message(message_id))
	from mautomate.messages where idempotency_key like 'mute%']);

# As fast as it says, however short the time to the next token is.
use_server($server, '"rate": {"per_second": 50, "burst": 10}');
ask('quick', 'fast', 200);
ok(wait_for('quick', 200), 'all are sent');
my $span = value(q[select extract(epoch from max(sent_at) - min(sent_at))
	from mautomate.messages where idempotency_key like 'quick%']);
cmp_ok($span, '>=', 3, "200 in $span s: no faster");
cmp_ok($span, '<', 45, 'nor does anybody sleep over a token');

# What waits under a limit does not wait under a higher one.
for my $low ('"rate": {"per_day": 10, "burst": 10}',
	'"domains": {"fast.example": {"rate": {"per_day": 10, "burst": 10}}}',
	'"warm_up": [{"day": 1, "messages": 10}]')
{
	my ($name) = $low =~ /(\w+)/;
	my $high = $low =~ s/per_day/per_second/r;
	$high =~ s/"messages": 10/"messages": 30/;
	use_server($server, $low);
	ask("more $name", 'fast', 30);
	ok(wait_for("more $name", 10), "$name: some are sent");
	use_server($server, $high);
	ok(wait_for("more $name", 30), "$name: raised, all are");
	cmp_ok(value(qq[select extract(epoch from max(sent_at) - min(enqueued_at))
		from mautomate.messages where idempotency_key like 'more $name%']),
		'<', 30, 'soon');
}

use_server($server, '"in_doubt": "resend"');

# paused: they wait, and go on at once
value(q[select mautomate.pause_channel('mail', 'moving')]);
ask('paused', 'fast', 1);
value('select mautomate.stop()');
$node->poll_query_until('postgres', q[select count(*) = 0
	from mautomate.stat_workers]);
value('call mautomate.deliver()');
is(value(q[select state from mautomate.messages
	where idempotency_key = 'paused1']), 'pending', 'paused: they wait');
value('select mautomate.start()');
value(q[select mautomate.resume_channel('mail')]);
ok(wait_for('paused', 1), 'resumed: they are sent');
value('select mautomate.stop()');
$node->poll_query_until('postgres', q[select count(*) = 0
	from mautomate.stat_workers]);
$server->{harness}->finish;

# too much fails: it pauses by itself
$server = server('--fault', 'rcpt=550:5.7.1 you are on a list');
use_server($server, '"pause_when": {"failures": 0.5, "of": 10},
	"connections": 1');
ask('bad', 'fast', 40);
value('call mautomate.deliver()');
like(value('select paused, reason from mautomate.stat_channels'),
	qr/^t\|100.0 % of the last 10 attempts failed; the last: 550 5.7.1 you are on a list/,
	'paused, with the reason');
cmp_ok(value(q[select count(*) from mautomate.messages
	where idempotency_key like 'bad%' and state = 'pending']), '>=', 20,
	'the others were not tried');
value(q[select count(mautomate.cancel_message(message_id))
	from mautomate.messages where state = 'pending']);
$server->{harness}->finish;

# the times of retries
$server = server('--fault', 'rcpt=451');
use_server($server, '"retries": {"first": "10 s", "factor": 3, "most": "1 min",
	"spread": 0, "give_up": "2 hours"}');
value(q[select mautomate.resume_channel('mail')]);
value(q[select mautomate.set_clock('2030-01-01 00:00 UTC')]);
ask('again', 'fast', 1);
my @waits;
for (1 .. 4)
{
	value('call mautomate.deliver()');
	push @waits, value(q[select extract(epoch from due_at - mautomate.clock())::int
		from mautomate.messages where idempotency_key = 'again1']);
	value(q[select mautomate.set_clock(due_at) from mautomate.messages
		where idempotency_key = 'again1']);
}
is("@waits", '10 30 60 60', 'retries when the channel says');
value(q[select mautomate.set_clock('2030-01-01 02:00 UTC')]);
value('call mautomate.deliver()');
is(value(q[select state, reason from mautomate.messages
	where idempotency_key = 'again1']), 'failed|gave up after 2 hours',
	'and given up when it says');
$server->{harness}->finish;

# and when it says nothing: 60 s x 2^n, give or take a fifth, an hour at most
$server = server('--fault', 'rcpt=451');
use_server($server, '"in_doubt": "resend"');
ask('usual', 'fast', 20);
value(q[select mautomate.set_clock('2030-02-01 00:00 UTC')]);
my $asked = q[from mautomate.messages where idempotency_key like 'usual%'];
for my $n (0 .. 8)
{
	value('call mautomate.deliver()');
	my ($least, $most, $differ) = split /\|/, value(
		qq[select extract(epoch from min(due_at) - mautomate.clock()),
			extract(epoch from max(due_at) - mautomate.clock()),
			count(distinct due_at) $asked and attempts = $n + 1]);
	my $usual = 60 * 2**$n > 3600 ? 3600 : 60 * 2**$n;
	my $limit = $usual * 1.2 > 3600 ? 3600 : $usual * 1.2;
	ok($least >= $usual * 0.8 && $most <= $limit && $differ > 10,
		"try $n again within $least to $most s");
	value(qq[select mautomate.set_clock(max(due_at)) $asked]);
}
value(q[select mautomate.set_clock('2030-02-05 23:59 UTC')]);
value('call mautomate.deliver()');
is(value("select distinct state $asked"), 'retry', 'for five days');
value(q[select mautomate.set_clock('2030-02-06 01:00 UTC')]);
value('call mautomate.deliver()');
is(value("select distinct state, reason $asked"),
	'failed|gave up after 5 days', 'and no longer');
$server->{harness}->finish;

# While the clock stands still, limits follow the real one, and what waits for
# that of its domain keeps nobody else waiting.
$server = server();
use_server($server, '"domains": {"slow.example": {"rate":
	{"per_minute": 60, "burst": 1}}}');
ask('still', 'slow', 600);
ask('other', 'fast', 3);
value('call mautomate.deliver()');
is(value(q[select count(*) from mautomate.messages
	where idempotency_key like 'other%' and state = 'sent']), 3,
	'the clock stands still: the others are sent');
my $sent = q[select count(*) from mautomate.messages
	where idempotency_key like 'still%' and state = 'sent'];
cmp_ok(value($sent), '<=', 20, 'those with a limit are not');
is(value(q[select distinct due_at from mautomate.messages
	where idempotency_key like 'still%' and due_at is not null]), 'infinity',
	'they wait for the real clock');
like(value(q[select string_agg(e.detail, ' ')
	from mautomate.explain_message('slow', 'hello') e]),
	qr/waits for its turn, for the rate of slow.example/,
	'explain_message tells');
value(q[select count(mautomate.cancel_message(message_id))
	from mautomate.messages where idempotency_key like 'still%'
	and message_id > (select min(message_id) + 25 from mautomate.messages
		where idempotency_key like 'still%') and due_at is not null]);
value('select mautomate.start()');
my $before = value($sent);
ok($node->poll_query_until('postgres', "select ($sent) >= $before + 2"),
	'who sleeps wakes when the token comes');
value('select mautomate.stop()');
$node->poll_query_until('postgres', q[select count(*) = 0
	from mautomate.stat_workers]);
value('select mautomate.set_clock(null)');
value('call mautomate.deliver()');
is(value(q[select count(*) from mautomate.messages where due_at = 'infinity']),
	0, 'none waits any more for what the clock says');
cmp_ok(value(q[select count(*) from mautomate.messages
	where due_at between now() and now() + '1 hour']), '>', 10,
	'but for its time');
$server->{harness}->finish;

$node->stop;
done_testing();
