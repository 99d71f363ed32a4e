# Mail servers nobody here wrote, and addresses nobody would wish for: through
# SQL to the wire.
use strict;
use warnings;

use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

local $ENV{PATH} = "/usr/bin:$ENV{PATH}";    # Debian's Python
my $folder = PostgreSQL::Test::Utils::tempdir;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--encoding=UTF8']);
$node->append_conf('postgresql.conf',
	"mautomate.secrets_directory = '$folder'");
$node->start;
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';

sub value { return $node->safe_psql('postgres', shift); }

sub secret
{
	open my $file, '>', "$folder/password" or die $!;
	print $file shift;
	close $file;
}

# Starts a server; its harness and port.
sub server
{
	my ($mode, $out) = @_;
	my ($in, $said, $err) = ('', '', '');
	my $harness = IPC::Run::start(
		[ 'python3', 'test/transport/foreign.py', "$folder/cert",
			"$folder/key", $mode, $out ],
		'<', \$in, '>', \$said, '2>', \$err, IPC::Run::timeout(180));
	$harness->pump until $said =~ /port (\d+)\n/;
	return ($harness, $1 + 0);
}

# The channel has these settings from now on.
sub channel
{
	my $json = JSON::PP->new->canonical->encode(
		{ from => 'shop@example.com', host => 'localhost', user => 'me',
			ca_file => "$folder/cert", password_file => 'password', @_ });
	value("select mautomate.create_channel('mail', 'smtp', '$json')");
}

# Sends one message; its state and reason or reply.
sub send_one
{
	my $id = value(q[select mautomate.send('ann', 'hello')]);
	value('call mautomate.deliver()');
	return value("select state, coalesce(reply, reason)
		from mautomate.messages where message_id = $id");
}

# What has arrived last.
sub last_mail
{
	my @lines = split /\n/, -e $_[0] ? slurp_file($_[0]) : '';
	return @lines ? decode_json($lines[-1]) : {};
}

value('create extension mautomate');

SKIP:
{
	skip 'no aiosmtpd: apt-get install python3-aiosmtpd', 1
	  if system("python3 -c 'import aiosmtpd' 2>/dev/null") != 0;

	system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
		'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
		'-out', "$folder/cert", '-keyout', "$folder/key");
	value(q[select mautomate.arm(); select mautomate.identify('ann',
		'ann@example.com', attributes => '{"first_name": "Ann é"}')]);
	secret("secret\n");
	for my $mode ('starttls', 'smtps')
	{
		my $out = "$folder/$mode.json";
		my ($harness, $port) = server($mode, $out);
		channel(port => $port, tls => $mode);
		value(q[select mautomate.create_template('hello', 'mail',
			subject => 'For {{ contact.first_name }}',
			body => E'Dear {{ contact.first_name }},\n.\nbye',
			transactional => true)]);
		for my $auth ('plain', 'login', 'xoauth2', undef)
		{
			channel(port => $port, tls => $mode,
				$auth ? (auth => $auth) : ());
			my $name = $auth // 'the best';
			is(send_one(), 'sent|250 2.0.0 kept', "$mode, $name: sent");
			my $mail = last_mail($out);
			is(lc $mail->{login}, $auth, "by $name") if $auth;
			ok($mail->{tls}, 'encrypted');
			is($mail->{text}, "Dear Ann \x{e9},\n.\nbye\n", 'whole');
			is($mail->{subject}, "For Ann \x{e9}", 'with its subject');
		}
		unlink "$folder/password";
		is(send_one(), 'pending|', "$mode: no file of the password");
		is( value(q[select paused || ': ' || reason
				from mautomate.stat_channels]),
			'true: cannot use the file "password": No such file or directory',
			'pauses the channel');
		secret("secret\n");
		value(q[select mautomate.resume_channel('mail')]);
		value('call mautomate.deliver()');
		is( value(q[select distinct state from mautomate.messages
				where state <> 'cancelled']), 'sent',
			'which goes on with it');
		secret("wrong");
		like(send_one(), qr/^retry\|(535|greeting: )/, "$mode: wrong password");
		secret("secret");
		value(q[select mautomate.cancel_message(message_id)
			from mautomate.messages where state = 'retry']);
		channel(port => $port, tls => $mode);
		is(send_one(), 'sent|250 2.0.0 kept', 'right again');
		my $before = slurp_file($out);
		channel(port => $port, tls => $mode, ca_file => "$folder/password");
		like(send_one(), qr/^retry\|/, "$mode: a certificate nobody knows");
		channel(port => $port, tls => $mode, host => '127.0.0.1');
		like(send_one(), qr/^retry\|/, "$mode: of another name");
		is(slurp_file($out), $before, 'nothing has arrived');
		value(q[select mautomate.cancel_message(message_id)
			from mautomate.messages where state = 'retry']);

		# the first relay does not answer
		channel(tls => $mode, relays => [ { port => 1, weight => 100 },
				{ port => $port, weight => 1 } ]);
		is(send_one(), 'sent|250 2.0.0 kept', "$mode: by the other relay");
		$harness->finish;
	}
}

SKIP:
{
	my $data = '../shared/data/email_addresses';
	skip "no $data", 1 unless -e $data;

	my ($out, $err) = ('', '');
	my $good = IPC::Run::run([ 'python3', 'test/transport/wire.py', $data ],
		'>', \$out, '2>', \$err, IPC::Run::timeout(180));
	ok($good, 'addresses: what is deliverable arrives, nothing else is said')
	  or diag("$out$err");
	note($out);
}

$node->stop;
done_testing();
