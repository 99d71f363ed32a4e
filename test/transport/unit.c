/*
 * unit.c
 *	  Unit tests of the transport's parts that need no network: frames,
 *	  messages, replies, configuration. Prints TAP. Built by run, together
 *	  with those parts.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/transport/config.h"
#include "../../src/transport/json.h"
#include "../../src/transport/sha256.h"
#include "../../src/transport/relay.h"
#include "../../src/transport/frame.h"
#include "../../src/transport/mail.h"
#include "../../src/transport/private.h"
#include "../../src/transport/reply.h"

static int	number = 0;
static int	failures = 0;

/* Prints the result of one test. */
static void
ok(bool good, const char *name)
{
	number++;
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", number, name);
}

/* A frame that holds these bytes; its payload is freed by its taker. */
static Frame
frame_of(char type, const char *bytes, size_t len)
{
	Frame		frame = {.type = type, .len = len};

	frame.payload = malloc(len + 1);
	memcpy(frame.payload, bytes, len);
	return frame;
}

/* The next frame, or that there is none. */
static FrameRead
take(FrameReader *reader, Frame *frame)
{
	FrameRead	got;

	while ((got = frame_read(reader, frame)) == FRAME_PART)
		if (!frame_fill(reader))
			break;
	return got;
}

/* Frames go through a pipe whole and in pieces. */
static void
test_frames(void)
{
	int			ends[2];
	FrameReader *reader = calloc(1, sizeof(*reader));
	Frame		frame;
	int64_t		id;
	Result		taken = {MA_OUTCOME_SENT, 250, 9, "id", "ok"};
	Result		refused = {.outcome = MA_OUTCOME_PERMANENT, .code = 550};

	memset(refused.text, 'x', MA_TEXT_MAX);
	memset(refused.provided, 'y', MA_PROVIDED_MAX);
	if (pipe(ends) != 0)
		exit(1);
	reader->fd = ends[0];
	frame_add_ending(ends[1], INT64_MIN + 5);
	frame_add_result(ends[1], -1, &taken);
	frame_add_result(ends[1], 7, &refused);
	frame_add_broken(ends[1], "");
	frame_flush(ends[1]);
	if (write(ends[1], "\0\0\0\6C\0", 6) != 6)
		exit(1);
	close(ends[1]);

	ok(take(reader, &frame) == FRAME_READ && frame.type == 'E' &&
	   frame_take_id(&frame, &id) && id == INT64_MIN + 5 &&
	   frame.taken == frame.len && !frame_take_id(&frame, &id), "ENDING");
	free(frame.payload);
	ok(take(reader, &frame) == FRAME_READ && frame.type == 'R' &&
	   frame_take_id(&frame, &id) && id == -1 && frame.len == 25 &&
	   memcmp(frame.payload + 8, "\1\0\0\0\372\0\0\0\11\0\0\0\2idok",
			  17) == 0, "RESULT");
	free(frame.payload);
	ok(take(reader, &frame) == FRAME_READ &&
	   frame.len == 21 + MA_PROVIDED_MAX + MA_TEXT_MAX, "the longest result");
	free(frame.payload);
	ok(take(reader, &frame) == FRAME_READ && frame.type == 'B' &&
	   frame.len == 0, "BROKEN");
	free(frame.payload);
	ok(take(reader, &frame) == FRAME_PART && !frame_fill(reader),
	   "half a frame is the end");
	free(reader->frame.payload);
	close(ends[0]);
	free(reader);
}

/* Strings that do not fit into their frame are not read. */
static void
test_strings(void)
{
	static const char *const bad[] = {"", "\0\0\0", "\0\0\0\1",
		"\xff\xff\xff\xff" "abcdefgh", "\0\0\0\3a\0b"};
	static const size_t lens[] = {0, 3, 4, 12, 7};

	for (int i = 0; i < 5; i++)
	{
		Frame		frame = frame_of('C', bad[i], lens[i]);
		char	   *string = frame_take_string(&frame);

		ok(string == NULL, "a string that is none");
		free(string);
		free(frame.payload);
	}
}

/* A message of these parts, not yet checked. */
static Mail *
mail_of(const char *sender, const char *recipient, const char *body,
		size_t len)
{
	Mail	   *mail = calloc(1, sizeof(*mail));

	mail->sender = strdup(sender);
	mail->recipient = strdup(recipient);
	mail->payload = malloc(len + 1);
	memcpy(mail->payload, body, len);
	mail->body = mail->payload;
	mail->body_len = len;
	return mail;
}

