# To a mail server that everybody runs: Postfix, as Debian has it, downloaded
# and not installed (test/transport/postfix.py).
use strict;
use warnings;
use utf8;

use Encode qw(decode encode);
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

local $ENV{PATH} = "/usr/bin:$ENV{PATH}";    # Debian's Python
my $folder = PostgreSQL::Test::Utils::tempdir;
system_or_bail('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes',
	'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
	'-out', "$folder/cert", '-keyout', "$folder/key");
my ($in, $said, $err) = ('', '', '');
my $postfix = IPC::Run::start(
	[ 'python3', 'test/transport/postfix.py', $folder ],
	'<', \$in, '>', \$said, '2>', \$err, IPC::Run::timeout(300));
$postfix->pump until $said =~ /\n/ || !$postfix->pumpable;
if ($said !~ /port (\d+)\n/)
{
	$postfix->finish;
	plan skip_all => $said =~ /skipped: (.*)/ ? $1 : "no Postfix: $err";
}
my $port = $1;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--encoding=UTF8']);
$node->start;

sub value { return decode('UTF-8', $node->safe_psql('postgres', encode('UTF-8', shift))); }

# A text as SQL writes it.
sub quoted { return "'" . (shift =~ s/'/''/gr) . "'"; }

# The channel leads to this port.
sub channel
{
	my %settings = (from => 'shop@example.com',
		from_name => 'Käthe & Söhne', host => 'localhost',
		ca_file => "$folder/cert", tls => 'starttls', @_);
	delete $settings{ca_file} unless $settings{ca_file};
	my $json = JSON::PP->new->encode(\%settings);
	value('select mautomate.create_channel(' . "'mail', 'smtp', "
		  . quoted($json) . ')');
}

# Sends a template to somebody; the number of the message.
sub send_one
{
	my ($who, $template) = @_;
	my $id = value("select mautomate.send('$who', '$template')");
	value('call mautomate.deliver()');
	return $id;
}

sub became
{
	my $id = shift;
	return value("select state, coalesce(reply, reason)
		from mautomate.messages where message_id = $id");
}

# The mails that have arrived for somebody, once so many are there.
sub mails
{
	my ($name, $n) = @_;
	$node->poll_query_until('postgres',
		"select count(*) >= $n from pg_ls_dir('$folder/mail/$name/new')")
	  or diag(slurp_file("$folder/log"));
	my @files = glob "$folder/mail/$name/new/*";
	my ($out, $wrong) = ('', '');
	IPC::Run::run([ 'python3', 'test/transport/maildir.py', @files ],
		'>', \$out, '2>', \$wrong) or die $wrong;
	return map { decode_json($_) } split /\n/, $out;
}

value('create extension mautomate');
channel(port => $port + 0);
value("select mautomate.arm();
	select mautomate.identify(n, n || '\@example.com',
		attributes => '{\"first_name\": \"Ännchen, \\\"the\\\" <x>\"}')
	from unnest('{ann, bob, cleo, grey, nobody}'::text[]) n");

# everything that is difficult in one mail
my $subject = 'Für dich 🎉 ' . join(' ', ('sehr lang und mit Umlauten äöü') x 12);
my $text = join "\n", '.', '..', '. a dot', 'From me to you', '',
  'a  line with two  spaces and an end   ', 'x' x 2000, '日本語 ' x 200,
  '=3D soft=', "\ttab", '>From', '--', '.', '';
my $html = '<p>.</p>' . "\n.\n" . '<a href="https://example.com/?a=1&amp;b=ä">'
  . 'ü' x 3000 . '</a>' . "\n.";
my $bytes = join '', map { chr } 0 .. 255;
my $files = JSON::PP->new->encode([
	{ name => 'Rechnung für Ännchen.pdf', type => 'application/pdf',
		content => encode_base64($bytes x 20, '') },
	{ name => 'dots.txt', type => 'text/plain',
		content => encode_base64(".\r\n..\n.\r\nFrom x\n", '') } ]);
value("select mautomate.create_template('all', 'mail', transactional => true,
	subject => " . quoted($subject) . ', body => ' . quoted($text)
	  . ', html => ' . quoted($html) . ', attachments => ' . quoted($files) . ')');
like(became(send_one('ann', 'all')), qr/^sent\|250 2.0.0 Ok: queued as /,
	'taken');
my ($mail) = mails('ann', 1);
is($mail->{subject}, $subject, 'the subject');
is($mail->{from}, 'Käthe & Söhne <shop@example.com>', 'From');
is($mail->{text} =~ s/\r//gr, $text, 'the text, with its dots');
is($mail->{html} =~ s/\r//gr =~ s/\n*$/\n/r, "$html\n", 'the HTML');
is_deeply([ map { [ $_->{name}, $_->{type}, decode_base64($_->{content}) ] }
		@{ $mail->{files} } ],
	[ [ 'Rechnung für Ännchen.pdf', 'application/pdf', $bytes x 20 ],
	  [ 'dots.txt', 'text/plain', ".\r\n..\n.\r\nFrom x\n" ] ],
	'the files, byte for byte');
unlike($mail->{raw}, qr/[^\x20-\x7e\t\n]/, 'ASCII only');
is((grep { length > 76 } split /\n/, $mail->{raw}), 0, 'in short lines');
like($mail->{received}, qr/using TLSv1/, 'encrypted');
like($mail->{received}, qr/^Return-Path: <shop\@example.com>/, 'the sender');

# the same message again, to a server that keeps the bytes as they come: with
# the clock standing still they are the same
my $kept = "$folder/kept.json";
my ($in2, $said2) = ('', '');
my $sink = IPC::Run::start([ 'python3', 'test/transport/sink.py',
		'--until-eof', '--out', $kept ],
	'<', \$in2, '>', \$said2, IPC::Run::timeout(180));
$sink->pump until $said2 =~ /port (\d+)\n/;
my $other = $1;
value(q[select mautomate.set_clock('2030-05-06 07:08:09')]);
my $id = send_one('bob', 'all');
channel(port => $other + 0, tls => 'none');
value("select mautomate.resend_message($id)");
value('call mautomate.deliver()');
$sink->finish;
my ($bob) = mails('bob', 1);
my ($line) = split /\n/, slurp_file($kept);
is($bob->{raw}, decode_json($line)->{data} =~ s/\r\n/\n/gr,
	'arrives as it was sent, byte for byte');
value('select mautomate.set_clock(null)');
channel(port => $port + 0);

# many at once, each in a mail of its own
value(q[select mautomate.create_template('hello', 'mail', subject => 'Hi',
	body => 'Hi {{ context.n }}', transactional => true);
	select count(mautomate.send('cleo', 'hello', jsonb_build_object('n', n)))
	from generate_series(1, 50) n]);
value('call mautomate.deliver()');
is(value(q[select count(*) from mautomate.messages
	where external_id = 'cleo' and state = 'sent']), 50, 'fifty are taken');
my @all = sort { $a <=> $b } map { $_->{text} =~ /Hi (\d+)/ } mails('cleo', 50);
is("@all", join(' ', 1 .. 50), 'fifty arrive, each once');
unlike(join('', map { $_->{to} } mails('cleo', 50)), qr/ann|bob/, 'each alone');

# refused for good, and for now
like(became(send_one('nobody', 'hello')),
	qr/^failed\|550 5\.1\.1 <nobody\@example.com>.*User unknown/, 'unknown');
channel(port => $port + 0, helo => 'early.example.com');
$id = send_one('grey', 'hello');
like(became($id), qr/^retry\|450 4\.7\.1 .*come back later/, 'put off');
channel(port => $port + 0);
value(q[select mautomate.set_clock(mautomate.clock() + '2 minutes')]);
value('call mautomate.deliver()');
like(became($id), qr/^sent\|250 /, 'taken at the second try');
value('select mautomate.set_clock(null)');
is(scalar(mails('grey', 1)), 1, 'and there once');
value(q[select mautomate.create_template('large', 'mail', subject => 'Large',
	body => repeat('0123456789', 11000), transactional => true)]);
like(became(send_one('ann', 'large')), qr/^failed\|552 5\.3\.4 /, 'too large');
like(became(send_one('ann', 'hello')), qr/^sent\|/, 'what follows is taken');

# nobody else's certificate, nor another name
for my $wrong ([ ca_file => undef ], [ host => '127.0.0.1' ])
{
	channel(port => $port + 0, @$wrong);
	like(became(send_one('ann', 'hello')), qr/^retry\|/,
		"not with $wrong->[0] wrong");
}
is(scalar(mails('ann', 2)), 2, 'none of these arrived');

$node->stop;
$postfix->finish;
done_testing();
