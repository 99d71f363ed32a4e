/*
 * main.c
 *	  mautomate-transport: takes messages from the sender of mautomate and
 *	  gives them to a mail relay, or requests to web servers.
 *
 * Started by a background worker of the server as a child with nothing but
 * standard input and output (see protocol.h). TLS and bytes from strangers
 * are handled here and not there, so a crash costs only this process.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "frame.h"
#include "mail.h"
#include "pool.h"
#include "request.h"

/* What we are for; filled by the first frame. */
static Config config;

/* Tells the sender why, and ends. */
static void
give_up(const char *why)
{
	frame_add_broken(STDOUT_FILENO, why);
	frame_flush(STDOUT_FILENO);
	_exit(1);
}

/*
 * The server's stop signals reach its whole group; the sender decides when we
 * end, by closing our input.
 */
static void
ignore_signals(void)
{
	const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}

/* Reads the first frame; false if the input has ended before it. */
static bool
read_config(FrameReader *reader)
{
	const char *wrong;
	FrameRead	got;
	Frame		frame;

	while ((got = frame_read(reader, &frame)) == FRAME_PART)
		if (!frame_fill(reader))
			return false;
	if (got == FRAME_TOO_LONG)
		give_up("a frame is too long");
	if (frame.type != MA_FRAME_CONFIG)
		give_up("the first frame is not a configuration");
	wrong = config_read(&frame, &config);
	if (wrong != NULL)
		give_up(wrong);
	free(frame.payload);
	return true;
}

/* Takes one frame in. */
static void
take(Frame *frame)
{
	Mail	*mail;
	Request *request;
	int64_t	 id;

	switch (frame->type)
	{
		case MA_FRAME_MAIL:
			mail = config.kind == KIND_SMTP ? mail_read(frame) : NULL;
			if (mail == NULL)
				give_up("a message is broken");
			pool_send(&mail->job);
			break;
		case MA_FRAME_REQUEST:
			request = config.kind == KIND_HTTP ? request_read(frame) : NULL;
			if (request == NULL)
				give_up("a request is broken");
			pool_send(&request->job);
			break;
		case MA_FRAME_ACK:
			if (!frame_take_id(frame, &id) || !pool_ack(id))
				give_up("an acknowledgement has no result");
			break;
		default:
			give_up("a frame has an unknown type");
	}
	free(frame->payload);
}

/* Takes all frames in that were read; those that are not whole wait. */
static void
take_all(FrameReader *reader)
{
	FrameRead got;
	Frame	  frame;

	while ((got = frame_read(reader, &frame)) == FRAME_READ)
		take(&frame);
	if (got == FRAME_TOO_LONG)
		give_up("a frame is too long");
}

int
main(void)
{
	static FrameReader reader = {.fd = STDIN_FILENO};

	ignore_signals();
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		give_up("libcurl cannot be used");
	if (!read_config(&reader))
		return 0;
	if (!pool_start(&config, STDIN_FILENO))
		give_up("there are too few threads or too little memory");
	do
		take_all(&reader);
	while (!pool_turn() || frame_fill(&reader));
	/* threads that are still at it may use anything: nothing is freed */
	if (!pool_finish())
		_exit(0);
	config_free(&config);
	curl_global_cleanup();
	return 0;
}
