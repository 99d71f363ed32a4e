# Attached tables through dump and restore: columns have other numbers then,
# and mean what they meant.
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

sub value { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql); }

my $who = q{select string_agg(external_id, ' ' order by event_id)
	from mautomate.event join mautomate.contact using (contact_id) where kind = };

# the columns of each table have moved by the dump: some before were dropped
value(q{
	create extension mautomate;
	create schema shop;
	create table shop.orders (gone int, id int primary key, who text, page text);
	alter table shop.orders drop gone;
	create table shop.renamed (gone int, id int primary key, who text, page text);
	alter table shop.renamed drop gone;
	create table shop.cart (gone int, id int primary key, who text, note text);
	create table shop.item (gone int, id int primary key, cart int references shop.cart);
	alter table shop.cart drop gone;
	alter table shop.item drop gone;
	create table shop.visit (gone int, id int, who text, page text, primary key (id)) partition by range (id);
	alter table shop.visit drop gone;
	create table shop.visit_1 partition of shop.visit for values from (0) to (100);
	create table shop.left_over (gone int, id int primary key, who text, page text);
	select mautomate.attach_events('shop.orders', 'order', 'who'),
		mautomate.attach_events('shop.renamed', 'renamed', 'who'),
		mautomate.attach_events('shop.item', 'item', 'who', via => 'shop.cart'),
		mautomate.attach_events('shop.visit', 'visit', 'who', properties => 'page'),
		mautomate.attach_events('shop.left_over', 'left_over', 'who'),
		mautomate.attach_contacts('shop.orders', 'who', on_delete => 'erase');
	insert into shop.orders values (1, 'a', 'p');
	insert into shop.cart values (1, 'c', 'n');
	insert into shop.item values (1, 1);
	insert into shop.visit values (1, 'v', 'p');
	alter table shop.renamed rename who to visitor;
	insert into shop.renamed values (1, 'r', 'p');
	alter table shop.left_over drop who;
	insert into shop.left_over values (1, 2, 'p');
});
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'dump');
value('create database copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy',
	'-f', $dump ], 'restore');

is(value(q{select string_agg(distinct state, ' ') from mautomate.sources}, 'copy'),
	'capturing', 'all sources are there, with their triggers');
is(value('select count(*) from mautomate.event', 'copy'), '4', 'and the events');
value(q{truncate mautomate_internal.error;
	insert into shop.orders values (1, 'a', 'p') on conflict do nothing;
	insert into shop.orders values (2, 'b', 'p');
	insert into shop.item values (2, 1);
	update shop.cart set who = 'd';
	insert into shop.visit values (2, 'w', 'q');
	insert into shop.visit_1 values (3, 'x', 'q')}, 'copy');
is(value("$who 'order'", 'copy'), 'a b', 'the column is the one it was');
is(value("$who 'item'", 'copy'), 'c c', 'and of the row pointed to');
is(value("$who 'visit'", 'copy'), 'v w x', 'and of partitions');
value(q{insert into shop.renamed values (2, 's', 't');
	insert into shop.left_over values (2, 3, 'p')}, 'copy');
is(value("$who 'renamed'", 'copy'), 'r', 'one that was renamed is not mistaken');
is(value(q{select string_agg(object || ': ' || message, ', ' order by object) from mautomate.errors}, 'copy'),
	'source "shop.left_over.left_over": column "who" does not exist, '
	. 'source "shop.renamed.renamed": column "who" does not exist',
	'but noted, like one that was dropped');
is(value(q{select mautomate.attach_events('shop.renamed', 'renamed', 'visitor')}, 'copy'),
	'changed', 'until it is attached as it is now');
is(value("$who 'renamed'", 'copy'), 'r s', 'which reads what was missed, once');
is(value(q{select mautomate.attach_events('shop.orders', 'order', 'who')}, 'copy'),
	'changed', 'attaching one again');
is(value("$who 'order'", 'copy'), 'a b', 'doubles nothing');
value(q{delete from shop.orders where who = 'b'}, 'copy');
is(value("$who 'order'", 'copy'), 'a', 'deleted rows still erase');
value(q{create table shop.visit_2 partition of shop.visit for values from (100) to (200);
	insert into shop.visit_2 values (100, 'y', 'q')}, 'copy');
is(value("$who 'visit'", 'copy'), 'v w x y', 'new partitions are captured');

# the whole goes away, and the tables stay
value('drop extension mautomate cascade', 'copy');
is(value(q{select count(*) from pg_trigger where tgname like 'mautomate%'}, 'copy'),
	'0', 'no trigger is left');
value(q{create table shop.t (id int); insert into shop.visit_1 values (50, 'z', 'q')}, 'copy');
is(value('select count(*) from shop.visit', 'copy'), '5', 'and life goes on');

$node->stop;
done_testing();
