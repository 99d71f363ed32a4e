/*
 * probe.c
 *	  SQL functions over transport.c, for test/t/100_transport.pl only.
 *
 * Built by the test together with transport.c, since from PostgreSQL 16 on
 * a library's functions are not seen by another one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "../../src/transport.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(probe_start);
PG_FUNCTION_INFO_V1(probe_send);
PG_FUNCTION_INFO_V1(probe_results);
PG_FUNCTION_INFO_V1(probe_ack);
PG_FUNCTION_INFO_V1(probe_drain);
PG_FUNCTION_INFO_V1(probe_stop);
PG_FUNCTION_INFO_V1(probe_state);
PG_FUNCTION_INFO_V1(probe_fail);
PG_FUNCTION_INFO_V1(probe_pump);
PG_FUNCTION_INFO_V1(probe_request);

static MaTransport *transport = NULL;

/* A configuration for a sink on this port. */
static MaTransportConfig
config_for(int port, int connections)
{
	static MaTransportRelay relay = {.host = "127.0.0.1", .tls = "none",
		.weight = 1};
	MaTransportConfig config = {.relays = &relay, .relay_count = 1};

	relay.port = port;
	config.connections = connections;
	return config;
}

/* probe_start(port, connections): starts one that lives with the session. */
Datum
probe_start(PG_FUNCTION_ARGS)
{
	MaTransportConfig config = config_for(PG_GETARG_INT32(0),
										  PG_GETARG_INT32(1));
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	transport = ma_transport_start(&config);
	MemoryContextSwitchTo(old);
	PG_RETURN_VOID();
}

/* Gives it one message with a body of at least so many bytes. */
static void
send_one(MaTransport *t, int64 id, int bytes)
{
	StringInfoData body;
	char		recipient[64];
	MaMail		mail = {id, "from@example.com", recipient};

	snprintf(recipient, sizeof(recipient), INT64_FORMAT "@example.com", id);
	initStringInfo(&body);
	do
		appendStringInfoString(&body, "a line of text, as there are many\r\n");
	while (body.len < bytes);
	mail.body = body.data;
	mail.body_len = body.len;
	ma_transport_send(t, &mail);
	pfree(body.data);
}

/* probe_send(first, n, bytes): n messages; the room that is left. */
Datum
probe_send(PG_FUNCTION_ARGS)
{
	for (int i = 0; i < PG_GETARG_INT32(1); i++)
		send_one(transport, PG_GETARG_INT32(0) + i, PG_GETARG_INT32(2));
	ma_transport_flush(transport);
	PG_RETURN_INT32(ma_transport_room(transport));
}

/*
 * probe_results(n): waits for so many, or the end of the child, or 10 s;
 * one line "id outcome code text" for each.
 */
Datum
probe_results(PG_FUNCTION_ARGS)
{
	TimestampTz limit = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													10000);
	StringInfoData lines;
	MaTransportResult result;
	int			n = PG_GETARG_INT32(0);

	initStringInfo(&lines);
	for (;;)
	{
		while (n > 0 && ma_transport_poll(transport, &result))
		{
			appendStringInfo(&lines, INT64_FORMAT " %d %d %s\n", result.id,
							 (int) result.outcome, result.code, result.text);
			n--;
		}
		if (n <= 0 || !ma_transport_alive(transport) ||
			GetCurrentTimestamp() > limit)
			break;
		ma_transport_wait(&transport, 1, 1000);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_TEXT_P(cstring_to_text(lines.data));
}

/* probe_ack(id) */
Datum
probe_ack(PG_FUNCTION_ARGS)
{
	ma_transport_ack(transport, PG_GETARG_INT32(0));
	ma_transport_flush(transport);
	PG_RETURN_VOID();
}

/* probe_drain() */
Datum
probe_drain(PG_FUNCTION_ARGS)
{
	ma_transport_drain(transport);
	PG_RETURN_VOID();
}

/* probe_stop() */
Datum
probe_stop(PG_FUNCTION_ARGS)
{
	ma_transport_stop(transport);
	transport = NULL;
	PG_RETURN_VOID();
}

/* probe_state(): alive or why not, and how many results are owed */
Datum
probe_state(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(
		psprintf("%s, owes %d, room %d",
				 ma_transport_alive(transport) ? "alive" :
				 ma_transport_reason(transport),
				 ma_transport_pending(transport),
				 ma_transport_room(transport))));
}

/* probe_fail(port): starts one in this call's memory, then fails */
Datum
probe_fail(PG_FUNCTION_ARGS)
{
	MaTransportConfig config = config_for(PG_GETARG_INT32(0), 2);

	(void) ma_transport_start(&config);
	ereport(ERROR, errmsg("as wished"));
}

/*
 * probe_pump(port, connections, n, bytes): sends so many as fast as can be;
 * how many were sent, the messages per second.
 */
Datum
probe_pump(PG_FUNCTION_ARGS)
{
	MaTransportConfig config = config_for(PG_GETARG_INT32(0),
										  PG_GETARG_INT32(1));
	MaTransport *t = ma_transport_start(&config);
	TimestampTz started = GetCurrentTimestamp();
	int			n = PG_GETARG_INT32(2);
	int			next = 0;
	int			done = 0;
	int			sent = 0;
	MaTransportResult result;

	while (done < n)
	{
		while (next < n && ma_transport_room(t) > 0)
			send_one(t, next++, PG_GETARG_INT32(3));
		ma_transport_wait(&t, 1, 1000);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		while (ma_transport_poll(t, &result))
		{
			done++;
			sent += result.outcome == MA_OUTCOME_SENT;
			ma_transport_ack(t, result.id);
		}
	}
	ma_transport_stop(t);
	PG_RETURN_TEXT_P(cstring_to_text(
		psprintf("%d sent, %.0f/s", sent, n * 1e6 /
				 Max(GetCurrentTimestamp() - started, 1))));
}

/* probe_request(url, body): one POST; its outcome, status and text */
Datum
probe_request(PG_FUNCTION_ARGS)
{
	MaTransportRelay relay = {0};
	MaTransportConfig config = {.kind = "http", .relays = &relay,
		.relay_count = 1, .web.allow_private = true};
	char	   *body = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MaRequest	request = {1, "POST", text_to_cstring(PG_GETARG_TEXT_PP(0)),
		"Content-Type: text/plain\nX-Two: 2", body, strlen(body)};
	MaTransportResult result;
	MaTransport *t = ma_transport_start(&config);
	char	   *answer;

	ma_transport_request(t, &request);
	while (!ma_transport_poll(t, &result))
	{
		ma_transport_wait(&t, 1, 1000);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	answer = psprintf("%d %d %s", (int) result.outcome, result.code,
					  result.text);
	ma_transport_stop(t);
	PG_RETURN_TEXT_P(cstring_to_text(answer));
}
