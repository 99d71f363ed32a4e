/*
 * carrier.c
 *	  One connection, of whichever kind is configured.
 *
 * The one place that knows that a Mail goes to a relay and a Request to a web
 * server: main.c lets nothing else in.
 */
#include <stdio.h>

#include "carrier.h"

/* Makes one that is not connected; false if there is no memory. */
bool
carrier_init(Carrier *carrier, const Config *config)
{
	if (config->kind == KIND_SMTP)
		carrier->smtp = smtp_new(config);
	else
		carrier->http = http_new(config);
	carrier->has_url_file = config->web.url_file != NULL;
	return carrier->smtp != NULL || carrier->http != NULL;
}

/* Sends it, if it may be sent at all, and says how that went. */
void
carrier_send(Carrier *carrier, Job *job, Result *result)
{
	const char *wrong =
		carrier->smtp != NULL ?
			mail_check((Mail *) job) :
			request_check((Request *) job, carrier->has_url_file);

	if (wrong != NULL)
	{
		result->outcome = MA_OUTCOME_PERMANENT;
		result->code = 0;
		snprintf(result->text, sizeof(result->text), "%s", wrong);
	}
	else if (carrier->smtp != NULL)
		smtp_send(carrier->smtp, (Mail *) job, result);
	else
		http_send(carrier->http, (Request *) job, result);
}

bool
carrier_is_open(const Carrier *carrier)
{
	return carrier->smtp != NULL ? smtp_is_open(carrier->smtp) :
								   http_is_open(carrier->http);
}

/* Closes what is open; the next job opens it again. */
void
carrier_close(Carrier *carrier)
{
	if (carrier->smtp != NULL)
		smtp_quit(carrier->smtp);
	else
		http_close(carrier->http);
}

void
carrier_free(Carrier *carrier)
{
	if (carrier->smtp != NULL)
		smtp_free(carrier->smtp);
	else
		http_free(carrier->http);
}

void
carrier_free_job(const Config *config, Job *job)
{
	if (config->kind == KIND_SMTP)
		mail_free((Mail *) job);
	else
		request_free((Request *) job);
}