/* Is this recipient taken, and as what? NULL: refused. */
static void
test_address(const char *address, const char *wanted)
{
	Mail	   *mail = mail_of("", address, "x\r\n", 3);
	const char *wrong = mail_check(mail);

	ok(wanted == NULL ? wrong != NULL :
	   wrong == NULL && strcmp(mail->recipient, wanted) == 0, address);
	mail_free(mail);
}

/* What may and may not stand in an envelope. */
static void
test_addresses(void)
{
	test_address("a@b", "a@b");
	test_address("o'neil+x=y@example.com", "o'neil+x=y@example.com");
	test_address("\"a@b\"@example.com", "\"a@b\"@example.com");
	test_address("x@[127.0.0.1]", "x@[127.0.0.1]");
	test_address("x@straße.example", "x@xn--strae-oqa.example");
	test_address("jörg@b\xc3\xbc" "cher.example",
				 "jörg@xn--bcher-kva.example");
	test_address("x@\xff.example", NULL);
	test_address("x@a\u200bb\xe2\x80\xae.example", NULL);
	test_address("", NULL);
	test_address("@", NULL);
	test_address("x@", NULL);
	test_address("x", NULL);
	test_address("<x@y>", NULL);
	test_address("x@y>", NULL);
	test_address("x y@z", NULL);
	test_address("x@y\r", NULL);
	test_address("x@y\n", NULL);
	test_address("x@y\x1b", NULL);
}

/* Does checking make of this body that one? */
static void
test_body(const char *body, const char *wanted, const char *name)
{
	Mail	   *mail = mail_of("", "a@b", body, strlen(body));

	ok(mail_check(mail) == NULL && mail->body_len == strlen(wanted) &&
	   memcmp(mail->body, wanted, mail->body_len) == 0, name);
	mail_free(mail);
}

/* Every line ends in CRLF, and no byte else changes. */
static void
test_bodies(void)
{
	Mail	   *mail = mail_of("", "a@b", "a\0b\r\n", 5);

	ok(mail_check(mail) != NULL, "a NUL is refused");
	mail_free(mail);
	test_body("a\r\n\r\n.\r\n", "a\r\n\r\n.\r\n", "a clean body stays");
	test_body("a", "a\r\n", "an unfinished line");
	test_body("a\n.\n", "a\r\n.\r\n", "bare LF");
	test_body("a\r.\r", "a\r\n.\r\n", "bare CR");
	test_body("a\r\r\n", "a\r\n\r\n", "CR before CRLF");
	test_body("\n", "\r\n", "nothing but LF");
	test_body("\r", "\r\n", "nothing but CR");
	test_body("\n\r", "\r\n\r\n", "LF CR");
	test_body("a\r\nb", "a\r\nb\r\n", "an unfinished last line");
}

/* Is that address private? */
static void
test_private(const char *text, bool wanted)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	bool		is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;

	ok((is_v4 || inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) &&
	   private_address(is_v4 ? (struct sockaddr *) &v4 :
					   (struct sockaddr *) &v6) == wanted, text);
}

/* The edges of what is private, in all the forms that IPv6 has for IPv4. */
static void
test_private_addresses(void)
{
	static const char *const private[] = {"0.0.0.0", "10.255.255.255",
		"100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
		"169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.1",
		"192.168.0.0", "198.18.0.1", "198.19.255.255", "224.0.0.1",
		"255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::127.0.0.1",
		"::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8",
		"2002:7f00:1::", "2002:c0a8:101::", "2001::1", "2001:2::1",
		"2001:db8::1", "3fff::1", "fc00::1", "fdff::1", "fe80::1",
		"fec0::1", "ff02::1"};
	static const char *const public[] = {"1.1.1.1", "9.255.255.255",
		"11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
		"192.169.0.0", "223.255.255.255", "2001:200::1", "2600::1",
		"2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
		"2001:4860:4860::8888"};

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		test_private(private[i], true);
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
		test_private(public[i], false);
}

/* Collects these lines; the code and text of the last reply. */
static void
test_reply(const char *const *lines, int code, const char *text,
		   const char *name)
{
	Reply	   *reply = malloc(sizeof(*reply));

	reply_reset(reply);
	for (; *lines != NULL; lines++)
		if (!reply_add(reply, *lines, strlen(*lines)))
			break;
	ok(reply->code == code && strcmp(reply->text, text) == 0, name);
	free(reply);
}

