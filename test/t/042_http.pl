# Messages on their way over HTTP: what is sent, what an answer means, where
# no request may go.
use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_hex);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
my $secrets = PostgreSQL::Test::Utils::tempdir;
$node->init(extra => ['--encoding=UTF8']);
$node->append_conf('postgresql.conf',
	"mautomate.secrets_directory = '$secrets'");
$node->start;

my $out = "$secrets/out.json";
my ($in, $said) = ('', '');
my $web = IPC::Run::start(
	[ 'python3', 'test/transport/web.py', '--until-eof', '--out', $out ],
	'<', \$in, '>', \$said, IPC::Run::timeout(300));
$web->pump until $said =~ /port (\d+)\n/;
my $url = "http://127.0.0.1:$1";
my $tried = 0;

sub value { return $node->safe_psql('postgres', shift); }

# Writes a file with a secret.
sub secret
{
	my ($name, $text) = @_;
	open my $file, '>', "$secrets/$name" or die $!;
	print $file $text;
	close $file;
}

# The channel has these settings from now on.
sub channel
{
	my ($name, %settings) = @_;
	my $json = JSON::PP->new->canonical->encode(
		{ allow_private => JSON::PP::true, %settings });
	$json =~ s/'/''/g;
	return value("select mautomate.create_channel('$name', 'http', '$json')");
}

# Sends one message to Ann; its number.
sub send_one
{
	my ($template, $context) = @_;
	$context //= '{}';
	$tried += () = requests();
	my $id = value(
		"select mautomate.send('ann', '$template', \$\$$context\$\$)");
	value('call mautomate.deliver()');
	return $id;
}

# What the server has seen since.
sub requests
{
	return () unless -e $out;
	my @all = map { decode_json($_) } split /\n/, slurp_file($out);
	my @new = splice @all, $tried;
	return @new;
}

