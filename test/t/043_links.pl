# Links and headers of a mail as they stand on the wire, and what the page
# behind the link to unsubscribe does.
use strict;
use warnings;

use IPC::Run;
use MIME::Base64 qw(decode_base64url encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
my $secrets = $node->basedir . '/secrets';
mkdir $secrets;
$node->init;
$node->append_conf('postgresql.conf',
	"mautomate.secrets_directory = '$secrets'");
$node->start;

sub value { return $node->safe_psql('postgres', shift); }

# The error of a statement.
sub failure
{
	my ($stdout, $stderr);
	$node->psql('postgres', shift, stdout => \$stdout, stderr => \$stderr);
	return $stderr;
}

sub create_channel
{
	my ($port, $links) = @_;
	return qq[select mautomate.create_channel('mail', 'smtp',
		'{"host": "127.0.0.1", "port": $port, "tls": "none",
		  "from": "shop\@example.com", "links": "$links",
		  "unsubscribe": "leave\@example.com", "list_id": "news.example.com",
		  "feedback_id": "shop"}')];
}

sub write_key
{
	my $key = shift;
	unlink "$secrets/token_key";
	append_to_file("$secrets/token_key", "$key\n");
}

value('create extension mautomate');
value('select mautomate.arm()');

# without a key there are no links
my $pages = 'https://example.com/mail/';
like(failure(create_channel(1, $pages)), qr/cannot use the key file/,
	'no key');
write_key('short');
like(failure(create_channel(1, $pages)), qr/at least 16 characters/,
	'a key that can be guessed');
write_key('one key of the shop, and a secret one');
for my $bad ('example.com', 'javascript:x', 'https://', 'https://a/?b')
{
	like(failure(create_channel(1, $bad)), qr/must be a URL/, "no URL: $bad");
}

my $out = $node->basedir . '/out.json';
my ($in, $said, $err) = ('', '', '');
my $sink = IPC::Run::start(
	[ 'python3', 'test/transport/sink.py', '--until-eof', '--out', $out ],
	\$in, \$said, \$err, IPC::Run::timeout(180));
$sink->pump until $said =~ /port (\d+)\n/;
value(create_channel($1, $pages));
value(q[select mautomate.create_template('news', 'mail', subject => 'News',
	html => '<p>New!</p><a href="{{ links.unsubscribe }}">Leave</a>',
	body => 'New! {{ links.unsubscribe }}', transactional => true);
	select mautomate.create_template('bill', 'mail', subject => 'Bill',
	body => 'Pay', transactional => true);
	select mautomate.identify('ann', 'ann@example.com'),
	mautomate.identify('bob', 'bob@example.com')]);
like( value(q[select mautomate.preview_template('news', 'ann') ->> 'body']),
	qr{^New! https://example.com/mail/unsubscribe/[\w-]{44}$},
	'a preview shows how links look');
value(q[select mautomate.send('ann', 'news'), mautomate.send('bob', 'bill')]);
value('call mautomate.deliver()');
$sink->finish;
my %mails;
for my $mail (split /(?=Return-Path:|Date:)/, slurp_file($out) =~ s/\\r\\n/\n/gr)
{
	$mails{$1} = $mail if $mail =~ /To: (\w+)@/;
}

# headers: one click where the reader sees the link as well
my $token;
like($mails{ann},
	qr{^List-Unsubscribe: <https://example.com/mail/unsubscribe/([\w-]{44})>,\s+<mailto:leave\@example.com\?subject=unsubscribe>$}m,
	'List-Unsubscribe');
($token) = $mails{ann} =~ m{unsubscribe/([\w-]{44})>};
like($mails{ann}, qr/^List-Unsubscribe-Post: List-Unsubscribe=One-Click$/m,
	'with one click');
like($mails{ann}, qr/^List-Id: <news.example.com>$/m, 'List-Id');
like($mails{ann}, qr/^Feedback-ID: news:mail:shop$/m, 'Feedback-ID');
unlike($mails{bob}, qr/List-Unsubscribe-Post|unsubscribe\//,
	'none in a mail that does not show the link');
like($mails{bob}, qr/^List-Unsubscribe: <mailto:leave\@example.com\?subject=unsubscribe>$/m,
	'but the address');

# what was not made here is refused
sub unsubscribe
{
	my $what = shift;
	return "select r ->> 'event', r ->> 'repeated', r ->> 'suppressed'
		from mautomate.unsubscribe('$what') r";
}
my $bytes = decode_base64url($token);
for my $place (0, 8, 16, 17, 32)
{
	my $other = $bytes;
	substr($other, $place, 1) ^= "\x01";
	like(failure(unsubscribe(encode_base64url($other))),
		qr/the token is not valid/, "changed at byte $place");
}
my ($shown) =
  value(q[select mautomate.preview_template('news', 'ann') ->> 'body'])
  =~ m{([\w-]{44})$};
like(failure(unsubscribe($shown)), qr/not valid/, 'that of a preview');
like(failure(unsubscribe($_)), qr/not valid/, "no token: '$_'")
  for '', 'x', $token . 'x', substr($token, 1), '+' x 44, "\xc3\xa9" x 22;
like(failure("select mautomate.unsubscribe('$token', 'topic')"),
	qr/unknown scope/, 'no topics yet');
is(value('select count(*) from mautomate.suppressions'), 0, 'nothing done');

# she leaves, once; and may leave again when she has come back
is(value(unsubscribe($token)), 'unsubscribed|false|true', 'unsubscribed');
is(value(unsubscribe($token)), 'unsubscribed|true|false', 'twice is once');
is( value(q[select count(*), min(properties ->> 'template')
	from mautomate.timeline('ann') where kind = 'unsubscribed']),
	'1|news', 'an event tells of what');
value(q[select mautomate.send('ann', 'news')]);
value('call mautomate.deliver()');
is(value(q[select state from mautomate.messages order by message_id desc
	limit 1]), 'refused', 'and gets nothing more');
value(q[select mautomate.unsuppress('ann@example.com')]);
is(value(unsubscribe($token)), 'unsubscribed|true|true', 'again later');

# without the key its channel is paused, the messages wait; with it they go
unlink "$secrets/token_key";
value(q[select mautomate.unsuppress('ann@example.com')]);
my $waiting = value(q[select mautomate.send('ann', 'news')]);
value('call mautomate.deliver()');
my $state = "select m.state, m.attempts, s.reason
	from mautomate.messages m join mautomate.stat_channels s using (channel)
	where message_id = $waiting";
is( value($state),
	'pending|0|cannot use the key file "token_key": No such file or directory',
	'no key, no mail');
like( value("select detail from mautomate.explain_message('ann', '$waiting')
	limit 1"), qr/"mail" is paused since .*: cannot use the key file/,
	'explain_message tells why');
write_key('one key of the shop, and a secret one');
value(q[select mautomate.resume_channel('mail');
	select mautomate.cancel_message(] . $waiting . ')');

# a key of the same length at the same time is another one all the same
my $first_key = 'one key of the shop, and a secret one';
my $other_key = $first_key =~ s/one/two/r;
my $path = "$secrets/token_key";
my ($told, $refused) = ('', '');
$node->psql('postgres', unsubscribe($token) . ";
\\! touch -r $path $path.time
\\! printf '$other_key\\n' >$path
\\! touch -r $path.time $path
" . unsubscribe($token) . ";
\\! printf '$first_key\\n' >$path
\\! touch -r $path.time $path
" . unsubscribe($token), stdout => \$told, stderr => \$refused,
	on_error_stop => 0);
is($told, "unsubscribed|true|true\nunsubscribed|true|false",
	'with the key as it was, in one session');
like($refused, qr/^psql:<stdin>:\d+: ERROR:  the token is not valid\n/,
	'and not with the other of the same length and time');

# a new key makes all links worthless, without a restart
write_key('another key: the first one became known');
like(failure(unsubscribe($token)), qr/not valid/, 'signed with another key');

$node->stop;
done_testing();