/* Bytes become the same replies in whatever pieces they come. */
static void
test_pieces(void)
{
	static const char said[] = "250-a\r\n250 b\r\n354 go\n550\r\nnoise";
	Reply	   *reply = malloc(sizeof(*reply));
	bool		good = true;

	for (size_t size = 1; size < sizeof(said); size++)
	{
		char		found[100] = "";
		size_t		taken;

		reply_reset(reply);
		for (size_t at = 0; at < strlen(said); at += taken)
		{
			size_t		len = strlen(said) - at < size ? strlen(said) - at :
				size;

			if (reply_take(reply, said + at, len, &taken) == REPLY_WHOLE)
				snprintf(found + strlen(found), sizeof(found) - strlen(found),
						 "%d %.9s;", reply->code, reply->text);
			good = good && taken > 0 && taken <= len;
		}
		good = good && strcmp(found, "250 a b;354 go;550 ;") == 0;
	}
	ok(good, "replies in pieces of all sizes");
	free(reply);
}

/* A reply that does not end, in one line or in many. */
static void
test_endless(const char *piece, const char *name)
{
	Reply	   *reply = malloc(sizeof(*reply));
	ReplyState	state = REPLY_PART;
	size_t		sum = 0;
	size_t		taken;

	reply_reset(reply);
	while (state == REPLY_PART && sum < 1000000)
	{
		state = reply_take(reply, piece, strlen(piece), &taken);
		sum += taken;
	}
	ok(state == REPLY_ENDLESS && sum <= REPLY_BYTES_MAX + strlen(piece), name);
	free(reply);
}