# What became of a message.
sub became
{
	my $id = shift;
	return value("select state, reply from mautomate.messages
		where message_id = $id");
}

value('create extension mautomate');
value(q[select mautomate.arm();
	select mautomate.identify('ann', 'ann@example.com', '+33 6 12 34 56 78',
		'{"first_name": "An\"n é", "likes": ["a", 1], "device": "d/1?x=2"}');
	select mautomate.identify('bob', 'bob@example.com')]);

# a webhook: the whole message, signed
secret('key', "s3cret\n");
channel('hook', preset => 'webhook', url => "$url/hook",
	sign => { file => 'key' });
value(q[select mautomate.create_template('hook', 'hook', subject => 'For {{ contact.first_name }}',
	body => 'Hi {{ contact.first_name }}', payload => '{"n": {"=": "context.n"}}',
	transactional => true)]);
my $id = send_one('hook', '{"n": 7}');
my ($got) = requests();
is(became($id), 'sent|200 ', 'webhook: sent');
is("$got->{method} $got->{path}", 'POST /hook', 'posted');
my $body = JSON::PP->new->decode($got->{body});
is($body->{id}, $id, 'with its number');
is($body->{text}, "Hi An\"n \x{e9}", 'a text, safely quoted');
is($body->{n}, 7, 'the payload over it, values as they are');
is_deeply($body->{contact}{likes}, [ 'a', 1 ], 'the contact');
is($got->{headers}{'content-type'}, 'application/json', 'as JSON');
is($got->{headers}{'idempotency-key'}, $body->{key}, 'Idempotency-Key');
my $time = $got->{headers}{'x-timestamp'};
cmp_ok(abs($time - time), '<', 60, 'when it was sent');
utf8::encode(my $bytes = $got->{body});
is($got->{headers}{'x-signature'},
	'sha256=' . hmac_sha256_hex("$time.$bytes", 's3cret'), 'signed');

# an SMS gateway; its id of the message, by which it calls back
secret('token', 'abc');
channel('sms', preset => 'sms', from => 'Shop', token => { file => 'token' },
	url => "$url/sms?body={\"id\":\"m-77\"}");
value(q[select mautomate.create_template('sms', 'sms',
	body => 'Code {{ context.code }}', transactional => true)]);
$id = send_one('sms', '{"code": "x\"}\n"}');
($got) = requests();
is_deeply(JSON::PP->new->decode($got->{body}),
	{ from => 'Shop', to => '+33612345678', text => "Code x\"}\n" },
	'SMS: to the phone number');
is($got->{headers}{authorization}, 'Bearer abc', 'with the token');
is(value("select address from mautomate.messages where message_id = $id"),
	'+33612345678', 'the address is the phone number');
is(value(q[select mautomate.handle_status('sms', 'm-77', 'delivered') ->> 'message_id']),
	$id, 'a callback with the id of the gateway finds the message');
is(value(q[select mautomate.handle_status('sms', 'm-77', 'hard_bounce') ->> 'suppressed']),
	'true', 'a dead number is suppressed');
is(value(q[select reason from mautomate.messages where message_id = ] . send_one('sms')),
	'suppressed: hard bounce', 'and sent nothing any more');
value(q[select mautomate.unsuppress('+33612345678')]);
value(q[select mautomate.handle_inbound('sms', '+33612345678', 'Stop')]);
is(became(send_one('sms')), 'refused|', 'STOP is obeyed');
value(q[select mautomate.handle_inbound('sms', '+33612345678', 'START')]);
is(became(send_one('sms')), 'sent|200 {"id":"m-77"}', 'and so is START');
value(q[select mautomate.send('bob', 'sms')]);
value('call mautomate.deliver()');
is(value(q[select reason from mautomate.messages where external_id = 'bob']),
	'no phone number', 'who has none is sent none');

# the token is read again for each request
secret('token', "new\n");
send_one('sms');
($got) = requests();
is($got->{headers}{authorization}, 'Bearer new', 'a new token is used at once');

# without it the channel is paused, and its messages wait
sub pauses
{
	my ($channel, $template, $why, $mend) = @_;
	my $id = send_one($template);
	is( value("select m.state, m.attempts, s.paused, s.reason
			from mautomate.messages m
			join mautomate.stat_channels s using (channel)
			where message_id = $id"),
		"pending|0|t|$why", "paused: $why");
	is(scalar(requests()), 0, 'nothing was sent');
	is( value("select paused from mautomate.outbox_status
			where channel = '$channel'"), $why, 'outbox_status tells why');
	my $told = value("select (e).passed, (e).detail, (e).fix
		from mautomate.explain_message('ann', '$id') e limit 1");
	is($told =~ s/ since .*: c/ since ...: c/r,
		qq(f|"$channel" is paused since ...: $why|)
		. "select mautomate.resume_channel('$channel');",
		'explain_message tells on top');
	value("select mautomate.resume_channel('$channel')");
	value('call mautomate.deliver()');
	is(value("select paused from mautomate.stat_channels
			where channel = '$channel'"), 't', 'resumed too early');
	$mend->();
	value('call mautomate.deliver()');
	is(became($id), 'pending|', 'waits to be resumed');
	value("select mautomate.resume_channel('$channel')");
	value('call mautomate.deliver()');
	like(became($id), qr/^sent\|/, 'and is sent then');
	return;
}

my $missing = 'cannot use the file "token": ';
unlink "$secrets/token";
pauses('sms', 'sms', $missing . 'No such file or directory',
	sub { secret('token', "new\n"); });
secret('token', '');
pauses('sms', 'sms', $missing . 'it is empty', sub { secret('token', 'new'); });
secret('token', "two\nlines\n");
pauses('sms', 'sms', $missing . 'it is not one line',
	sub { secret('token', 'new'); });
unlink "$secrets/token";
mkdir "$secrets/token";
pauses('sms', 'sms', $missing . 'it is not a file',
	sub { rmdir "$secrets/token"; secret('token', "new\n"); });
secret('token', 'x' x 5000);
pauses('sms', 'sms', $missing . 'it is too large',
	sub { secret('token', "new\n"); });
unlink "$secrets/key";
pauses('hook', 'hook', 'cannot use the file "key": No such file or directory',
	sub { secret('key', "s3cret\n"); });

# who has nothing to send is not paused
unlink "$secrets/token";
value('call mautomate.deliver()');
is(value('select count(*) from mautomate.stat_channels where paused'), 0,
	'nothing to send');
secret('token', "new\n");

# URLs, headers, forms, other addresses
channel('push', url => "$url/{{ contact.device }}/{{ message.to | raw }}",
	to => 'device', method => 'PUT', form => { a => '{{ contact.first_name }}',
		b => { '=' => 'contact.likes' }, c => { '=' => 'contact.nothing' } },
	headers => { 'X-Name' => '{{ contact.first_name }}', 'X-None' => '{{ contact.none }}' },
	user => 'me', password_file => 'key');
value(q[select mautomate.create_template('push', 'push', body => 'x',
	transactional => true)]);
$id = send_one('push');
($got) = requests();
is($got->{path}, '/d%2F1%3Fx%3D2/d/1?x=2', 'outputs in URLs are encoded');
is($got->{body}, 'a=An%22n+%C3%A9&b=%5B%22a%22%2C+1%5D', 'a form');
is($got->{headers}{authorization}, 'Basic bWU6czNjcmV0', 'user and password');
is(exists $got->{headers}{'x-none'}, '', 'an empty header is none');
value(q[select mautomate.identify('ann', attributes => '{"first_name": "a\nX-Evil: 1"}')]);
$id = send_one('push');
is(value("select state, reason from mautomate.messages where message_id = $id"),
	'failed|header "X-Name" holds a control character',
	'a line end in a header is refused');
is(scalar(requests()), 0, 'and never sent');
secret('hidden', "$url/very-secret\n");
channel('chat', preset => 'slack', url_file => 'hidden');
value(q[select mautomate.create_template('chat', 'chat', body => 'Ann & Bob',
	transactional => true)]);
is(became(send_one('chat')), 'sent|200 ', 'chat: sent');
($got) = requests();
is("$got->{path} $got->{body}", '/very-secret {"text": "Ann & Bob"}',
	'to an URL in a file');
channel('toot', preset => 'mastodon', url => "$url/api/v1/statuses?body={\"id\":\"114\"}",
	token => { file => 'token' });
value(q[select mautomate.create_template('toot', 'toot', body => 'New!',
	payload => '{"visibility": "unlisted"}', transactional => true)]);
$id = send_one('toot');
($got) = requests();
is($got->{body}, '{"status": "New!", "visibility": "unlisted"}', 'a post');
is(value(q[select mautomate.handle_status('toot', '114', 'delivered') ->> 'message_id']),
	$id, 'known by its id');

# ids and replies in any script; what is not UTF-8 breaks nothing
my $odd = "$url/sms?body={\"id\":\"%c3%a9-%5Cu00e9-%5Cud83d%5Cude00"
  . '%5Cud83d-%ff-%c2%9b"}';
channel('ids', preset => 'sms', from => 'Shop', url => $odd);
value(q[select mautomate.create_template('ids', 'ids', body => 'x',
	transactional => true)]);
$id = send_one('ids');
is(value("select m.provider_id = U&'\\00e9-\\00e9-\\+01f600?-?-??'
	from mautomate_internal.message m where message_id = $id"), 't',
	'the id of a gateway is kept as it is');
is( value(q[select mautomate.handle_status('ids',
		U&'\00e9-\00e9-\+01f600?-?-??', 'delivered') ->> 'message_id']),
	$id, 'and found');
like(became($id), qr/\{"id":"\xc3\xa9-/, 'the reply too');

# the channel's templates see what the functions of the template say
value(q[create function public.basket(text, jsonb) returns jsonb language sql
	stable return jsonb_build_object('items', 3, 'of', $1)]);
channel('data', url => "$url/basket/{{ basket.of }}",
	headers => { 'X-Items' => '{{ basket.items }}' },
	body => { n => { '=' => 'basket.items' }, text => '{{ message.body }}' });
value(q[select mautomate.create_template('data', 'data',
	body => '{{ basket.items }} items', transactional => true,
	data => '{"basket": "public.basket(text,jsonb)"}')]);
is(became(send_one('data')), 'sent|200 ', 'functions of templates: sent');
($got) = requests();
is("$got->{path} $got->{headers}{'x-items'} $got->{body}",
	'/basket/ann 3 {"n": 3, "text": "3 items"}', 'in URL, header and body');
is( value(q[select mautomate.preview_template('data', 'ann') -> 'request' ->> 'url']),
	"$url/basket/ann", 'in a preview too');

# what the answers mean
my %waits;
for my $case (
	[ 'status=201&body=fine',          {}, 'sent|201 fine' ],
	[ 'status=404&body=nobody',        {}, 'failed|404 nobody' ],
	[ 'status=500',                    {}, 'retry|500 ' ],
	[ 'status=429&header=Retry-After:7200', {}, 'retry|429 ' ],
	[ 'status=302&header=Location:http://127.0.0.1/', {},
		'failed|302 a redirect, and they are not followed' ],
	[ 'close',                         {}, 'in_doubt|' ],
	[ 'status=404',  { retry => { status => [404] } }, 'retry|404 ' ],
	[ 'status=409',  { success => { status => [ 200, 409 ] } }, 'sent|409 ' ],
	[ 'body={"ok":true}',  { success => { path => 'ok' } }, 'sent|200 {"ok":true}' ],
	[ 'body={"ok":false}', { success => { path => 'ok' } }, 'failed|200 {"ok":false}' ],
	[ 'body={}',           { success => { path => 'ok' } }, 'failed|200 {}' ],
	[ 'body={"m":[{"s":"0"}]}', { success => { path => '$.m[0].s', equals => 0 } },
		'sent|200 {"m":[{"s":"0"}]}' ],
	[ 'body={"m":[{"s":9}]}', { success => { path => 'm.0.s', equals => '0' },
			retry => { equals => [ 1, 9 ] } }, 'retry|200 {"m":[{"s":9}]}' ])
{
	my ($query, $settings, $expected) = @$case;
	channel('case', url => "$url/case?$query", %$settings);
	value(q[select mautomate.create_template('case', 'case', body => 'x',
		transactional => true)]);
	$id = send_one('case');
	is(became($id), $expected, "$query: $expected");
	is(scalar(requests()), 1, 'asked once');
	$waits{$query} = value("select extract(epoch from due_at - mautomate.clock())::int
		from mautomate.messages where message_id = $id");
}
cmp_ok($waits{'status=429&header=Retry-After:7200'}, '>', 7100,
	'Retry-After is honoured');
cmp_ok($waits{'status=500'}, '<', 90, 'without one it is a minute or so');
value(q[select mautomate.cancel_message(message_id) from mautomate.messages
	where due_at is not null]);

# the same request again: the same key
channel('case', url => "$url/again?status=503&times=1");
$id = send_one('case');
value(q[select mautomate.set_clock(mautomate.clock() + '10 minutes')]);
value('call mautomate.deliver()');
is(became($id), 'sent|200 ', 'sent at the second try');
my @both = requests();
is(scalar(@both), 2, 'two requests');
is($both[0]{headers}{'idempotency-key'}, $both[1]{headers}{'idempotency-key'},
	'with one key');

# no request goes to a private address
my $port = $url =~ s/.*://r;
for my $host ('127.0.0.1', '127.1', '0x7f000001', '2130706433', 'localhost',
	'[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '0.0.0.0')
{
	channel('case', url => "http://$host:$port/private",
		allow_private => JSON::PP::false);
	$id = send_one('case');
	is(value("select state, reason from mautomate.messages where message_id = $id"),
		'failed|the address is private or reserved', "not to $host");
}
is(scalar(grep { $_->{path} =~ /private/ } requests()), 0, 'none arrived');
value('create role marketing; create role boss');
value(q[select mautomate.grant_access('boss', 'admin')]);
my ($rc, $stdout, $stderr) = $node->psql('postgres', qq[set role boss;
	select mautomate.create_channel('x', 'http', '{"url": "$url", "allow_private": true}')]);
like($stderr, qr/only superusers may let channel "x" reach private addresses/,
	'an admin cannot allow them');

# trying things out: nothing goes where it should not
value(q[select mautomate.arm("only" => '{+33612345678}')]);
is(became(send_one('sms')), 'sent|200 {"id":"m-77"}', 'armed for a number');
is(became(send_one('chat')), 'refused|', 'but not for where no number leads');
value(q[select mautomate.arm(redirect => '+33 6 99 99 99 99')]);
send_one('sms');
($got) = requests();
is(JSON::PP->new->decode($got->{body})->{to}, '+33699999999', 'redirected');
value(q[select mautomate.arm(redirect => 'me@example.com')]);
is(value('select reason from mautomate.messages where message_id = '
		. send_one('sms')),
	'redirected to an address that the channel cannot reach',
	'no mail becomes an SMS');

# what a database cannot hold is a question mark there
value(q[create database latin encoding 'LATIN1' locale 'C' template template0]);
my $settings = JSON::PP->new->encode({ preset => 'sms', from => 'Shop',
		allow_private => JSON::PP::true, url => $odd });
$node->safe_psql('latin', qq[create extension mautomate;
	select mautomate.arm();
	select mautomate.create_channel('ids', 'http', '$settings');
	select mautomate.create_template('ids', 'ids', body => 'x',
		transactional => true);
	select mautomate.identify('ann', phone => '+33 6 12 34 56 78');
	select mautomate.send('ann', 'ids');
	call mautomate.deliver()]);
is( $node->safe_psql('latin', q[select convert_to(provider_id, 'LATIN1')
		from mautomate_internal.message]),
	'\xe92de92d3f3f2d3f2d3f3f', 'in LATIN1');

$node->stop;
$web->finish;
done_testing();