/* Replies, well-formed and not. */
static void
test_replies(void)
{
	Reply	   *reply = malloc(sizeof(*reply));
	int			lines = 0;

	test_reply((const char *[]) {"250 ok\r\n", NULL}, 250, "ok", "one line");
	test_reply((const char *[]) {"250\r\n", NULL}, 250, "", "only a code");
	test_reply((const char *[]) {"250-a\r\n", "250 b\r\n", NULL}, 250, "a b",
			   "two lines");
	test_reply((const char *[]) {"250-a\r\n", NULL}, 0, "a", "unfinished");
	test_reply((const char *[]) {"250 a\r\n", "550 b\n", NULL}, 550, "b",
			   "the last of two");
	test_reply((const char *[]) {"hello\r\n", "220 b\r\n", NULL}, 220,
			   "hello b", "noise before it");
	test_reply((const char *[]) {"550 \xc3\xa4\t\x1b[m\r\n", NULL}, 550,
			   "????[m", "only printable ASCII");
	test_reply((const char *[]) {"", "\r\n", "25", "2x0 ", NULL}, 0, "25 2x0 ",
			   "no reply at all");
	reply_reset(reply);
	while (lines < 1000 && reply_add(reply, "250-x\r\n", 7))
		lines++;
	ok(lines == REPLY_LINES_MAX, "a reply has an end");
	free(reply);
	test_pieces();
	test_endless("250-x\r\n", "nor do too many lines");
	test_endless("250 xxxxxxxxxxx", "nor does too long a line");
	test_endless("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				 "\n", "nor does noise");
}

/* The password is the file but for the end of its line. */
static void
test_password(void)
{
	char		name[] = "/tmp/ma_unit.XXXXXX";
	char		password[CONFIG_SECRET_MAX + 1];
	int			fd = mkstemp(name);

	ok(fd >= 0 && config_secret(name, password) &&
	   strcmp(password, "") == 0, "an empty password");
	ok(write(fd, " a b \r\n", 7) == 7 && config_secret(name, password) &&
	   strcmp(password, " a b ") == 0, "a password and its line end");
	ok(ftruncate(fd, CONFIG_SECRET_MAX + 1) == 0 &&
	   !config_secret(name, password), "a file too long for a password");
	close(fd);
	unlink(name);
	ok(!config_secret(name, password), "no password file");
}

/* Does the HMAC of a text come out as that? */
static void
is_hmac(const char *key, size_t key_len, const char *text, const char *expected)
{
	uint8_t		digest[SHA256_BYTES];
	char		hex[2 * SHA256_BYTES + 1];
	Sha256		hash;

	hmac_begin(&hash, key, key_len);
	for (const char *c = text; *c != '\0'; c++)
		sha256_add(&hash, c, 1);
	hmac_end(&hash, key, key_len, digest);
	for (int i = 0; i < SHA256_BYTES; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	ok(strcmp(hex, expected) == 0, expected);
}

/* The test cases 1, 2, 3 and 6 of RFC 4231. */
static void
test_signature(void)
{
	char		key[131];
	char		text[51] = {0};

	memset(key, 0x0b, 20);
	is_hmac(key, 20, "Hi There", "b0344c61d8db38535ca8afceaf0bf12b"
			"881dc200c9833da726e9376c2e32cff7");
	is_hmac("Jefe", 4, "what do ya want for nothing?",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	memset(text, 0xdd, 50);
	is_hmac(key, 20, text, "773ea91e36800e46854db8ebd09181a7"
			"2959098b3ef8c122d9635514ced565fe");
	is_hmac(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* Is that what the path leads to in the text? NULL: nothing. */
static void
is_value(const char *text, const char *path, const char *expected)
{
	char		value[JSON_VALUE_MAX + 1];
	char	   *copy = malloc(strlen(text) + 1);
	char		name[400];
	bool		found;

	/* of its own length, so that a sanitizer sees what is read behind it */
	memcpy(copy, text, strlen(text));
	found = json_find(copy, strlen(text), path, value);
	snprintf(name, sizeof(name), "%s in %.200s", path, text);
	ok(expected == NULL ? !found : found && strcmp(value, expected) == 0,
	   name);
	free(copy);
}

/* Values of JSON, and of what is none. */
static void
test_json(void)
{
	const char *text = " {\"a\": [{\"id\": \"x\\\"\\u00e9\\n\"}, 7, [true]],"
		" \"b\": {\"c\": null, \"d\": -1.5e3}, \"status\": \"0\"} ";
	char		deep[400];
	char		longer[400] = "[\"";

	is_value(text, "status", "0");
	is_value(text, "$.a[0].id", "x\"\303\251\n");
	is_value(text, "a.1", "7");
	is_value(text, "a.2.0", "true");
	is_value(text, "b.d", "-1.5e3");
	is_value(text, "b.c", NULL);
	is_value(text, "b", NULL);
	is_value(text, "a.3", NULL);
	is_value(text, "a.x", NULL);
	is_value(text, "b.c.d", NULL);
	is_value("\"only\"", "$", "only");
	is_value("", "a", NULL);
	is_value("{", "a", NULL);
	is_value("{\"a\"", "a", NULL);
	is_value("{\"a\":", "a", NULL);
	is_value("{\"a\": \"b", "a", NULL);
	is_value("{\"a\": \"b\\", "a", NULL);
	is_value("{\"a\": \"\\u12", "a", NULL);
	is_value("{\"b\": 1 \"a\": 2}", "a", NULL);
	is_value("<html>", "a", NULL);
	is_value("{\"a\": \"\\u0000\\ud83d\"}", "a", "??");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	is_value(deep, "1", NULL);
	memset(longer + 2, 'x', 300);
	strcpy(longer + 302, "\", 1]");
	is_value(longer, "0", NULL);
	is_value(longer, "1", "1");
}

/* Which of three relays so many connections go to. */
static void
test_relays(void)
{
	Config		config = {.relay_count = 3};
	int			used[3] = {0};

	config.relays[0].weight = 3;
	config.relays[1].weight = 1;
	for (int i = 0; i < 8; i++)
		used[relay_choose(&config, 0)]++;
	ok(used[0] == 6 && used[1] == 2, "connections by weight, none of weight 0");
	relay_failed(0);
	ok(relay_choose(&config, 0) == 1, "not the one that failed");
	relay_failed(1);
	ok(relay_choose(&config, 0) == 2, "then the one of weight 0");
	ok(relay_choose(&config, 1u << 2) == 0, "else who has rested longest");
	relay_works(0);
	ok(relay_choose(&config, 0) == 0, "who works again is chosen again");
	ok(relay_choose(&config, 7) == -1, "nobody is left");
}

int
main(void)
{
	test_frames();
	test_strings();
	test_addresses();
	test_bodies();
	test_private_addresses();
	test_replies();
	test_password();
	test_signature();
	test_json();
	test_relays();
	printf("1..%d\n", number);
	return failures > 0;
}
